"""Assignments of the champion, and the guard under which a refresh serves by itself."""

from __future__ import annotations

import uuid
from datetime import date, timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from forecasting import selectors
from forecasting.errors import AssignmentRefused
from forecasting.models import (
    AccuracyRecord,
    ChampionAssignment,
    ForecastSet,
    GateReport,
    ModelVersion,
    PromotionRequest,
    VersionStatus,
)
from forecasting.services import champions
from forecasting.services.policy import ReadinessRules, change_policy
from forecasting.services.promotion import approve_promotion, lapse_stale, request_promotion, withdraw_promotion
from forecasting.services.readiness import assess_readiness
from forecasting.services.refresh import guard_and_assign
from forecasting.tests.factories import (
    AS_OF,
    make_candidate,
    make_demand,
    make_pending_request,
    make_person,
    promote,
    score_set,
)
from ledger.context import RunContext
from ledger.errors import LeaseLost
from ledger.models import AuditEvent, Run, RunState
from ledger.services.audit import record
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role


def context() -> RunContext:
    key = uuid.uuid4().hex
    return RunContext(
        Run.objects.create(kind="forecasting.guard", scope=key, idempotency_key=key, state=RunState.RUNNING, attempt=1)
    )


def realise(version: ModelVersion, *, wape: float = 0.34, days: int = 14) -> None:
    """Demand has come for the version's published forecasts, and was met with this error."""
    made = version.forecast_sets.get()
    make_demand(until=made.origin_date + timedelta(days=days), days=days)
    AccuracyRecord.objects.create(
        version=version, forecast_set=made, actuals_until=made.origin_date + timedelta(days=days), days=days, rows=56,
        wape=wape, wape_naive=0.4, scores={"sums": {"absolute": 100 * wape, "actual": 100.0}},
    )  # fmt: skip


def refreshed(champion: ModelVersion, *, factor: float | None = 1.0, days: int = 14) -> ModelVersion:
    """A newer fit of the champion's spec, whose backtest error is ``factor`` times the usual one (None: unknown)."""
    backtest = {} if factor is None else {"scores": score_set(factor).to_json()}
    version = make_candidate(family="lightgbm", mode="refresh", as_of=AS_OF + timedelta(days=days), backtest=backtest)
    assert version.spec == champion.spec
    return version


def test_assign__follows_the_open_assignment_without_gap_or_overlap(alpha: Tenant) -> None:
    first = promote()
    second = promote(make_candidate(family="prophet"))
    first.refresh_from_db()
    assert first.to_at == second.from_at and second.to_at is None
    assert champions.champion_version() == second.version
    first.version.refresh_from_db()
    assert first.version.status == VersionStatus.CHALLENGER, "another spec goes on in the shadow"
    row = Heartbeat.objects.get(schema_name="alpha")
    assert row.champion.startswith(second.version.label) and row.champion_since == second.from_at


def test_assign__rollback__takes_an_earlier_version_back(alpha: Tenant) -> None:
    first = promote().version
    promote(make_candidate(family="prophet"))
    back = champions.assign(version=first, kind="rollback", reason="Errors doubled", actor=make_person("ann"))
    assert (back.version, back.kind, back.assigned_by_name) == (first, "rollback", "ann")
    assert [row.version_id for row in ChampionAssignment.objects.order_by("pk")].count(first.pk) == 2


@pytest.mark.parametrize("status", [VersionStatus.TRAINING, VersionStatus.FAILED, VersionStatus.RETIRED])
def test_assign__version_that_is_not_live__is_refused(alpha: Tenant, status: str) -> None:
    version = make_candidate(status=status)
    with pytest.raises(AssignmentRefused, match=status):
        champions.assign(version=version, kind="promotion")


def test_assign__champion_again__is_refused(alpha: Tenant) -> None:
    with pytest.raises(AssignmentRefused, match="already"):
        champions.assign(version=promote().version, kind="promotion")


def test_assign__drill_channel__leaves_the_live_one_alone(alpha: Tenant) -> None:
    live = promote()
    before = Heartbeat.objects.get(schema_name="alpha").champion
    other = make_candidate(family="prophet")
    champions.assign(version=other, kind="promotion", channel="drill")
    assert champions.champion_version() == live.version and champions.champion_version("drill") == other
    assert Heartbeat.objects.get(schema_name="alpha").champion == before


def test_assign__clock_set_back__keeps_history_in_order(alpha: Tenant) -> None:
    first = promote()
    later = timezone.now() + timedelta(days=2)
    promote(make_candidate(family="prophet"))
    ahead = make_candidate(family="seasonal_naive")
    open_row = ChampionAssignment.objects.get(to_at=None)
    with transaction.atomic():
        open_row.to_at = open_row.from_at
        open_row.save(update_fields=["to_at"])
        ahead_of_time = ChampionAssignment.objects.create(
            version=open_row.version, kind="rollback", effective_on=AS_OF, from_at=later, reason="From the future"
        )
        record(event="champion.assigned", subject=ahead_of_time)
    last = promote(ahead)
    assert last.from_at == later and first.pk != last.pk


def test_assignments__rewritten_or_deleted__are_refused_by_the_database(alpha: Tenant) -> None:
    assignment = promote()
    for change in (
        lambda: ChampionAssignment.objects.filter(pk=assignment.pk).delete(),
        lambda: ChampionAssignment.objects.filter(pk=assignment.pk).update(reason="Another"),
        lambda: ChampionAssignment.objects.create(
            version=assignment.version, kind="promotion", effective_on=AS_OF, from_at=timezone.now()
        ),
    ):
        with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
            change()


# --- refresh ----------------------------------------------------------------------------------------------------------


def test_refresh__within_tolerance__serves_by_itself_with_its_guard(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    version = refreshed(champion, factor=1.04)
    ctx = context()
    told = guard_and_assign(ctx=ctx, version=version)
    assert told["outcome"] == "assigned"
    assignment = selectors.current_champion()
    assert assignment is not None and (assignment.version, assignment.kind) == (version, "refresh")
    assert assignment.guard["realised"]["wape"] == pytest.approx(0.34) and assignment.guard["failing"] == []
    assert ForecastSet.objects.get(version=version).published_at is not None
    champion.refresh_from_db()
    assert champion.status == VersionStatus.RETIRED, "an older fit of the same spec has no more to tell"
    assert guard_and_assign(ctx=ctx, version=version) == told, "one run does it once"
    assert AuditEvent.objects.filter(event="refresh.guarded").count() == 1


@pytest.mark.parametrize(
    ("factor", "wape", "days", "failing"),
    [(1.06, 0.34, 14, "backtest"), (1.0, 0.38, 14, "realised"), (1.0, 0.34, 6, "realised"), (1.0, None, 0, "realised")],
    ids=["backtest_worse", "realised_worse", "realised_too_short", "nothing_realised"],
)
def test_refresh__guard_does_not_hold__champion_goes_on(
    alpha: Tenant, factor: float, wape: float | None, days: int, failing: str
) -> None:
    champion = promote().version
    if wape is not None:
        realise(champion, wape=wape, days=days)
    told = guard_and_assign(ctx=context(), version=refreshed(champion, factor=factor))
    assert told["outcome"] == "held" and told["guard"]["failing"] == [failing]
    assert "does not serve" in told["reason"]
    assert champions.champion_version() == champion


def test_refresh__open_incident_or_unknown_backtest__is_held(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    version = refreshed(champion)
    Heartbeat.objects.filter(schema_name="alpha").update(open_incidents=1, open_sev1=1)
    assert guard_and_assign(ctx=context(), version=version)["guard"]["failing"] == ["operations"]
    Heartbeat.objects.filter(schema_name="alpha").update(open_incidents=0, open_sev1=0)
    unknown = refreshed(champion, factor=None)
    assert "backtest" in guard_and_assign(ctx=context(), version=unknown)["guard"]["failing"]
    assert champions.champion_version() == champion


def test_refresh__policy_wants_a_person__asks_and_approval_is_recorded_as_refresh(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    change_policy(body={"refresh_mode": "review"}, actor=make_person("admin", Role.TENANT_ADMIN), reason="Audit season")
    told = guard_and_assign(ctx=context(), version=refreshed(champion))
    assert told["outcome"] == "review" and champions.champion_version() == champion
    decider = make_person("decider", Role.REVIEWER)
    assignment = approve_promotion(request_id=told["request"], actor=decider, reason="Seen")
    assert assignment.kind == "refresh" and assignment.guard == told["guard"]


def test_refresh__policy_wants_a_person_and_another_request_waits__is_held_and_says_so(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    change_policy(body={"refresh_mode": "review"}, actor=make_person("admin", Role.TENANT_ADMIN), reason="Audit season")
    waiting = make_pending_request(make_candidate(family="prophet"))
    ctx, version = context(), refreshed(champion)
    told = guard_and_assign(ctx=ctx, version=version)
    assert (told["outcome"], told["request"], told["assignment"]) == ("held", None, None)
    assert f"request {waiting.pk}" in told["reason"] and "on the version's page" in told["reason"]
    assert GateReport.objects.get(pk=told["report"]).verdict == "eligible"
    event = AuditEvent.objects.get(event="refresh.guarded")
    assert event.data["refused_code"] == "request_already_pending"
    assert champions.champion_version() == champion and PromotionRequest.objects.get(state="pending") == waiting
    again = guard_and_assign(ctx=ctx, version=version)
    assert (again["outcome"], again["report"]) == ("held", told["report"])
    assert "no request could be made" in again["reason"]
    withdraw_promotion(request_id=waiting.pk, actor=make_person("asker", Role.ANALYST), reason="The refresh goes first")
    later = request_promotion(candidate=version, actor=None, reason="The other one is gone")
    assert later.gate_report_id == told["report"]


def test_refresh__of_a_spec_that_does_not_serve__is_held(alpha: Tenant) -> None:
    champion = promote().version
    told = guard_and_assign(ctx=context(), version=make_candidate(family="prophet", mode="refresh"))
    assert told["outcome"] == "held" and not GateReport.objects.filter(evidence__kind="refresh_guard").exists()
    assert champions.champion_version() == champion


def test_refresh__attempt_that_lost_its_run__changes_nothing(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    ctx = context()
    Run.objects.filter(pk=ctx.run.pk).update(attempt=2)
    with pytest.raises(LeaseLost):
        guard_and_assign(ctx=ctx, version=refreshed(champion))
    assert champions.champion_version() == champion


def test_refresh__assigned__lapses_a_request_against_the_older_fit(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    request = make_pending_request(make_candidate(family="prophet"))
    guard_and_assign(ctx=context(), version=refreshed(champion))
    request.refresh_from_db()
    assert request.state == "lapsed" and lapse_stale() == []


# --- readiness --------------------------------------------------------------------------------------------------------


def test_readiness__grows_with_history_backtest_and_service(alpha: Tenant) -> None:
    rules = ReadinessRules()
    assert assess_readiness(candidate=None, rules=rules).state == "cold_start"
    make_demand(days=60)
    young = assess_readiness(candidate=None, rules=rules)
    assert young.state == "warming" and "60 days of history, needs 90" in young.missing
    make_demand(days=120)
    candidate = make_candidate()
    ready = assess_readiness(candidate=candidate, rules=rules)
    assert ready.state == "production_tier_candidate" and ready.facts["candidate_samples"] == 224
    promote(candidate)
    realise(candidate)
    assert assess_readiness(candidate=candidate, rules=rules).state == "production_tier_active"
    assert ready.facts["history_days"] == (AS_OF - date(2025, 12, 2)).days + 1


def test_promotion__days_came_in_while_it_waited__a_forecast_from_the_newest_day_is_queued(alpha: Tenant) -> None:
    version = make_candidate()
    make_demand(until=AS_OF + timedelta(days=3))
    promote(version)
    run = Run.objects.get(kind="forecasting.forecast")
    assert (run.state, run.inputs, run.scope) == (RunState.QUEUED, {"version": version.number}, version.label)


def test_promotion__its_forecasts_start_after_the_newest_day__nothing_is_queued(alpha: Tenant) -> None:
    version = make_candidate()
    make_demand(until=AS_OF)
    promote(version)
    assert not Run.objects.filter(kind="forecasting.forecast").exists()


def test_refresh__small_losses__do_not_add_up_past_what_a_person_approved(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    first = refreshed(champion, factor=1.04)
    assert guard_and_assign(ctx=context(), version=first)["outcome"] == "assigned"
    second = refreshed(champion, factor=1.08, days=21)
    told = guard_and_assign(ctx=context(), version=second)
    assert told["outcome"] == "held" and told["guard"]["failing"] == ["backtest_approved"]
    assert champions.champion_version() == first and told["guard"]["approved"] == champion.label
    assert f"that of {champion.label}, which a person approved last" in told["reason"]


def test_refresh__while_a_request_waits__lapses_it_and_asks_again_on_the_same_comparison(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    waiting = make_pending_request(make_candidate(family="prophet"))
    fresh = refreshed(champion)
    assert guard_and_assign(ctx=context(), version=fresh)["outcome"] == "assigned"
    waiting.refresh_from_db()
    assert waiting.state == "lapsed" and "the champion was refreshed" in waiting.decision_reason
    again = PromotionRequest.objects.get(state="pending")
    assert (again.candidate, again.champion) == (waiting.candidate, fresh)
    assert (again.requested_by, again.expires_at) == (waiting.requested_by, waiting.expires_at), "no further days"
    assert again.gate_report.results == waiting.gate_report.results
    assert again.gate_report.evidence["carried_over"]["report"] == waiting.gate_report_id
    decider = make_person("decider", Role.REVIEWER)
    assert approve_promotion(request_id=again.pk, actor=decider, reason="Still better").version == waiting.candidate


def test_refresh__request_that_had_changed_otherwise__is_not_asked_again(alpha: Tenant) -> None:
    champion = promote().version
    realise(champion)
    waiting = make_pending_request(make_candidate(family="prophet"))
    ModelVersion.objects.filter(pk=waiting.candidate_id).update(status=VersionStatus.RETIRED)
    guard_and_assign(ctx=context(), version=refreshed(champion))
    waiting.refresh_from_db()
    assert waiting.state == "lapsed" and not PromotionRequest.objects.filter(state="pending").exists()
