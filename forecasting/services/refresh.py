"""A refresh of the approved spec: it serves by itself while the non-regression guard holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Subquery

from forecasting import selectors
from forecasting.engine.bootstrap import no_evidence
from forecasting.engine.business import BUSINESS_NAMES
from forecasting.engine.gates import BLOCKED, ELIGIBLE, INSUFFICIENT, GateResult
from forecasting.engine.gates import GateReport as Judgement
from forecasting.models import AccuracyRecord, ChampionAssignment, Channel, GateReport, ModelVersion, PromotionRequest
from forecasting.models.assignment import AssignmentKind
from forecasting.services import champions
from forecasting.services.gate_facts import manifest_valid, realised_rows, store_report
from forecasting.services.policy import PolicyBody, RefreshGuard, active_policy, body_of, lock_decisions
from forecasting.services.readiness import operations_now
from ledger.context import RunContext
from ledger.errors import DomainError
from ledger.services.audit import record
from tenants.selectors import current_tenant

ASSIGNED, REVIEW, HELD = "assigned", "review", "held"
SCOPE = "refresh"


@dataclass(frozen=True)
class Realised:
    """The spec's error in service over the last days; ``wape`` is None where nothing was realised."""

    wape: float | None
    days: int
    rows: int
    first_origin: date | None = None
    until: date | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "wape": self.wape,
            "days": self.days,
            "rows": self.rows,
            "first_origin": self.first_origin.isoformat() if self.first_origin else None,
            "until": self.until.isoformat() if self.until else None,
        }


@transaction.atomic
def guard_and_assign(*, ctx: RunContext, version: ModelVersion) -> dict[str, Any]:
    """Let a refreshed fit of the champion's spec serve, ask a person, or hold it; say why, with the guard's facts.

    The guard is kept as a gate report of its own. Outcome ``assigned``: it serves (assignment of kind refresh).
    ``review``: the policy wants a person, and a request waits. ``held``: the guard does not hold, or the policy wants
    a person who cannot be asked now (another request waits), and the champion goes on.

    Returns ``outcome``, ``reason``, ``report``, ``assignment``, ``request``, ``guard``. One run does it once.
    """
    ctx.fence()
    lock_decisions()
    known = GateReport.objects.filter(run_id=ctx.run.pk).select_related("candidate").first()
    if known is not None:
        return _told(known)
    champion = selectors.current_champion()
    if champion is None or champion.version_id == version.pk or champion.version.spec_id != version.spec_id:
        return {
            "outcome": HELD,
            "reason": f"{version.label} is no refresh of the spec that serves. Judge it on the version's page.",
        }
    policy = active_policy()
    body = body_of(policy)
    realised = realised_of_spec(version.spec_id, days=body.refresh.realised_days)
    approved = approved_version(champion.version)
    judgement = judge_refresh(
        version=version, champion=champion.version, approved=approved, realised=realised, rules=body.refresh
    )
    evidence = _evidence(version, champion.version, approved, realised, judgement, body)
    report = store_report(
        run_id=ctx.run.pk, candidate=version, champion=champion.version, policy=policy, verdict=judgement.verdict,
        results=[result.to_json() for result in judgement.results],
        evidence=evidence,
    )  # fmt: skip
    refused = _serve_or_ask(version, champion, evidence, body) if judgement.verdict == ELIGIBLE else None
    facts = {"verdict": judgement.verdict, "failing": list(judgement.failing), **evidence["guard"]}
    if refused is not None:
        facts |= {"refused": str(refused), "refused_code": refused.code}
    record(event="refresh.guarded", subject=report, data=facts, correlation_id=ctx.run.correlation_id)
    return _told(report, refused)


def _serve_or_ask(
    version: ModelVersion, champion: ChampionAssignment, evidence: dict[str, Any], body: PolicyBody
) -> DomainError | None:
    """Let it serve or ask for it; returns why it cannot be asked for now, which is an outcome and not a failure."""
    from forecasting.services.promotion import request_promotion

    rolled_back = champion.kind == AssignmentKind.ROLLBACK  # a person's word is not undone by a schedule
    if body.refresh_mode == "review" or rolled_back:
        reason = "A refresh, which the policy wants a person to approve."
        if rolled_back:
            reason = f"A refresh after {champion.assigned_by_name} rolled back to {champion.version.label}."
        try:
            request_promotion(candidate=version, actor=None, reason=reason)
        except DomainError as error:
            return error
        return None
    champions.assign(
        version=version, kind=AssignmentKind.REFRESH, guard=evidence["guard"], reason=evidence["sentence"]
    )  # fmt: skip
    return None


def _told(report: GateReport, refused: DomainError | None = None) -> dict[str, Any]:
    """What came of a guard's report. A retried run knows no more why nobody could be asked; the audit trail does."""
    assignment = ChampionAssignment.objects.filter(version=report.candidate, kind=AssignmentKind.REFRESH).first()
    request = PromotionRequest.objects.filter(gate_report=report).first()
    if request is not None:
        outcome = REVIEW
    else:
        outcome = ASSIGNED if assignment is not None and report.verdict == ELIGIBLE else HELD
    reason = report.evidence["sentence"]
    if outcome == HELD and report.verdict == ELIGIBLE:
        why = f": {refused}" if refused is not None else "."
        reason += (
            f" But a person has to approve it, and no request could be made{why} Request it on the version's page."
        )
    return {
        "outcome": outcome,
        "reason": reason,
        "report": report.pk,
        "assignment": assignment.pk if outcome == ASSIGNED and assignment is not None else None,
        "request": request.pk if request is not None else None,
        "guard": report.evidence["guard"],
    }


def realised_of_spec(spec_id: int, *, days: int) -> Realised:
    """WAPE of all published forecasts of a spec from origins in the last ``days`` days, newest measure of each set."""
    newest = selectors.newest_day()
    if newest is None:
        return Realised(None, 0, 0)
    last = AccuracyRecord.objects.filter(forecast_set=OuterRef("forecast_set")).order_by("-actuals_until")
    rows = AccuracyRecord.objects.select_related("forecast_set").filter(
        version__spec_id=spec_id,
        forecast_set__published_at__isnull=False,
        forecast_set__origin_date__gte=newest - timedelta(days=days),
        pk=Subquery(last.values("pk")[:1]),
    )
    records = [row for row in rows if row.wape is not None]
    if not records:
        return Realised(None, 0, 0)
    sums = [row.scores.get("sums", {}) for row in records]
    actual = sum(float(one.get("actual", 0.0)) for one in sums)
    absolute = sum(float(one.get("absolute", 0.0)) for one in sums)
    first = min(row.forecast_set.origin_date for row in records)
    until = max(row.actuals_until for row in records)
    wape = absolute / actual if actual > 0 else None
    return Realised(wape, (until - first).days, sum(row.rows for row in records), first, until)


def approved_version(champion: ModelVersion) -> ModelVersion:
    """The fit that a person last let serve of the champion's spec: what refreshes may not drift away from.

    Each refresh is held against the one before, so small losses would add up; this one does not move by itself. The
    champion itself where no decision on its spec is known.
    """
    decided = ChampionAssignment.objects.filter(
        channel=Channel.LIVE, version__spec_id=champion.spec_id, request__isnull=False
    )
    found = decided.select_related("version__spec").order_by("-from_at", "-pk").first()
    return found.version if found is not None else champion


def judge_refresh(
    *, version: ModelVersion, champion: ModelVersion, approved: ModelVersion, realised: Realised, rules: RefreshGuard
) -> Judgement:
    """The non-regression guard: manifest, backtest and realised error against the champion's and against those of the
    fit that a person last approved (tolerances must not add up), operations. Fails closed."""
    theirs, ours, first = _wape(champion), _wape(version), _wape(approved)
    valid = manifest_valid(version)
    operations = operations_now()
    results = [
        GateResult("manifest", SCOPE, None, None, None, valid, f"the manifest is {'' if valid else 'not '}valid"),
        _within("backtest", theirs, ours, rules.max_backtest_wape_ratio, "backtest WAPE"),
        _realised("realised", theirs, realised, rules),
    ]
    if approved.pk != champion.pk:  # else it is the same question
        results += [
            _within("backtest_approved", first, ours, rules.max_backtest_wape_ratio, "backtest WAPE", approved.label),
            _realised("realised_approved", first, realised, rules, approved.label),
        ]
    sound = operations.slo_critical == 0 and operations.open_sev1 == 0
    why = "operations are sound" if sound else "an SLO is critical, an incident is open, or this is not known"
    results.append(GateResult("operations", SCOPE, None, None, "no SLO critical, no open incident", sound, why))
    failing = [result for result in results if not result.passed]
    if not failing:
        return Judgement(ELIGIBLE, tuple(results))
    return Judgement(INSUFFICIENT if all(result.missing for result in failing) else BLOCKED, tuple(results))


def _realised(
    name: str, approved: float | None, realised: Realised, rules: RefreshGuard, label: str = ""
) -> GateResult:
    if realised.wape is None or realised.days < rules.min_realised_days:
        why = (
            f"the spec's forecasts were realised on {realised.days} day(s) of the last {rules.realised_days}; "
            f"{rules.min_realised_days} are needed"
        )
        return GateResult(name, SCOPE, approved, realised.wape, None, False, why, missing=True)
    return _within(name, approved, realised.wape, rules.max_realised_wape_ratio, "realised WAPE", label)


def _within(
    name: str, theirs: float | None, ours: float | None, factor: float, what: str, label: str = ""
) -> GateResult:
    """At most ``factor`` times theirs; ``label`` names the approved fit, where it is not the champion they are of."""
    if theirs is None or ours is None:
        who = "refresh" if ours is None else label or "champion"
        return GateResult(name, SCOPE, theirs, ours, None, False, f"{what} of the {who} is not known", missing=True)
    limit = theirs * factor
    good = ours <= limit
    reason = f"{what} {ours:.4f} {'≤' if good else '>'} {limit:.4f}"
    if label:
        reason += f", {factor:g} times that of {label}, which a person approved last"
    return GateResult(name, SCOPE, theirs, ours, limit, good, reason)


def _overall(version: ModelVersion) -> dict[str, Any]:
    return (version.backtest.get("scores") or {}).get("overall") or {}


def _wape(version: ModelVersion) -> float | None:
    value = (_overall(version).get("wape") or {}).get("value")
    return float(value) if value is not None else None


def _evidence(
    version: ModelVersion,
    champion: ModelVersion,
    approved: ModelVersion,
    realised: Realised,
    judgement: Judgement,
    body: PolicyBody,
) -> dict[str, Any]:
    """In the shape of the gate's evidence; what a refresh is not judged by is empty or None with the reason."""
    reason = "a refresh of an approved spec is not judged on a holdout"
    unknown = {"value": None, "n": 0, "reason": reason, "confidence": "unavailable", "per_week": None}
    sides = {"candidate": version, "champion": champion}
    guard = {
        "backtest": {**{name: _wape(side) for name, side in sides.items()}, "approved": _wape(approved)},
        "approved": approved.label,
        "realised": realised.to_json(),
        "rules": body.refresh.model_dump(),
        "failing": list(judgement.failing),
    }
    return {
        "kind": "refresh_guard",
        "champion_kind": "champion",
        "labels": {
            "candidate": version.label, "candidate_spec": version.spec.label,
            "champion": champion.label, "champion_spec": champion.spec.label,
        },
        "currency": current_tenant().currency,
        "holdout": {"start": None, "end": None, "days": 0, "origins": [], "horizon": 0, "series": 0, "rows": 0,
                    "accesses": 0, "budget": body.gates.holdout_access_budget, "openings": []},
        "scores": {name: {"overall": _overall(side), "by_week": {}, "by_class": {}, "by_store": {}}
                   for name, side in sides.items()},
        "weeks": [],
        "stores": [],
        "stores_left_out": 0,
        "calibration": [],
        "business": {"weeks": 0.0, "protection_days": body.business_policy().protection_days,
                     "confidence": "unavailable", "policy": body.business.model_dump(),
                     **{name: dict.fromkeys(BUSINESS_NAMES, unknown) for name in sides}},
        "bootstrap": no_evidence(reason).to_json(),
        "differences": [],
        "rolling_origin": {name: _overall(side) for name, side in sides.items()},
        "realised": realised_rows(champion),
        "operations": operations_now().to_json(),
        "guard": guard,
        "sentence": _sentence(version, champion, realised, judgement),
    }  # fmt: skip


def _sentence(version: ModelVersion, champion: ModelVersion, realised: Realised, judgement: Judgement) -> str:
    ours, theirs = _wape(version), _wape(champion)
    backtest = "unknown" if ours is None else f"{ours:.3f}"
    before = "unknown" if theirs is None else f"{theirs:.3f}"
    seen = (
        "nothing realised yet" if realised.wape is None else f"{realised.wape:.3f} over {realised.days} days in service"
    )
    text = (
        f"{version.label} is the approved spec of {champion.label} fitted on data up to {version.as_of}: "
        f"backtest error (WAPE) {backtest} against {before}, {seen}"
    )
    if judgement.verdict == ELIGIBLE:
        return f"{text}; within the policy's tolerance."
    failing = "; ".join(result.reason for result in judgement.results if not result.passed)
    return f"{text}. It does not serve: {failing}. {champion.label} goes on."
