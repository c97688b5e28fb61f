"""Runs: states, idempotency, overlap, heartbeat, cancel, loss and retry."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.context import RunContext
from ledger.errors import DomainError, RunAlreadyLive, TransitionRefused, UnknownJobKind
from ledger.execution import execute, run_inline
from ledger.jobs import job
from ledger.models import RUN_TRANSITIONS, AuditEvent, Run, RunState
from ledger.schema import connection
from ledger.services import runs
from tenants.models import Tenant


class Refused(DomainError):
    code = "test_refused"


@job("test.add", title="Add", max_attempts=2)
def add(ctx: RunContext) -> dict[str, Any]:
    ctx.progress(1, 2, "half")
    ctx.progress(2, 2, "whole")
    return {"sum": ctx.inputs["a"] + ctx.inputs["b"], "schema": connection.schema_name}


@job("test.refuse", title="Refuse")
def refuse(ctx: RunContext) -> dict[str, Any]:
    raise Refused("Not today. Come back tomorrow.")


@job("test.crash", title="Crash")
def crash(ctx: RunContext) -> dict[str, Any]:
    raise ZeroDivisionError("boom")


@job("test.slow", title="Slow", max_attempts=2)
def slow(ctx: RunContext) -> dict[str, Any]:
    """Works on after it was called lost, as a stopped machine does that wakes up again."""
    Run.objects.filter(pk=ctx.run.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    runs.reap(lost_after_seconds=60)
    ctx.fence()
    return {"written": True}


@job("test.cancelled", title="Cancelled")
def cancelled(ctx: RunContext) -> dict[str, Any]:
    runs.cancel(run_id=ctx.run.pk, actor=None)
    ctx.progress(2, 2)
    return {"written": True}


def test_run__enqueued_and_executed__succeeds_with_outputs_in_its_own_schema(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.add", inputs={"a": 2, "b": 3})
    connection.set_schema_to_public()
    assert execute("alpha", str(run.pk)) == RunState.SUCCEEDED
    assert connection.schema_name == "public"
    connection.set_tenant(alpha)
    run.refresh_from_db()
    assert run.outputs == {"sum": 5, "schema": "alpha"}
    assert (run.progress_done, run.progress_total, run.progress_percent) == (2, 2, 100)
    events = AuditEvent.objects.filter(subject_id=str(run.pk)).values_list("event", flat=True)
    assert list(events) == ["run.succeeded", "run.queued"]


def test_run__message_delivered_twice__is_executed_once(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.add", inputs={"a": 1, "b": 1})
    execute("alpha", str(run.pk))
    assert execute("alpha", str(run.pk)) == "not queued"
    connection.set_tenant(alpha)
    run.refresh_from_db()
    assert run.attempt == 1


def test_run__same_idempotency_key__returns_the_first(alpha: Tenant) -> None:
    first = runs.enqueue(kind="test.add", idempotency_key="k")
    assert runs.enqueue(kind="test.add", idempotency_key="k").pk == first.pk


def test_run__second_of_same_kind_and_scope__is_refused_naming_the_first(alpha: Tenant) -> None:
    first = runs.enqueue(kind="test.add", scope="s")
    with pytest.raises(RunAlreadyLive, match="queued already") as caught:
        runs.enqueue(kind="test.add", scope="s")
    assert caught.value.run.pk == first.pk
    assert runs.enqueue(kind="test.add", scope="other").pk != first.pk


def test_run__unknown_kind__is_refused(alpha: Tenant) -> None:
    with pytest.raises(UnknownJobKind):
        runs.enqueue(kind="no.such")


def test_run__expected_failure__is_failed_with_its_code(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.refuse")
    execute("alpha", str(run.pk))
    connection.set_tenant(alpha)
    run.refresh_from_db()
    assert (run.state, run.error_code, run.error) == ("failed", "test_refused", "Not today. Come back tomorrow.")


def test_run__crash__is_recorded_and_raised_inline(alpha: Tenant) -> None:
    with pytest.raises(ZeroDivisionError):
        run_inline(kind="test.crash")
    run = Run.objects.get(kind="test.crash")
    assert (run.state, run.error_code) == ("failed", "crash")


def test_run__attempt_that_was_called_lost__cannot_write_and_is_retried(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.slow")
    execute("alpha", str(run.pk))
    connection.set_tenant(alpha)
    run.refresh_from_db()
    assert (run.state, run.outputs, run.attempt) == ("queued", {}, 1)
    assert [entry["outcome"] for entry in run.attempts_log] == ["lost"]
    names = list(AuditEvent.objects.filter(subject_id=str(run.pk)).values_list("event", flat=True))
    assert names == ["run.retried", "run.lost", "run.queued"]


def test_run__lost_more_often_than_allowed__fails_and_says_so(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.slow")
    for _ in range(2):
        execute("alpha", str(run.pk))
        connection.set_tenant(alpha)
    run.refresh_from_db()
    assert (run.state, run.error_code, run.attempt) == ("failed", "lost", 2)
    resumed = runs.resume(run_id=run.pk, actor=None)
    assert (resumed.state, resumed.max_attempts) == ("queued", 3)


def test_run__resumed_while_another_of_its_kind_and_scope_is_live__is_refused_naming_that(alpha: Tenant) -> None:
    failed = Run.objects.create(kind="test.add", scope="s", idempotency_key="k", state=RunState.FAILED)
    live = runs.enqueue(kind="test.add", scope="s")
    with pytest.raises(RunAlreadyLive) as caught:
        runs.resume(run_id=failed.pk, actor=None)
    assert caught.value.run.pk == live.pk
    failed.refresh_from_db()
    assert failed.state == RunState.FAILED


def test_run__failed_after_it_was_asked_to_end__is_not_cancelled_when_resumed(alpha: Tenant) -> None:
    failed = Run.objects.create(
        kind="test.add",
        idempotency_key="k",
        state=RunState.FAILED,
        inputs={"a": 1, "b": 1},
        cancel_requested_at=timezone.now(),
    )
    runs.resume(run_id=failed.pk, actor=None)
    assert execute("alpha", str(failed.pk)) == RunState.SUCCEEDED


def test_run__cancelled_while_running__ends_at_its_next_progress(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.cancelled")
    execute("alpha", str(run.pk))
    connection.set_tenant(alpha)
    run.refresh_from_db()
    assert (run.state, run.outputs) == ("cancelled", {})


def test_run__inputs_with_paths__are_shown_without_folders(alpha: Tenant) -> None:
    run = runs.enqueue(kind="test.add", inputs={"files": {"transactions": ["/srv/secret/sales.csv"]}, "note": "a/b"})
    assert run.shown_inputs == {"files": {"transactions": ["sales.csv"]}, "note": "a/b"}


def test_run__ended__cannot_be_cancelled(alpha: Tenant) -> None:
    run = run_inline(kind="test.add", inputs={"a": 1, "b": 1})
    with pytest.raises(TransitionRefused):
        runs.cancel(run_id=run.pk, actor=None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from(RunState.values), wanted=st.sampled_from(RunState.values))
def test_run__any_pair_of_states__moves_only_along_the_table(alpha: Tenant, start: str, wanted: str) -> None:
    run = Run.objects.create(kind="test.add", scope=uuid.uuid4().hex, idempotency_key=uuid.uuid4().hex, state=start)
    if wanted in RUN_TRANSITIONS[start]:
        assert runs.change_state(run, RunState(wanted)).state == wanted
    else:
        with pytest.raises(TransitionRefused):
            runs.change_state(run, RunState(wanted))
