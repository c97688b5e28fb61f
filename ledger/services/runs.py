"""Every change of a run: queue, cancel, reap, resume."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ledger.errors import OperatorRequired, RunAlreadyLive, TransitionRefused, TreeEnded
from ledger.jobs import get_job, queue_of, require_resumable, tell_ended
from ledger.models import LIVE_STATES, RUN_TRANSITIONS, Run, RunState
from ledger.queues import put
from ledger.schema import connection
from ledger.services.audit import actor_name, record

IN_PROCESS = "in_process"
"""Input of a run that a command does in its own process; a resumed one belongs to the workers."""


def enqueue(
    *,
    kind: str,
    inputs: dict[str, Any] | None = None,
    scope: str = "",
    idempotency_key: str | None = None,
    requested_by: AbstractBaseUser | None = None,
    parent: Run | None = None,
) -> Run:
    """Queue a run of ``kind`` in the current schema; the broker hears of it when the transaction commits.

    The same ``idempotency_key`` returns the run that has it. Raises ``RunAlreadyLive`` where one of the same kind and
    scope is live, ``UnknownJobKind``.
    """
    run, created = create(
        kind=kind, inputs=inputs, scope=scope, idempotency_key=idempotency_key, requested_by=requested_by, parent=parent
    )
    if created:
        send(run)
    return run


@transaction.atomic
def create(
    *,
    kind: str,
    inputs: dict[str, Any] | None = None,
    scope: str = "",
    idempotency_key: str | None = None,
    requested_by: AbstractBaseUser | None = None,
    parent: Run | None = None,
) -> tuple[Run, bool]:
    """Write the run's row without sending it anywhere; return it and whether it is new."""
    registered = get_job(kind)
    if idempotency_key is not None:
        known = Run.objects.filter(idempotency_key=idempotency_key).first()
        if known is not None:
            return known, False
    run = Run(
        kind=kind,
        scope=scope,
        idempotency_key=idempotency_key or uuid.uuid4().hex,
        inputs=inputs or {},
        parent=parent,
        max_attempts=registered.max_attempts,
        requested_by_id=requested_by.pk if requested_by is not None else None,
        requested_by_name=actor_name(requested_by) if requested_by or parent is None else parent.requested_by_name,
    )
    if parent is not None:
        run.correlation_id = parent.correlation_id
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:
        same_key = Run.objects.filter(idempotency_key=run.idempotency_key).first()
        if same_key is not None:
            return same_key, False
        live = Run.objects.filter(kind=kind, scope=scope, state__in=LIVE_STATES).first()
        if live is not None:
            raise RunAlreadyLive(live) from None
        raise
    record(
        event="run.queued",
        actor=requested_by,
        subject=run,
        data={"kind": kind, "scope": scope, "inputs": run.inputs},
        correlation_id=run.correlation_id,
    )
    return run, True


def send(run: Run) -> None:
    """Tell the broker of a queued run once the current transaction has committed."""
    schema_name, run_id, queue = connection.schema_name, str(run.pk), queue_of(run.kind)
    transaction.on_commit(lambda: put(queue, schema_name, run_id, name=f"{run.kind}:{run_id[:8]}"))


def send_queued() -> None:
    """Tell the broker of every queued run of the current schema again; a second delivery does no harm."""
    for run in Run.objects.filter(state=RunState.QUEUED):
        send(run)


def change_state(run: Run, state: RunState, **fields: Any) -> Run:
    """Move a locked ``run`` along the transition table and save it; raise ``TransitionRefused``."""
    if state not in RUN_TRANSITIONS[run.state]:
        raise TransitionRefused(str(run), run.state, state)
    run.state = state
    for name, value in fields.items():
        setattr(run, name, value)
    run.save()
    if not run.is_live:
        tell_ended(run)
    return run


@transaction.atomic
def cancel(*, run_id: uuid.UUID | str, actor: AbstractBaseUser | None) -> Run:
    """Ask for the end of a run. A queued one ends at once, a running one at its next sign of progress.

    Raises ``OperatorRequired``, ``TransitionRefused``.
    """
    require_operator(actor)
    run = Run.objects.select_for_update().get(pk=run_id)
    if not run.is_live:
        raise TransitionRefused(str(run), run.state, RunState.CANCELLED)
    now = timezone.now()
    if run.state == RunState.RUNNING:
        run.cancel_requested_at = now
        run.save(update_fields=["cancel_requested_at"])
    else:
        change_state(run, RunState.CANCELLED, cancel_requested_at=now, finished_at=now)
    record(event="run.cancel_requested", actor=actor, subject=run, correlation_id=run.correlation_id)
    return run


@transaction.atomic
def cancel_tree(*, run_id: uuid.UUID | str, actor: AbstractBaseUser | None) -> list[Run]:
    """Ask for the end of all runs that belong together with this one: what is live ends, and nothing follows.

    The first run carries the wish, so that a step which ends in this moment starts no other. Returns the runs that
    were live. Raises ``OperatorRequired``, ``TreeEnded`` where none was.
    """
    require_operator(actor)
    one = Run.objects.get(pk=run_id)
    family = Run.objects.filter(correlation_id=one.correlation_id)
    # No key is changed, so that a step may go on to queue its child: it ends before we get its row.
    root = family.select_for_update(no_key=True).filter(parent__isnull=True).order_by("queued_at").first() or one
    locked = _lock_live(family)
    if not locked:
        raise TreeEnded(str(root))
    for pk in locked:
        cancel(run_id=pk, actor=actor)
    Run.objects.filter(pk=root.pk).update(cancel_requested_at=timezone.now())
    facts = {"runs": [str(pk) for pk in locked]}
    record(event="run.tree_cancelled", actor=actor, subject=root, data=facts, correlation_id=root.correlation_id)
    return list(family.filter(pk__in=locked).order_by("queued_at"))


def _lock_live(family: QuerySet[Run]) -> list[uuid.UUID]:
    """Lock every live run before anything is written; one that ended while we waited has queued the next by then."""
    locked: list[uuid.UUID] = []
    while True:
        live = family.filter(state__in=LIVE_STATES).exclude(pk__in=locked).order_by("queued_at").first()
        if live is None:
            return locked
        if family.select_for_update().filter(pk=live.pk, state__in=LIVE_STATES).first() is not None:
            locked.append(live.pk)


def may_go_on(run: Run) -> bool:
    """Whether the step after ``run`` may be queued: nobody asked for the end of this run, or of all of them.

    Call it in the transaction that ends the run.
    """
    ended = Run.objects.filter(
        correlation_id=run.correlation_id, parent__isnull=True, cancel_requested_at__isnull=False
    )
    return run.cancel_requested_at is None and not ended.exists()


@transaction.atomic
def resume(*, run_id: uuid.UUID | str, actor: AbstractBaseUser | None) -> Run:
    """Queue a failed run again, with one more attempt allowed.

    Raises ``OperatorRequired``, ``TransitionRefused``, what its kind refuses, ``RunAlreadyLive`` where another of its
    kind and scope is live.
    """
    require_operator(actor)
    run = Run.objects.select_for_update().get(pk=run_id)
    if run.state == RunState.FAILED:
        require_resumable(run, actor)
    now = timezone.now()
    try:
        with transaction.atomic():
            change_state(
                run,
                RunState.QUEUED,
                max_attempts=run.attempt + 1,
                finished_at=None,
                cancel_requested_at=None,
                error="",
                error_code="",
                queued_at=now,
                sent_at=now,
                inputs={key: value for key, value in run.inputs.items() if key != IN_PROCESS},
            )
    except IntegrityError:
        live = Run.objects.filter(kind=run.kind, scope=run.scope, state__in=LIVE_STATES).first()
        if live is not None:
            raise RunAlreadyLive(live) from None
        raise
    # Whoever resumes a step wants the rest, too: an earlier wish to end the whole is over.
    Run.objects.filter(correlation_id=run.correlation_id, parent__isnull=True).update(cancel_requested_at=None)
    record(event="run.resumed", actor=actor, subject=run, correlation_id=run.correlation_id)
    send(run)
    return run


def require_operator(actor: AbstractBaseUser | None) -> None:
    """A person needs the permission to operate runs; ``None`` is the system itself."""
    if actor is not None and not (isinstance(actor, PermissionsMixin) and actor.has_perm("ledger.change_run")):
        raise OperatorRequired(actor_name(actor))


def reap(*, lost_after_seconds: float | None = None) -> list[Run]:
    """Mark the current schema's running runs without a heartbeat as lost, and queue them again within their attempts.

    Also sends queued runs again whose message the broker may have lost (older than the retry time); a second
    delivery does no harm. Returns the runs that were touched.
    """
    limit = settings.RUN_LOST_AFTER_SECONDS if lost_after_seconds is None else lost_after_seconds
    silent_since = timezone.now() - timedelta(seconds=limit)
    reaped: list[Run] = []
    for run_id in Run.objects.filter(state=RunState.RUNNING, heartbeat_at__lt=silent_since).values_list(
        "pk", flat=True
    ):
        with transaction.atomic():
            run = (
                Run.objects.select_for_update(skip_locked=True)
                .filter(pk=run_id, state=RunState.RUNNING, heartbeat_at__lt=silent_since)
                .first()
            )
            if run is not None:
                reaped.append(lose(run))
    undelivered = timezone.now() - timedelta(seconds=settings.Q_CLUSTER["retry"])
    for run in Run.objects.filter(state=RunState.QUEUED, sent_at__lt=undelivered):
        Run.objects.filter(pk=run.pk, state=RunState.QUEUED).update(sent_at=timezone.now())
        send(run)
        reaped.append(run)
    return reaped


def attempt_entry(run: Run, outcome: RunState, ended_at: datetime) -> dict[str, Any]:
    """What ``attempts_log`` keeps of an attempt that ended."""
    started = run.attempt_started_at or run.started_at
    return {
        "attempt": run.attempt,
        "worker": run.worker,
        "outcome": outcome,
        "queued_at": run.queued_at.isoformat(),
        "started_at": started.isoformat() if started is not None else None,
        "ended_at": ended_at.isoformat(),
    }


def lose(run: Run, *, why: str = "it gave no sign of life") -> Run:
    """A locked run's attempt is lost: queue the run again within its attempts."""
    now = timezone.now()
    run.attempts_log = [*run.attempts_log, attempt_entry(run, RunState.LOST, run.heartbeat_at or now)]
    change_state(run, RunState.LOST)
    record(
        event="run.lost",
        subject=run,
        data={"attempt": run.attempt, "worker": run.worker, "heartbeat_at": run.heartbeat_at, "why": why},
        correlation_id=run.correlation_id,
    )
    if run.cancel_requested_at is not None:
        return change_state(run, RunState.CANCELLED, finished_at=now)
    if run.attempt >= run.max_attempts:
        change_state(
            run,
            RunState.FAILED,
            finished_at=now,
            error_code="lost",
            error=f"Its worker went away {run.attempt} times. See the worker's memory and log, then resume the run.",
        )
        record(event="run.failed", subject=run, data={"error_code": "lost"}, correlation_id=run.correlation_id)
        return run
    again: dict[str, Any] = {"progress_done": 0, "progress_message": "Waiting to be retried"}
    change_state(run, RunState.QUEUED, queued_at=now, sent_at=now, **again)
    record(event="run.retried", subject=run, data={"after_attempt": run.attempt}, correlation_id=run.correlation_id)
    send(run)
    return run
