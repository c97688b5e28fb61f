"""How ready a tenant is for production, and whether its operations are sound: what the operations gate asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum

from forecasting import selectors
from forecasting.models import AccuracyRecord, ModelVersion, Series
from forecasting.services.policy import ReadinessRules
from ledger.services.audit import record
from tenants.models import Heartbeat
from tenants.selectors import current_tenant
from tenants.services import heartbeat

COLD_START, WARMING = "cold_start", "warming"
TIER_CANDIDATE, TIER_ACTIVE = "production_tier_candidate", "production_tier_active"


@dataclass(frozen=True)
class Readiness:
    """The tenant's state, the facts it follows from, and what is missing for the next one."""

    state: str
    facts: dict[str, Any]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"state": self.state, "facts": self.facts, "missing": list(self.missing)}


@dataclass(frozen=True)
class Operations:
    """State of the tenant's operations now. None is not known, and the gate then fails."""

    slo_critical: int | None
    open_sev1: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"slo_critical": self.slo_critical, "open_sev1": self.open_sev1}


def operations_now() -> Operations:
    """What is wrong in the tenant's operations, from its heartbeat; without one nothing is known."""
    row = Heartbeat.objects.filter(schema_name=current_tenant().schema_name).first()
    return Operations(None, None) if row is None else Operations(row.slo_critical, row.open_sev1)


def assess_readiness(*, candidate: ModelVersion | None, rules: ReadinessRules) -> Readiness:
    """Readiness from history, stores, products and accuracy samples; reads only.

    Before anything has been served, a candidate's accuracy samples are the rows of its backtest, so that a first
    champion is possible.
    """
    first, newest = selectors.first_day(), selectors.newest_day()
    days = (newest - first).days + 1 if first is not None and newest is not None else 0
    counts = Series.objects.aggregate(
        stores=Count("store_id", distinct=True), products=Count("product_id", distinct=True)
    )
    champion = selectors.current_champion()
    realised = _realised_rows(champion.version) if champion is not None else 0
    facts = {
        "history_days": days,
        "stores": counts["stores"],
        "products": counts["products"],
        "candidate_samples": _samples(candidate),
        "champion": champion.version.number if champion is not None else None,
        "champion_samples": realised,
    }
    missing = [
        f"{facts[name]} {text}, needs {least}"
        for name, text, least in (
            ("history_days", "days of history", rules.min_history_days),
            ("stores", "store(s)", rules.min_stores),
            ("products", "product(s)", rules.min_products),
            ("candidate_samples", "accuracy samples of the candidate", rules.min_accuracy_samples),
        )
        if facts[name] < least
    ]
    if not days:
        return Readiness(COLD_START, facts, ("no demand is loaded",))
    if missing:
        return Readiness(WARMING, facts, tuple(missing))
    if champion is None or realised < rules.min_accuracy_samples:
        short = f"{realised} accuracy samples of a serving champion, needs {rules.min_accuracy_samples}"
        return Readiness(TIER_CANDIDATE, facts, (short,))
    return Readiness(TIER_ACTIVE, facts, ())


def _realised_rows(version: ModelVersion) -> int:
    return int(AccuracyRecord.objects.filter(version=version).aggregate(n=Sum("rows"))["n"] or 0)


def _samples(candidate: ModelVersion | None) -> int:
    if candidate is None:
        return 0
    return _realised_rows(candidate) or int((candidate.backtest.get("scores") or {}).get("rows") or 0)


@transaction.atomic
def keep_readiness(readiness: Readiness) -> None:
    """Write the state to the heartbeat; a transition is an audit event with its facts."""
    row = Heartbeat.objects.filter(schema_name=current_tenant().schema_name).first()
    before = row.readiness if row is not None else COLD_START
    if before == readiness.state:
        return
    heartbeat.touch(readiness=readiness.state)
    record(event="readiness.changed", data={"from": before, "to": readiness.state, **readiness.to_json()})
