"""The end of an attempt that does not end by itself: its process died, was stopped, or works on a cancelled run."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ledger.models import Run, RunState
from ledger.services import runs
from ledger.services.audit import record

HANDED_BACK = "handed_back"
"""Outcome of an attempt that a stopping worker gave back; it does not count among those that a run may have."""


@transaction.atomic
def lose(
    *, run_id: uuid.UUID | str, worker: str, attempt: int | None = None, why: str = "its process ended"
) -> Run | None:
    """The process ``worker`` (host and number) died at this run: it is queued again within its attempts, at once.

    None where that attempt does not own the run any more.
    """
    run = _owned(run_id, worker, attempt)
    return None if run is None else runs.lose(run, why=why)


@transaction.atomic
def hand_back(*, run_id: uuid.UUID | str, worker: str) -> Run | None:
    """A worker that stops gives the run back: another one does it, and the attempt does not count.

    Call it when the process has ended. None where it does not own the run any more.
    """
    run = _owned(run_id, worker, None)
    if run is None:
        return None
    if run.cancel_requested_at is not None:
        return _cancelled(run)
    now = timezone.now()
    runs.change_state(
        run,
        RunState.QUEUED,
        attempts_log=[*run.attempts_log, {**runs.attempt_entry(run, RunState.QUEUED, now), "outcome": HANDED_BACK}],
        max_attempts=run.max_attempts + 1,
        queued_at=now,
        sent_at=now,
        progress_done=0,
        progress_message="Handed back by a worker that stopped",
    )
    record(
        event="run.handed_back",
        subject=run,
        data={"attempt": run.attempt, "worker": worker},
        correlation_id=run.correlation_id,
    )
    runs.send(run)
    return run


@transaction.atomic
def end_cancelled(*, run_id: uuid.UUID | str, worker: str) -> Run | None:
    """Somebody cancelled the run, its job did not stop by itself, and its process was ended. None as in ``lose``."""
    run = _owned(run_id, worker, None)
    return None if run is None or run.cancel_requested_at is None else _cancelled(run)


@transaction.atomic
def end_overdue(*, run_id: uuid.UUID | str, worker: str) -> Run | None:
    """The job worked for longer than any may, and its process was ended. None as in ``lose``."""
    run = _owned(run_id, worker, None)
    if run is None:
        return None
    return _end(
        run,
        RunState.FAILED,
        error_code="timeout",
        error=f"It worked for more than {settings.JOB_TIMEOUT} s and was stopped. Give it less to do (fewer series or "
        "families), or raise FORECOURT_JOB_TIMEOUT, then resume the run.",
    )


def cancel_is_overdue(*, run_id: uuid.UUID | str, seconds: float) -> bool:
    """Whether somebody asked for the end of this running run longer ago than ``seconds``."""
    since = timezone.now() - timedelta(seconds=seconds)
    return Run.objects.filter(pk=run_id, state=RunState.RUNNING, cancel_requested_at__lt=since).exists()


def _owned(run_id: uuid.UUID | str, worker: str, attempt: int | None) -> Run | None:
    mine = Run.objects.select_for_update().filter(pk=run_id, state=RunState.RUNNING, worker=worker)
    return (mine if attempt is None else mine.filter(attempt=attempt)).first()


def _cancelled(run: Run) -> Run:
    return _end(run, RunState.CANCELLED)


def _end(run: Run, state: RunState, **fields: Any) -> Run:
    now = timezone.now()
    log = [*run.attempts_log, runs.attempt_entry(run, state, now)]
    runs.change_state(run, state, finished_at=now, attempts_log=log, **fields)
    record(
        event=f"run.{state}",
        subject=run,
        data={"kind": run.kind, "error_code": run.error_code, "error": run.error[:500]},
        correlation_id=run.correlation_id,
    )
    return run
