"""One demo tenant's story, step by step, through the same services that people and jobs use.

Every step first looks whether it was done, so that a second run changes nothing and an interrupted one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django_tenants.utils import schema_context

from config.demo.measure import Stopwatch
from forecasting import selectors
from forecasting.models import ForecastSet, GateReport, ModelVersion, PromotionRequest, RequestState, Series
from forecasting.services import chain
from forecasting.services.promotion import approve_promotion
from integrations.engine.contract import load_contract
from integrations.models import IngestBatch
from integrations.services.files import match_files
from integrations.services.onboarding import onboard
from ledger.execution import run_inline
from ledger.services.leftovers import IN_PROCESS, end_leftovers
from tenants.errors import UnknownTenant
from tenants.models import TenantStatus
from tenants.selectors import get_tenant
from tenants.services.provisioning import create_tenant

TRIAL_WEEKS = 4
"""The first champion is trained as of this long before the data ends; its forecasts then meet real demand."""

FIRST_REASON = "First model of this tenant: a simple one, to have something honest to beat."
APPROVAL_REASON = "It beats the seasonal naive forecast on the sealed holdout, and no business gate fails."
SECOND_REASON = "Four more weeks of data are in: compare every family and their ensembles."

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A demo tenant: who it is, and which families its first champion is chosen from."""

    schema_name: str
    name: str
    tier: str
    time_zone: str
    currency: str
    first_families: Sequence[str]


class DemoRefused(Exception):
    """The demo's own data was refused: a defect, told with the findings."""


def tell_story(plan: Plan, *, data_dir: Path, contract_path: Path, watch: Stopwatch, tell: Tell) -> None:
    """Bring one tenant to where a request waits for a person (or a gate honestly says no)."""
    with schema_context(plan.schema_name):
        end_leftovers()  # of a demo that was killed
        analyst, reviewer, admin = (User.objects.get(username=name) for name in ("analyst", "reviewer", "admin"))
        with watch.step("onboard"):
            _onboard(contract_path, data_dir, admin, tell)
        end = selectors.newest_day()
        if end is None:
            raise DemoRefused(f"{plan.schema_name}: no demand was loaded")
        start = end - timedelta(weeks=TRIAL_WEEKS)
        if not ModelVersion.objects.filter(as_of=start).exists():
            with watch.step("first_chain"):
                _chain(analyst, start, plan.first_families, FIRST_REASON, tell)
        with watch.step("approve"):
            _approve_first(reviewer, start, tell)
        with watch.step("serve_weeks"):
            _serve_weeks(analyst, start, end, tell)
        if not GateReport.objects.filter(candidate__as_of=end).exists():
            with watch.step("second_chain"):
                _chain(analyst, end, None, SECOND_REASON, tell)


def ensure_tenant(plan: Plan) -> None:
    """Make the tenant unless it is there."""
    try:
        get_tenant(plan.schema_name)
    except UnknownTenant:
        create_tenant(
            schema_name=plan.schema_name,
            name=plan.name,
            tier=plan.tier,
            status=TenantStatus.ACTIVE,
            time_zone=plan.time_zone,
            currency=plan.currency,
        )


def _onboard(contract_path: Path, data_dir: Path, admin: User, tell: Tell) -> None:
    contract = load_contract(contract_path.read_bytes())
    files = match_files(contract=contract, data=data_dir, max_bytes=2**40)
    result = onboard(contract=contract, files=files, actor=admin)
    if not result.passed:
        raise DemoRefused(f"{contract.tenant}: {result.report['findings']}")
    facts = IngestBatch.objects.latest("pk")
    tell(
        "these files were loaded before; nothing to do"
        if result.repeated
        else f"{facts.rows_read:,} rows read = {facts.rows_loaded:,} loaded + {facts.rows_merged:,} merged "
        f"+ {facts.rows_rejected:,} rejected"
    )


def _chain(analyst: User, as_of: date, families: Sequence[str] | None, reason: str, tell: Tell) -> None:
    outcome = chain.run_chain_inline(actor=analyst, mode="search", as_of=as_of, families=families, reason=reason)
    failing = [gate["name"] for gate in outcome.gates if not gate["passed"]]
    tell(
        f"v{outcome.version} {outcome.spec} as of {as_of}: {outcome.verdict}"
        + (f" ({', '.join(failing)})" if failing else "")
    )


def _approve_first(reviewer: User, as_of: date, tell: Tell) -> None:
    """The demo's reviewer approves the first request, through the service and with a reason, and no other one."""
    if selectors.current_champion() is not None:
        return
    first = PromotionRequest.objects.filter(
        state=RequestState.PENDING, champion__isnull=True, candidate__as_of=as_of
    ).first()
    if first is None:
        tell("the first candidate is not eligible, so there is no champion yet")
        return
    assignment = approve_promotion(request_id=first.pk, actor=reviewer, reason=APPROVAL_REASON)
    tell(f"reviewer approved {assignment.version.label}")


def _serve_weeks(analyst: User, start: date, end: date, tell: Tell) -> None:
    """Forecast with the champion from each week's end as it would have been, then measure on what came."""
    champion = selectors.current_champion()
    if champion is None:
        return
    made = 0
    for weeks in range(1, TRIAL_WEEKS):
        origin = start + timedelta(weeks=weeks)
        if ForecastSet.objects.filter(version=champion.version, origin_date=origin).exists():
            continue
        inputs = {"version": champion.version.number, "origin": origin.isoformat(), IN_PROCESS: True}
        run_inline(kind=chain.FORECAST, inputs=inputs, scope=f"demo {origin}", requested_by=analyst)
        made += 1
    if made or not champion.version.accuracy.filter(actuals_until=end).exists():
        run_inline(
            kind=chain.ACCURACY, inputs={"until": end.isoformat(), IN_PROCESS: True}, scope="demo", requested_by=analyst
        )
        record = champion.version.accuracy.order_by("-actuals_until").first()
        if record is not None and record.wape is not None:
            tell(f"served {TRIAL_WEEKS} weeks; realised WAPE of the last forecasts {record.wape:.3f}")


def summary(schema_name: str, watch: Stopwatch) -> dict[str, Any]:
    """The tenant's entry of build/demo.json, read from the database. Scores are the candidate's, undefined is null."""
    with schema_context(schema_name):
        batch = IngestBatch.objects.filter(state="loaded").order_by("pk").last()
        if batch is None:
            raise DemoRefused(f"{schema_name}: nothing was loaded")
        champion = selectors.current_champion()
        report = GateReport.objects.select_related("candidate__spec").order_by("-created_at").first()
        candidate = report.candidate if report is not None else None
        scores = chain.version_scores(candidate)[0] if candidate is not None else {}
        served = sum(made.series_count * made.horizon for made in ForecastSet.objects.all())
        return {
            "rows_read": batch.rows_read,
            "rows_loaded": batch.rows_loaded,
            "rows_merged": batch.rows_merged,
            "rows_rejected": batch.rows_rejected,
            "series": Series.objects.count(),
            "champion": str(champion.version) if champion is not None else None,
            "candidate": str(candidate) if candidate is not None else None,
            "verdict": report.verdict if report is not None else None,
            "wape": scores.get("wape"),
            "wape_naive": scores.get("wape_naive"),
            "coverage80": scores.get("coverage80"),
            "forecasts": served,
            "seconds": watch.seconds,
        }
