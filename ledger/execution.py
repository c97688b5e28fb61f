"""The wrapper that every background job goes through."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import DatabaseError, transaction
from django.utils import timezone
from django_tenants.utils import schema_context

from ledger.context import Listener, RunContext
from ledger.database_loss import database_went_away, server_started_at, wait_for_database
from ledger.errors import DomainError, LeaseLost, RunCancelled
from ledger.jobs import get_job, is_ready, may_start
from ledger.models import Run, RunState
from ledger.schema import connection
from ledger.services import attempts, runs
from ledger.services.audit import record

logger = logging.getLogger(__name__)


def execute(schema_name: str, run_id: str) -> str:
    """Entry point of the broker: run ``run_id`` of ``schema_name`` once, and leave on the public schema.

    A message for a run that is not queued (delivered twice, cancelled, done) does nothing. A run of a schema whose jobs
    may not start stays queued. Returns the run's state.
    """
    try:
        if not may_start(schema_name):
            return "waiting"
        with schema_context(schema_name):
            run = _claim(uuid.UUID(run_id))
            if run is None:
                return "not queued"
            return _perform(run, listener=None, raise_errors=False).state
    finally:
        connection.set_schema_to_public()


def run_inline(
    *,
    kind: str,
    inputs: dict[str, Any] | None = None,
    scope: str = "",
    idempotency_key: str | None = None,
    requested_by: AbstractBaseUser | None = None,
    parent: Run | None = None,
    listener: Listener | None = None,
) -> Run:
    """Do the same in this process and return the ended run; a body's error is raised after it was recorded.

    A run that has ``idempotency_key`` and succeeded is returned as it is.
    """
    run, created = runs.create(
        kind=kind, inputs=inputs, scope=scope, idempotency_key=idempotency_key, requested_by=requested_by, parent=parent
    )
    if not created and run.state != RunState.QUEUED:
        return run
    claimed = _claim(run.pk)
    if claimed is None:
        return Run.objects.get(pk=run.pk)
    return _perform(claimed, listener=listener, raise_errors=True)


@transaction.atomic
def _claim(run_id: uuid.UUID) -> Run | None:
    """Take a queued run for a new attempt; ``None`` where there is nothing to take, or it has to wait for another."""
    run = Run.objects.select_for_update().filter(pk=run_id, state=RunState.QUEUED).first()
    if run is None or not is_ready(run):
        return None
    now = timezone.now()
    return runs.change_state(
        run,
        RunState.RUNNING,
        attempt=run.attempt + 1,
        started_at=run.started_at or now,
        attempt_started_at=now,
        heartbeat_at=now,
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )


def _perform(run: Run, *, listener: Listener | None, raise_errors: bool) -> Run:
    context = RunContext(run, listener=listener)
    since = server_started_at()
    try:
        with _heartbeat(run):
            outputs = get_job(run.kind).body(context)
    except LeaseLost:
        logger.warning("%s went on after it was called lost; its work is dropped", run)
        return _as_it_is(run)
    except RunCancelled:
        return _end(run, RunState.CANCELLED)
    except Exception as error:  # noqa: BLE001  # whatever a body raises is recorded
        if raise_errors or not database_went_away(error, since):
            return _failed(run, error, raise_errors=raise_errors)
        return _lost_its_database(run, context.schema_name, error)
    except BaseException as error:  # a process that is told to end
        _failed(run, error, raise_errors=True)
        raise
    try:
        return _succeeded(run, outputs, raise_errors=raise_errors)
    except DatabaseError as error:
        if raise_errors or not database_went_away(error, since):
            raise
        return _lost_its_database(run, context.schema_name, error)


def _failed(run: Run, error: BaseException, *, raise_errors: bool) -> Run:
    if isinstance(error, DomainError):
        ended = _end(run, RunState.FAILED, error=str(error), error_code=error.code)
        if raise_errors:
            raise error
        return ended
    logger.error("%s failed", run, exc_info=error)
    ended = _end(run, RunState.FAILED, error=f"{type(error).__name__}: {error}", error_code="crash")
    if raise_errors:
        raise error
    return ended


def _succeeded(run: Run, outputs: dict[str, Any], *, raise_errors: bool) -> Run:
    try:
        return _end(run, RunState.SUCCEEDED, outputs=outputs)
    except DomainError as error:  # what has to follow it could not be queued: the work is kept, its end is not
        ended = _end(run, RunState.FAILED, error=str(error), error_code=error.code)
        if raise_errors:
            raise
        return ended


def _lost_its_database(run: Run, schema_name: str, error: Exception) -> Run:
    """The server restarted or the connection broke: that is nobody's mistake, and the run is tried again.

    Where the database does not come back soon, the reaper finds the silent run later.
    """
    logger.warning("%s lost its database and is tried again (%s)", run, str(error).strip().splitlines()[:1])
    if wait_for_database(schema_name):
        attempts.lose(run_id=run.pk, worker=run.worker, attempt=run.attempt, why="its database went away")
        return _as_it_is(run)
    return run


def _as_it_is(run: Run) -> Run:
    """The run's row; where its tenant was deleted meanwhile there is none, and what we have is the last of it."""
    return Run.objects.filter(pk=run.pk).first() or run


@transaction.atomic
def _end(run: Run, state: RunState, **fields: Any) -> Run:
    """Close this attempt, unless another one owns the run by now."""
    locked = Run.objects.select_for_update().filter(pk=run.pk).first()
    if locked is None:
        logger.warning("%s has no row any more: its tenant was deleted", run)
        return run
    if locked.attempt != run.attempt or locked.state != RunState.RUNNING:
        return locked
    now = timezone.now()
    if state == RunState.SUCCEEDED:
        fields["progress_done"] = locked.progress_total
    log = [*locked.attempts_log, runs.attempt_entry(locked, state, now)]
    runs.change_state(locked, state, finished_at=now, attempts_log=log, **fields)
    record(
        event=f"run.{state}",
        subject=locked,
        data={"kind": locked.kind, "error_code": locked.error_code, "error": locked.error[:500]},
        correlation_id=locked.correlation_id,
    )
    return locked


@contextmanager
def _heartbeat(run: Run) -> Iterator[None]:
    """Sign that the run lives, from a thread with a connection of its own, for as long as the body works."""
    stop = threading.Event()
    schema_name = connection.schema_name

    def beat() -> None:
        connection.set_schema(schema_name)
        try:
            while not stop.wait(settings.RUN_HEARTBEAT_SECONDS):
                try:
                    Run.objects.filter(pk=run.pk, attempt=run.attempt, state=RunState.RUNNING).update(
                        heartbeat_at=timezone.now()
                    )
                except DatabaseError:  # a restart of the database must not make a run lost that goes on
                    logger.warning("%s cannot sign that it lives; trying again", run, exc_info=True)
                    connection.close()
                    connection.set_schema(schema_name)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"heartbeat-{run.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
