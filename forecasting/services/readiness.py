"""How ready a tenant is for production, and whether its operations are sound: what the operations gate asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count, Sum

from forecasting import selectors
from forecasting.engine.gates import READINESS_ORDER
from forecasting.models import AccuracyRecord, GatePolicy, ModelVersion, Series, VersionStatus
from forecasting.models.registry import TrainingMode
from forecasting.services.policy import ReadinessRules, body_of
from ledger.models import AuditEvent
from ledger.services.audit import record
from tenants.models import Heartbeat
from tenants.roles import Role, require_role
from tenants.selectors import current_tenant
from tenants.services import heartbeat

COLD_START, WARMING, TIER_CANDIDATE, TIER_ACTIVE = READINESS_ORDER
READINESS_TRANSITIONS: dict[str, frozenset[str]] = {
    COLD_START: frozenset({WARMING}),
    WARMING: frozenset({COLD_START, TIER_CANDIDATE}),
    TIER_CANDIDATE: frozenset({WARMING, TIER_ACTIVE}),
    TIER_ACTIVE: frozenset({TIER_CANDIDATE}),
}
CHANGED = "readiness.changed"


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
class Requirement:
    """One thing that a tier needs: what it is, how much of it there is, and how much it takes."""

    tier: str
    what: str
    have: int
    need: int

    @property
    def met(self) -> bool:
        """Whether there is enough."""
        return self.have >= self.need


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
        f"{one.have} {one.what}, needs {one.need}"
        for one in requirements_of(facts, rules)
        if one.tier == TIER_CANDIDATE and not one.met
    ]
    if not days:
        return Readiness(COLD_START, facts, ("no demand is loaded",))
    if missing:
        return Readiness(WARMING, facts, tuple(missing))
    if champion is None or realised < rules.min_accuracy_samples:
        short = f"{realised} accuracy samples of a serving champion, needs {rules.min_accuracy_samples}"
        return Readiness(TIER_CANDIDATE, facts, (short,))
    return Readiness(TIER_ACTIVE, facts, ())


def requirements_of(facts: dict[str, Any], rules: ReadinessRules) -> list[Requirement]:
    """Everything that the tiers need, beside what there is."""
    needs = (
        (WARMING, "history_days", "days of history", 1),
        (TIER_CANDIDATE, "history_days", "days of history", rules.min_history_days),
        (TIER_CANDIDATE, "stores", "store(s)", rules.min_stores),
        (TIER_CANDIDATE, "products", "product(s)", rules.min_products),
        (TIER_CANDIDATE, "candidate_samples", "accuracy samples of the candidate", rules.min_accuracy_samples),
        (TIER_ACTIVE, "champion_samples", "accuracy samples of a serving champion", rules.min_accuracy_samples),
    )
    return [Requirement(tier, text, int(facts[name]), least) for tier, name, text, least in needs]


def _realised_rows(version: ModelVersion) -> int:
    return int(AccuracyRecord.objects.filter(version=version).aggregate(n=Sum("rows"))["n"] or 0)


def _samples(candidate: ModelVersion | None) -> int:
    if candidate is None:
        return 0
    return _realised_rows(candidate) or int((candidate.backtest.get("scores") or {}).get("rows") or 0)


@transaction.atomic
def keep_readiness(readiness: Readiness) -> list[str]:
    """Move the tenant to the state that was found, one step of the ladder at a time; returns the states it came to.

    Each step is an audit event of its own with the facts it follows from. Two at once take turns.
    """
    schema_name = current_tenant().schema_name
    row = Heartbeat.objects.select_for_update().filter(schema_name=schema_name).first()
    before = row.readiness if row is not None else COLD_START
    path = steps_between(before, readiness.state)
    for state in path:
        record(event=CHANGED, data={"from": before, "to": state, "found": readiness.state, **readiness.to_json()})
        before = state
    if path:
        heartbeat.touch(readiness=readiness.state)
    return path


def steps_between(before: str, after: str) -> list[str]:
    """The states on the way, without the first: only what `READINESS_TRANSITIONS` allows."""
    order = list(READINESS_ORDER)
    here, there = order.index(before), order.index(after)
    by = 1 if there > here else -1
    return [order[k + by] for k in range(here, there, by)]


def review_readiness(*, actor: AbstractBaseUser | None) -> list[str]:
    """Assess the tenant as it stands now, under the policy in force, and keep what came of it; returns the states that
    it came to. Needs analyst or tenant_admin, or None for the system. Raises ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.ANALYST, Role.TENANT_ADMIN)
    return keep_readiness(readiness_now())


def rules_now() -> ReadinessRules:
    """What the policy in force asks."""
    policy = GatePolicy.objects.filter(is_active=True).first()
    return body_of(policy).readiness if policy is not None else ReadinessRules()


def readiness_now() -> Readiness:
    """Where the tenant stands now, reads only: with the newest version that may be promoted, else the champion."""
    candidate = ModelVersion.objects.filter(status__in=[VersionStatus.CANDIDATE, VersionStatus.CHALLENGER]).order_by(
        "-number"
    )
    champion = selectors.current_champion()
    version = candidate.exclude(mode=TrainingMode.DRILL).first() or (champion.version if champion is not None else None)
    return assess_readiness(candidate=version, rules=rules_now())


def readiness_history(*, limit: int = 50) -> list[AuditEvent]:
    """The transitions, newest first."""
    return list(AuditEvent.objects.filter(event=CHANGED).order_by("-sequence")[:limit])
