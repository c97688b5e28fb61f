"""The chain: queued step by step, or all in one process; every step once, each a run of its own."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from django_tenants.utils import tenant_context

from forecasting import selectors
from forecasting.errors import (
    CandidateNotJudgeable,
    FamilyUnknown,
    HorizonShort,
    NothingToRefresh,
    ReasonMissing,
    VersionUnknown,
)
from forecasting.models import ForecastSet, GateReport, HoldoutAccess, ModelVersion, PromotionRequest
from forecasting.services import chain
from forecasting.services.policy import change_policy
from forecasting.tests.factories import make_candidate, promote
from forecasting.tests.synthetic import LAST, load, make_demand, train
from integrations.errors import TenantSuspended
from ledger.errors import RunAlreadyLive
from ledger.execution import execute
from ledger.models import Run, RunState
from ledger.services.leftovers import end_leftovers
from tenants.errors import RoleRequired
from tenants.models import Tenant, TenantStatus
from tenants.roles import Role

NAIVE = ("seasonal_naive",)


def work_off(tenant) -> list[Run]:
    """Do what is queued, as a worker would, until nothing is."""
    done = []
    while (run := Run.objects.filter(state=RunState.QUEUED).order_by("queued_at").first()) is not None:
        with tenant_context(tenant):
            execute(tenant.schema_name, str(run.pk))
        run.refresh_from_db()
        assert run.state == RunState.SUCCEEDED, run.error
        done.append(run)
    return done


def test_start_chain__worked_off__each_step_queues_the_next_under_the_first_run(alpha, make_user):
    load(make_demand(stores=2, products=4))
    analyst = make_user("ann", Role.ANALYST)
    first = chain.start_chain(actor=analyst, families=NAIVE)
    done = work_off(alpha)
    assert [run.kind for run in done] == [chain.RETRAIN, chain.FORECAST, chain.ACCURACY, chain.GATE]
    assert done[0] == first and all(run.parent_id == first.pk for run in done[1:])
    assert {run.requested_by_name for run in done} == {"ann"}
    assert {run.correlation_id for run in done} == {first.correlation_id}
    # Seasonal naive cannot beat seasonal naive: the gate says so and nothing is asked for.
    assert done[-1].outputs["verdict"] == "blocked" and "beats_naive" in done[-1].outputs["failing"]
    assert PromotionRequest.objects.count() == 0
    assert ModelVersion.objects.get().created_by == analyst


def test_start_chain__step_delivered_again__its_successor_is_queued_once(alpha):
    load(make_demand(stores=1, products=2))
    first = chain.start_chain(actor=None, families=NAIVE)
    for _ in range(2):
        Run.objects.filter(pk=first.pk).update(state=RunState.QUEUED)
        with tenant_context(alpha):
            execute(alpha.schema_name, str(first.pk))
    assert Run.objects.filter(kind=chain.FORECAST).count() == 1
    assert ModelVersion.objects.count() == 1


def test_start_chain__another_is_live_or_no_role__refused(alpha, make_user):
    load(make_demand(stores=1, products=2))
    with pytest.raises(RoleRequired):
        chain.start_chain(actor=make_user("vera", Role.VIEWER), families=NAIVE)
    with pytest.raises(RoleRequired):
        chain.start_chain(actor=make_user("rita", Role.REVIEWER), families=NAIVE)
    with pytest.raises(FamilyUnknown, match="Known: seasonal_naive"):
        chain.start_chain(actor=None, families=["arima"])
    with pytest.raises(NothingToRefresh):
        chain.start_chain(actor=None, mode="refresh")
    assert Run.objects.count() == 0
    chain.start_chain(actor=make_user("tom", Role.TENANT_ADMIN), families=NAIVE)
    with pytest.raises(RunAlreadyLive, match="started by tom"):
        chain.start_chain(actor=None, families=NAIVE)


def test_start_judgement__second_opening__gate_alone_is_queued_and_the_reason_is_kept(alpha, make_user):
    load(make_demand(stores=2, products=4))
    chain.start_chain(actor=None, families=NAIVE)
    work_off(alpha)
    ann = make_user("ann", Role.ANALYST)
    asked = chain.start_judgement(actor=ann, version=1, reason=" The policy changed ")
    with pytest.raises(RunAlreadyLive):
        chain.start_judgement(actor=None, version=ModelVersion.objects.get(), reason="Twice")
    assert work_off(alpha) == [asked]
    asked.refresh_from_db()
    assert asked.outputs["chain"] is True and asked.outputs["verdict"] == "blocked"
    opened = HoldoutAccess.objects.order_by("opened_at").last()
    assert opened is not None and HoldoutAccess.objects.count() == 2
    assert (opened.reason, opened.opened_by_name, opened.run_id) == ("The policy changed", "ann", asked.pk)


def test_start_judgement__eligible__its_outputs_lead_to_the_request(alpha):
    version = make_candidate()
    run = chain.start_judgement(actor=None, version=version, reason="The request lapsed")
    carried = {"version": version.number, "mode": "search", "as_of": version.as_of.isoformat(),
               "reason": "The request lapsed", "chain": True}  # fmt: skip
    assert run.inputs == carried
    step = chain.next_step(run.kind, {**run.inputs, "report": 1, "verdict": "eligible", "failing": []})
    assert step == (chain.REQUEST, carried, run.scope)


def test_start_judgement__policy_now_looks_further_than_the_version__holdout_is_not_opened_for_it(alpha, make_user):
    version = make_candidate(horizon=7)
    admin = make_user("tom", Role.TENANT_ADMIN)
    change_policy(body={"business": {"lead_time_days": 10}}, actor=admin, reason="The depot moved")
    with pytest.raises(HorizonShort, match=r"horizon of 7 .* interval of 15 days"):
        chain.start_judgement(actor=admin, version=version, reason="The policy changed")
    assert not Run.objects.filter(kind=chain.GATE).exists() and not HoldoutAccess.objects.exists()


def test_start_judgement__no_role_or_reason_or_cannot_be_judged__refused(alpha, make_user):
    champion = promote(make_candidate()).version
    with pytest.raises(RoleRequired):
        chain.start_judgement(actor=make_user("rita", Role.REVIEWER), version=champion, reason="Again")
    with pytest.raises(ReasonMissing, match="judge this version"):
        chain.start_judgement(actor=None, version=champion, reason=" ")
    with pytest.raises(CandidateNotJudgeable, match="champion already"):
        chain.start_judgement(actor=None, version=champion, reason="Again")
    with pytest.raises(VersionUnknown):
        chain.start_judgement(actor=None, version=champion.number + 1, reason="Again")
    assert not Run.objects.filter(kind=chain.GATE).exists()


def test_start_chain__tenant_is_suspended__refused(alpha):
    load(make_demand(stores=1, products=2))
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.SUSPENDED)
    for start in (chain.start_chain, chain.run_chain_inline):
        with pytest.raises(TenantSuspended):
            start(actor=None, families=NAIVE)
    assert Run.objects.count() == 0


def test_run_chain_inline__blocked__outcome_says_why(alpha):
    load(make_demand(stores=2, products=4))
    heard: list[str] = []
    outcome = chain.run_chain_inline(families=NAIVE, listener=lambda kind, *_: heard.append(kind))
    assert (outcome.version, outcome.spec, outcome.verdict) == (1, "single_seasonal_naive", "blocked")
    assert outcome.refused and outcome.request is None and "beats_naive" in outcome.request_reason
    assert (outcome.scores_of, outcome.forecasts, outcome.series) == ("holdout", 8 * 14, 8)
    wape = outcome.scores["wape"]
    assert wape is not None and wape == pytest.approx(outcome.scores["wape_naive"])
    assert set(outcome.seconds) == {"retrain", "forecast", "accuracy", "gate", "total"}
    assert {gate["name"] for gate in outcome.gates} >= {"inputs", "partition", "beats_naive", "evidence"}
    assert list(dict.fromkeys(heard)) == [chain.RETRAIN, chain.FORECAST, chain.ACCURACY, chain.GATE]
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}


def test_run_chain_inline__champion_serves__it_forecasts_from_the_same_day(alpha):
    load(make_demand(stores=2, products=4))
    champion = train(as_of=LAST - timedelta(days=14))
    promote(champion)
    outcome = chain.run_chain_inline(families=NAIVE)
    serving = selectors.serving_set()
    assert serving is not None and (serving.version, serving.origin_date) == (champion, LAST)
    shadow = ForecastSet.objects.get(version__number=outcome.version)
    assert shadow.published_at is None and shadow.origin_date == LAST
    assert GateReport.objects.get(candidate=shadow.version).champion == champion


def test_run_chain_inline__refresh__ends_with_the_guard(alpha):
    load(make_demand(stores=2, products=4))
    champion = train(as_of=LAST - timedelta(days=14))
    promote(champion)
    outcome = chain.run_chain_inline(mode="refresh")
    assert outcome.mode == "refresh" and outcome.verdict is None and outcome.guard
    assert set(outcome.seconds) == {"retrain", "forecast", "accuracy", "guard", "total"}
    assert outcome.refused == (outcome.champion != outcome.version)


def test_end_leftovers__killed_chain_left_a_step__only_that_one_is_ended(alpha):
    long_ago = timezone.now() - timedelta(seconds=4 * settings.RUN_HEARTBEAT_SECONDS)
    gone = Run.objects.create(
        kind=chain.RETRAIN,
        state=RunState.RUNNING,
        attempt=1,
        idempotency_key="killed",
        inputs={"in_process": True},
        worker=f"{socket.gethostname()}:999999999",
        heartbeat_at=long_ago,
        started_at=long_ago,
    )
    alive = Run.objects.create(
        kind=chain.FORECAST,
        state=RunState.RUNNING,
        attempt=1,
        idempotency_key="alive",
        inputs={"in_process": True},
        worker=f"{socket.gethostname()}:{os.getpid()}",
        heartbeat_at=timezone.now(),
    )
    end_leftovers()
    gone.refresh_from_db()
    alive.refresh_from_db()
    assert (gone.state, alive.state) == (RunState.CANCELLED, RunState.RUNNING)
    load(make_demand(stores=1, products=2))
    assert chain.start_chain(actor=None, families=NAIVE).state == RunState.QUEUED


def test_next_step__verdict_and_mode__decide_what_follows():
    base = {"chain": True, "version": 3, "mode": "search", "as_of": "2017-05-31", "reason": ""}
    kinds = {}
    for kind, more in (
        (chain.RETRAIN, {}),
        (chain.FORECAST, {}),
        (chain.ACCURACY, {}),
        (chain.GATE, {"verdict": "eligible"}),
    ):
        step = chain.next_step(kind, {**base, **more})
        assert step is not None and step[2] == "v3" and step[1]["version"] == 3
        kinds[kind] = step[0]
    assert list(kinds.values()) == [chain.FORECAST, chain.ACCURACY, chain.GATE, chain.REQUEST]
    assert chain.next_step(chain.GATE, {**base, "verdict": "blocked"}) is None
    assert chain.next_step(chain.REQUEST, base) is None
    after = chain.next_step(chain.ACCURACY, {**base, "mode": "refresh"})
    assert after is not None and after[0] == chain.GUARD
    assert chain.next_step(chain.FORECAST, {**base, "chain": False}) is None
