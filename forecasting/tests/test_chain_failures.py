"""A chain that fails on its way: in each step, by what really breaks; it stops there and goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.files.storage import default_storage
from django.db import connection as django_connection
from django_tenants.utils import tenant_context

from forecasting.models import Demand, ForecastSet, GateReport, HoldoutAccess, ModelVersion, PromotionRequest
from forecasting.services import chain
from forecasting.tests.factories import make_candidate, make_eligible_report, promote
from forecasting.tests.synthetic import LAST, load, make_demand
from integrations.errors import TenantSuspended
from ledger.errors import OperatorRequired
from ledger.execution import execute
from ledger.models import Run, RunState
from ledger.schema import connection
from ledger.selectors import tree_of
from ledger.services import runs
from tenants.errors import RoleRequired
from tenants.models import Tenant, TenantStatus
from tenants.roles import Role

NAIVE = ("seasonal_naive",)


def one(tenant: Tenant) -> Run | None:
    """Do the next queued run, as a worker would."""
    run = Run.objects.filter(state=RunState.QUEUED).order_by("queued_at").first()
    if run is not None:
        with tenant_context(tenant):
            execute(tenant.schema_name, str(run.pk))
        connection.set_tenant(tenant)
        run.refresh_from_db()
    return run


def until(tenant: Tenant, kind: str) -> Run:
    """Do the steps before this one; return it, queued."""
    while (step := Run.objects.filter(kind=kind, state=RunState.QUEUED).first()) is None:
        done = one(tenant)
        assert done is not None and done.state == RunState.SUCCEEDED, done and done.error
    return step


def _no_demand() -> Callable[[], None]:
    kept = list(Demand.objects.all())
    Demand.objects.all().delete()

    def mend() -> None:
        Demand.objects.bulk_create(kept)

    return mend


def _damaged(role: str) -> Callable[[], None]:
    artifact = ModelVersion.objects.get().artifacts.filter(role=role).exclude(name="manifest.json").earliest("pk")
    with default_storage.open(artifact.path, "rb") as file:
        whole = file.read()

    def write(content: bytes) -> None:
        with default_storage.open(artifact.path, "wb") as file:
            file.write(content)

    write(whole[:-1])
    return lambda: write(whole)


BREAK = {
    chain.RETRAIN: (_no_demand, "no_demand"),
    chain.FORECAST: (lambda: _damaged("serving"), "artifact_corrupt"),
    chain.ACCURACY: (_no_demand, "no_demand"),
    chain.GATE: (lambda: _damaged("evaluation"), "artifact_corrupt"),
}


@pytest.mark.parametrize("kind", BREAK)
def test_chain__step_fails__stops_there_and_goes_on_from_there_when_mended(alpha, make_user, kind):
    load(make_demand(stores=1, products=3))
    root = chain.start_chain(actor=make_user("ann", Role.ANALYST), families=NAIVE)
    step = until(alpha, kind)
    before = list(Run.objects.exclude(pk=step.pk).values_list("pk", "state", "attempt"))
    breaks, code = BREAK[kind]
    mend = breaks()
    failed = one(alpha)
    assert failed == step and failed.state == RunState.FAILED and code in failed.error_code
    assert one(alpha) is None, "nothing follows a failure"
    tree = tree_of(failed)
    assert tree.state == RunState.FAILED and tree.steps[-1].run is None
    with pytest.raises(OperatorRequired):
        runs.resume(run_id=step.pk, actor=make_user("rita", Role.REVIEWER))
    mend()
    runs.resume(run_id=step.pk, actor=make_user("bob", Role.ANALYST))
    while one(alpha) is not None:
        pass
    done = list(Run.objects.order_by("queued_at"))
    assert [run.kind for run in done] == [chain.RETRAIN, chain.FORECAST, chain.ACCURACY, chain.GATE]
    assert {run.state for run in done} == {RunState.SUCCEEDED}
    assert {run.correlation_id for run in done} == {root.correlation_id}
    assert [run.attempt for run in done] == [2 if run.kind == kind else 1 for run in done]
    now = dict(Run.objects.values_list("pk", "attempt"))
    assert all(now[pk] == attempt for pk, _, attempt in before), "what was done is not done again"
    assert ModelVersion.objects.count() == ForecastSet.objects.count() == GateReport.objects.count() == 1
    assert HoldoutAccess.objects.count() == 1


def test_chain__database_refuses_the_request__resumed_once_it_takes_it(alpha):
    candidate = make_candidate()
    make_eligible_report(candidate)
    inputs = {"version": candidate.number, "mode": "search", "as_of": candidate.as_of.isoformat(), "reason": "",
              "chain": True}  # fmt: skip
    run = runs.enqueue(kind=chain.REQUEST, inputs=inputs, scope=candidate.label)
    with django_connection.cursor() as cursor:
        cursor.execute("ALTER TABLE forecasting_promotionrequest ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    failed = one(alpha)
    assert failed == run and (failed.state, failed.error_code) == (RunState.FAILED, "crash")
    with django_connection.cursor() as cursor:
        cursor.execute("ALTER TABLE forecasting_promotionrequest DROP CONSTRAINT full_disk")
    runs.resume(run_id=run.pk, actor=None)
    again = one(alpha)
    assert again is not None and again.state == RunState.SUCCEEDED
    assert PromotionRequest.objects.get().pk == again.outputs["request"]


def test_chain__request_is_delivered_after_a_kill__it_is_asked_for_once(alpha):
    """The step wrote the request and its worker was killed before the step's end was written."""
    candidate = make_candidate()
    make_eligible_report(candidate)
    inputs = {"version": candidate.number, "mode": "search", "as_of": candidate.as_of.isoformat(), "reason": "",
              "chain": True}  # fmt: skip
    run = runs.enqueue(kind=chain.REQUEST, inputs=inputs, scope=candidate.label)
    one(alpha)
    Run.objects.filter(pk=run.pk).update(state=RunState.QUEUED, outputs={})
    again = one(alpha)
    assert again is not None and again.outputs["request"] == PromotionRequest.objects.get().pk


def test_chain__tenant_is_suspended_on_the_way__waits_and_goes_on_when_it_is_active_again(alpha, make_user):
    load(make_demand(stores=1, products=2))
    chain.start_chain(actor=None, families=NAIVE)
    step = until(alpha, chain.ACCURACY)
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.SUSPENDED, status_reason="Unpaid")
    assert execute(alpha.schema_name, str(step.pk)) == "waiting"
    connection.set_tenant(alpha)
    Run.objects.filter(pk=step.pk).update(state=RunState.FAILED)
    with pytest.raises(TenantSuspended):
        runs.resume(run_id=step.pk, actor=make_user("ann", Role.ANALYST))
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.ACTIVE)
    runs.resume(run_id=step.pk, actor=None)
    done = one(alpha)
    assert done == step and done.state == RunState.SUCCEEDED


def test_resume__person_may_operate_runs_but_has_no_role__is_refused(alpha, make_user):
    load(make_demand(stores=1, products=2))
    root = chain.start_chain(actor=None, families=NAIVE)
    Run.objects.filter(pk=root.pk).update(state=RunState.FAILED)
    eve = make_user("eve")
    eve.user_permissions.add(Permission.objects.get(codename="change_run"))
    with pytest.raises(RoleRequired):
        runs.resume(run_id=root.pk, actor=type(eve).objects.get(pk=eve.pk))


def test_chains__two_at_once__do_not_disturb_each_other(alpha):
    load(make_demand(stores=1, products=3))
    first = chain.start_chain(actor=None, families=NAIVE)
    until(alpha, chain.FORECAST)
    second = chain.start_chain(actor=None, families=NAIVE, as_of=LAST - timedelta(days=7))
    while one(alpha) is not None:
        pass
    for root in (first, second):
        steps = tree_of(Run.objects.get(pk=root.pk)).runs
        assert [run.kind for run in steps] == [chain.RETRAIN, chain.FORECAST, chain.ACCURACY, chain.GATE]
        assert {run.state for run in steps} == {RunState.SUCCEEDED}
        assert len({run.outputs["version"] for run in steps}) == 1
    assert ModelVersion.objects.count() == 2 == GateReport.objects.count()


def test_chain__champion_changes_on_the_way__ends_without_a_request_and_says_why(alpha):
    candidate, other = make_candidate(family="lightgbm"), make_candidate(family="seasonal_average")
    make_eligible_report(candidate)
    promote(other)
    inputs = {"version": candidate.number, "mode": "search", "as_of": candidate.as_of.isoformat(), "reason": "",
              "chain": True}  # fmt: skip
    run = runs.enqueue(kind=chain.REQUEST, inputs=inputs, scope=candidate.label)
    while (done := one(alpha)) is not None and done != run:
        pass
    run.refresh_from_db()
    assert (run.state, run.outputs["request"]) == (RunState.SUCCEEDED, None)
    assert "Judge again" in run.outputs["refused"]


def test_chain__past_days_are_corrected_on_the_way__gate_refuses_and_says_to_retrain(alpha):
    load(make_demand(stores=1, products=3))
    chain.start_chain(actor=None, families=NAIVE)
    step = until(alpha, chain.GATE)
    Demand.objects.filter(date=LAST - timedelta(days=60)).update(quantity=777)
    failed = one(alpha)
    assert failed == step and failed.state == RunState.FAILED and "Retrain" in failed.error
    assert HoldoutAccess.objects.count() == 0, "the holdout stays sealed"


def test_cancel_all__between_two_steps__the_queued_one_ends_and_the_version_is_kept(alpha, make_user):
    load(make_demand(stores=1, products=2))
    root = chain.start_chain(actor=None, families=NAIVE)
    step = until(alpha, chain.FORECAST)
    assert runs.cancel_tree(run_id=step.pk, actor=make_user("ann", Role.ANALYST)) == [step]
    assert one(alpha) is None and ModelVersion.objects.count() == 1 and ForecastSet.objects.count() == 0
    assert tree_of(Run.objects.get(pk=root.pk)).state == RunState.CANCELLED
