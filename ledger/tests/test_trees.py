"""Runs that belong together: one tree, cancelled as a whole, resumed where it failed, with their times."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_tenants.utils import tenant_context

from ledger.context import RunContext
from ledger.errors import DomainError, OperatorRequired, RunAlreadyLive, TransitionRefused, TreeEnded
from ledger.execution import execute
from ledger.jobs import job
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection
from ledger.selectors import tree_of
from ledger.services import runs
from tenants.roles import Role


class Broken(DomainError):
    code = "test_broken"


def _next(run: Run) -> None:
    if run.state == RunState.SUCCEEDED and runs.may_go_on(run):
        root = run.parent or run
        runs.enqueue(kind="test.last", parent=root, idempotency_key=f"{root.pk}:last", scope=run.scope)


@job("test.first", title="First", ended=_next, plan=lambda run: ("test.first", "test.last"))
def first(ctx: RunContext) -> dict[str, Any]:
    if ctx.inputs.get("cancel"):
        runs.cancel_tree(run_id=ctx.run.pk, actor=None)
    if ctx.inputs.get("break") and ctx.attempt == 1:
        raise Broken("The disk is full. Make room, then resume.")
    return {}


@job("test.last", title="Last")
def last(ctx: RunContext) -> dict[str, Any]:
    return {}


def _do(tenant: Any, run: Run) -> Run:
    with tenant_context(tenant):
        execute(tenant.schema_name, str(run.pk))
    connection.set_tenant(tenant)
    run.refresh_from_db()
    return run


def test_step__ends__the_next_is_queued_in_the_same_transaction(throwaway):
    """What another connection sees: never a step that ended without the next one in the queue."""
    run = runs.enqueue(kind="test.first")
    Run.objects.create(kind="test.last", idempotency_key="other", state=RunState.QUEUED)  # it cannot be queued
    _do(throwaway, run)
    assert (run.state, run.error_code) == (RunState.FAILED, "run_already_live")
    assert not AuditEvent.objects.filter(subject_id=str(run.pk), event="run.succeeded").exists()
    Run.objects.filter(idempotency_key="other").update(state=RunState.CANCELLED)
    runs.resume(run_id=run.pk, actor=None)
    assert _do(throwaway, run).state == RunState.SUCCEEDED
    assert Run.objects.filter(parent=run, state=RunState.QUEUED).count() == 1


def test_tree__step_failed__shows_what_was_done_and_what_was_not_reached(alpha):
    run = runs.enqueue(kind="test.first", inputs={"break": True})
    tree = tree_of(_do(alpha, run))
    assert (tree.state, [(s.title, s.run is None) for s in tree.steps]) == (
        "failed",
        [("First", False), ("Last", True)],
    )
    runs.resume(run_id=run.pk, actor=None)
    assert _do(alpha, run).state == RunState.SUCCEEDED
    child = Run.objects.get(kind="test.last")
    assert child.correlation_id == run.correlation_id and child.parent_id == run.pk
    _do(alpha, child)
    tree = tree_of(child)
    assert tree.state == "succeeded" and [s.depth for s in tree.steps] == [0, 1] and tree.steps[1].current
    assert tree.elapsed_seconds is not None and not tree.is_live


def test_tree__run_alone__is_itself(alpha):
    tree = tree_of(runs.enqueue(kind="test.last"))
    assert len(tree.steps) == 1 and tree.state == "queued"


def test_cancel_tree__running_step_ends_all_the_same__nothing_follows(alpha):
    run = runs.enqueue(kind="test.first", inputs={"cancel": True})
    assert _do(alpha, run).state == RunState.SUCCEEDED
    assert not Run.objects.filter(kind="test.last").exists()
    assert tree_of(run).state == "cancelled"
    with pytest.raises(TreeEnded, match="nothing to cancel"):
        runs.cancel_tree(run_id=run.pk, actor=None)


def test_cancel_tree__next_step_is_queued__it_is_cancelled_and_the_done_one_kept(alpha, make_user):
    run = _do(alpha, runs.enqueue(kind="test.first"))
    with pytest.raises(OperatorRequired):
        runs.cancel_tree(run_id=run.pk, actor=make_user("rita", Role.REVIEWER))
    (cancelled,) = runs.cancel_tree(run_id=run.pk, actor=make_user("ann", Role.ANALYST))
    assert (cancelled.kind, cancelled.state) == ("test.last", RunState.CANCELLED)
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED
    event = AuditEvent.objects.get(event="run.tree_cancelled")
    assert (event.actor_name, event.data["runs"]) == ("ann", [str(cancelled.pk)])
    assert execute(alpha.schema_name, str(cancelled.pk)) == "not queued"


def test_resume__pressed_twice__second_is_refused_and_one_attempt_is_made(alpha):
    run = _do(alpha, runs.enqueue(kind="test.first", inputs={"break": True}))
    runs.resume(run_id=run.pk, actor=None)
    with pytest.raises(TransitionRefused):
        runs.resume(run_id=run.pk, actor=None)
    _do(alpha, run)
    assert _do(alpha, run).attempt == 2  # delivered twice, done once
    assert Run.objects.filter(kind="test.last").count() == 1


def test_times__retried_run__waiting_and_work_are_summed_apart(alpha):
    now = timezone.now()

    def at(seconds: float) -> str:
        return (now + timedelta(seconds=seconds)).isoformat()

    log = [
        {"attempt": 1, "outcome": "lost", "queued_at": at(-100), "started_at": at(-90), "ended_at": at(-60)},
        {"attempt": 2, "outcome": "succeeded", "queued_at": at(-60), "started_at": at(-55), "ended_at": at(-15)},
    ]
    run = Run(kind="test.last", state=RunState.SUCCEEDED, attempts_log=log, started_at=now - timedelta(seconds=90))
    assert (run.waited_seconds, run.worked_seconds) == (15.0, 70.0)
    assert run.first_queued_at == now - timedelta(seconds=100)
    waiting = Run(kind="test.last", state=RunState.QUEUED, queued_at=now - timedelta(seconds=30))
    assert 30 <= waiting.waited_seconds < 40 and waiting.worked_seconds is None


def test_reap__queued_run_was_not_sent_for_long__is_sent_again_and_keeps_its_place(alpha, settings):
    run = runs.enqueue(kind="test.last")
    long_ago = timezone.now() - timedelta(seconds=settings.Q_CLUSTER["retry"] + 1)
    Run.objects.filter(pk=run.pk).update(sent_at=long_ago, queued_at=long_ago)
    assert [one.pk for one in runs.reap()] == [run.pk]
    run.refresh_from_db()
    assert run.queued_at == long_ago and run.sent_at > long_ago
    assert runs.reap() == []


def test_enqueue__same_kind_and_scope_live__refused(alpha):
    runs.enqueue(kind="test.last", scope="s")
    with pytest.raises(RunAlreadyLive):
        runs.enqueue(kind="test.last", scope="s")
