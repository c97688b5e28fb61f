"""Fan-out: one job in every serving tenant, as a person asks or a schedule has due; a tenant's failure is its own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import DatabaseError, connections, transaction
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import DomainError, RunAlreadyLive
from ledger.jobs import get_job, queue_of
from ledger.queues import Queue, waiting
from ledger.schema import connection
from ledger.services import runs
from ledger.services.audit import actor_name, record
from tenants.errors import DispatchUnderWay, QueueFull
from tenants.models import Dispatch, DispatchEntry, EntryOutcome, Tenant
from tenants.models.tenant import SERVING
from tenants.schedules import Schedule, all_schedules
from tenants.services.dispatch_batches import queue_together
from tenants.services.operators import require_operator

logger = logging.getLogger(__name__)
_NO_LEDGER = "Its schema is missing or not migrated: run manage.py migrate_fleet, then dispatch to it again."


def dispatch(
    *,
    kind: str,
    inputs: Mapping[str, Any] | None = None,
    scope: str = "",
    schemas: Iterable[str] | None = None,
    actor: AbstractBaseUser | None = None,
) -> Dispatch:
    """Queue a run of ``kind`` in every tenant that is on trial or active, or in those of ``schemas``.

    One that has such a run under way is left alone and says so. Needs the platform permission to change tenants, or
    None for the system. Raises ``UnknownJobKind``, ``PlatformOperatorRequired``, ``QueueFull``, ``DispatchUnderWay``.
    """
    if actor is not None:
        require_operator(actor, "tenants.change_tenant")
    get_job(kind)
    wanted = None if schemas is None else set(schemas)
    with schema_context(get_public_schema_name()), _alone(kind):
        number = jobs_waiting()[queue_of(kind)]
        if number >= settings.QUEUE_LIMIT:
            raise QueueFull(number, settings.QUEUE_LIMIT)
        with transaction.atomic():
            made = Dispatch.objects.create(kind=kind, inputs=dict(inputs or {}), requested_by_name=actor_name(actor))
            record(event="dispatch.started", actor=actor, subject=made, data={"kind": kind, "inputs": made.inputs})
        names = [name for name in _serving().values_list("schema_name", flat=True) if wanted is None or name in wanted]
        there = _with_a_ledger(names)
        whole = [schema_name for schema_name in names if schema_name in there]
        done = queue_together(made, whole, inputs=made.inputs, scope=scope, key=f"dispatch:{made.pk}")
        for schema_name in names:
            if schema_name in done:
                continue
            if schema_name in there:
                _send(made, schema_name, made.inputs, scope, f"dispatch:{made.pk}", None)
            else:
                _could_not(made, schema_name, _NO_LEDGER)
    return made


def dispatch_due(*, now: datetime | None = None) -> int:
    """Queue what the declared schedules have due in each tenant, each slot once; returns how many runs were queued.

    Idempotent, also when several workers call it at once: the entry of a slot and tenant is unique. While a queue is
    full its schedules hold off; what they have due is queued later, as long as its slot lasts.
    """
    at = now or timezone.now()
    queued = 0
    with schema_context(get_public_schema_name()):
        full = {queue for queue, number in jobs_waiting().items() if number >= settings.QUEUE_LIMIT}
        if full:
            logger.warning("schedules hold off: the queue is full (%s)", ", ".join(sorted(full)))
        due = [
            (schedule, slot, schema_name)
            for schema_name, zone, since in _serving().values_list("schema_name", "time_zone", "created_at")
            for schedule in all_schedules()
            if queue_of(schedule.kind) not in full and (slot := schedule.slot(at, zone, schema_name, since)) is not None
        ]
        slots = {(schedule.name, slot) for schedule, slot, _ in due}
        known = set(
            DispatchEntry.objects.filter(
                dispatch__schedule__in={name for name, _ in slots}, dispatch__slot__in={slot for _, slot in slots}
            ).values_list("dispatch__schedule", "dispatch__slot", "schema_name")
        )
        due = [one for one in due if (one[0].name, one[1], one[2]) not in known]
        there = _with_a_ledger(sorted({schema_name for _, _, schema_name in due}))
        made: dict[tuple[str, str], Dispatch] = {}
        for schedule, slot, schema_name in due:
            if (schedule.name, slot) not in made:
                made[schedule.name, slot] = _of_slot(schedule, slot)
            if schema_name not in there:
                _could_not(made[schedule.name, slot], schema_name, _NO_LEDGER)
                continue
            key = f"schedule:{schedule.name}:{slot}"
            entry = _send(made[schedule.name, slot], schema_name, schedule.inputs, schedule.scope, key, schedule)
            queued += entry is not None and entry.outcome == EntryOutcome.QUEUED
    return queued


def jobs_waiting() -> dict[Queue, int]:
    """How many messages wait in each queue, over all tenants."""
    totals = dict.fromkeys(Queue, 0)
    for of_tenant in waiting().values():
        for queue, number in of_tenant.items():
            totals[queue] += number
    return totals


@contextmanager
def _alone(kind: str) -> Iterator[None]:
    """One dispatch of a kind at a time: the second is told so at once."""
    key = int.from_bytes(hashlib.sha256(f"dispatch:{kind}".encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        (free,) = cursor.fetchone()
    if not free:
        raise DispatchUnderWay(kind)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def _serving() -> Any:
    customers = Tenant.objects.exclude(schema_name=get_public_schema_name())
    return customers.filter(status__in=SERVING).order_by("schema_name")


def _of_slot(schedule: Schedule, slot: str) -> Dispatch:
    made, _ = Dispatch.objects.get_or_create(
        schedule=schedule.name, slot=slot, defaults={"kind": schedule.kind, "inputs": dict(schedule.inputs)}
    )
    return made


def _send(
    made: Dispatch, schema_name: str, inputs: Mapping[str, Any], scope: str, key: str, schedule: Schedule | None
) -> DispatchEntry | None:
    """One tenant's run and entry in one transaction; None where another process wrote the entry first."""
    try:
        return _queue(made, schema_name, inputs, scope, key, schedule)
    except DatabaseError as error:  # a schema that is missing or half migrated is this tenant's trouble alone
        logger.exception("cannot queue %s in %s", made.kind, schema_name)
        if not transaction.get_connection().in_atomic_block:
            connections.close_all()
        return _could_not(made, schema_name, str(error).strip().splitlines()[0])


def _could_not(made: Dispatch, schema_name: str, why: str) -> DispatchEntry:
    with schema_context(get_public_schema_name()):
        entry, _ = DispatchEntry.objects.get_or_create(
            dispatch=made, schema_name=schema_name, defaults={"outcome": EntryOutcome.FAILED, "reason": why[:400]}
        )
    return entry


def _with_a_ledger(schema_names: list[str]) -> set[str]:
    """Those that hold runs of their own: in one that does not, a run would silently be written into public."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'ledger_run' AND schemaname = ANY(%s)", [schema_names]
        )
        return {row[0] for row in cursor.fetchall()}


@transaction.atomic
def _queue(
    made: Dispatch, schema_name: str, inputs: Mapping[str, Any], scope: str, key: str, schedule: Schedule | None
) -> DispatchEntry | None:
    entry, fresh = DispatchEntry.objects.get_or_create(
        dispatch=made, schema_name=schema_name, defaults={"outcome": EntryOutcome.QUEUED}
    )
    if not fresh:
        return None
    with schema_context(schema_name):
        try:
            with transaction.atomic():
                if schedule is not None and schedule.applies is not None and not schedule.applies():
                    entry.outcome = EntryOutcome.NOTHING
                else:
                    run = runs.enqueue(kind=made.kind, inputs=dict(inputs), scope=scope, idempotency_key=key)
                    entry.run_id = run.pk
        except RunAlreadyLive as error:
            entry.outcome, entry.run_id = EntryOutcome.LIVE, error.run.pk
        except DomainError as error:
            entry.outcome, entry.reason = EntryOutcome.REFUSED, str(error)[:400]
    with schema_context(get_public_schema_name()):
        entry.save()
    return entry
