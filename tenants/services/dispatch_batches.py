"""Many tenants of a dispatch at once: a few statements for a hundred of them, where nothing speaks against it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connection, transaction

from ledger.jobs import get_job, queue_of
from ledger.models import LIVE_STATES, Run
from ledger.queues import put_many
from tenants.catalogue.reading import quoted, rows
from tenants.models import Dispatch, DispatchEntry, EntryOutcome

logger = logging.getLogger(__name__)
_BATCH = 100
_FIELDS = Run._meta.concrete_fields
_RUN = (
    f"INSERT INTO {{schema}}.ledger_run ({', '.join(quoted(str(one.column)) for one in _FIELDS)}) "  # noqa: S608  # names of columns
    f"VALUES ({', '.join(['%s'] * len(_FIELDS))})"
)
_EVENT = (
    "INSERT INTO {schema}.ledger_auditevent (event, actor_name, subject_type, subject_id, subject_label, "
    "correlation_id, data) VALUES ('run.queued', 'system', %s, %s, %s, %s, %s::jsonb)"
)


def queue_together(
    made: Dispatch, schema_names: Sequence[str], *, inputs: Mapping[str, Any], scope: str, key: str
) -> set[str]:
    """Queue the dispatch's run in each of these tenants that has none such under way; return those where that is done.

    A batch is one transaction. Where a tenant has such a run, or a batch goes wrong for any reason, its tenants are
    left to the caller, who takes them one by one and learns what is the matter with each.
    """
    done: set[str] = set()
    for start in range(0, len(schema_names), _BATCH):
        names = list(schema_names[start : start + _BATCH])
        try:
            with transaction.atomic():
                done |= _queue_batch(made, names, inputs, scope, key)
        except DatabaseError:
            logger.warning("a batch of %s is taken tenant by tenant", made.kind, exc_info=True)
    return done


def _queue_batch(made: Dispatch, names: list[str], inputs: Mapping[str, Any], scope: str, key: str) -> set[str]:
    busy = _with_such_a_run(names, made.kind, scope, key)
    free = [name for name in names if name not in busy]
    if not free:
        return set()
    attempts = get_job(made.kind).max_attempts
    runs = {
        name: Run(kind=made.kind, scope=scope, idempotency_key=key, inputs=dict(inputs), max_attempts=attempts)
        for name in free
    }
    statements: list[str] = []
    values: list[Any] = []
    for name, run in runs.items():
        statements += [part.format(schema=quoted(name)) for part in (_RUN, _EVENT)]
        values += [*_insert_of(run), *_event_of(run)]
    with connection.cursor() as cursor:
        cursor.execute(";\n".join(statements), values)
    DispatchEntry.objects.bulk_create(
        DispatchEntry(dispatch=made, schema_name=name, outcome=EntryOutcome.QUEUED, run_id=run.pk)
        for name, run in runs.items()
    )
    put_many(queue_of(made.kind), [(name, str(run.pk), f"{run.kind}:{str(run.pk)[:8]}") for name, run in runs.items()])
    return set(free)


def _with_such_a_run(names: list[str], kind: str, scope: str, key: str) -> set[str]:
    parts = " UNION ALL ".join(
        f"(SELECT '{name}' FROM {quoted(name)}.ledger_run WHERE idempotency_key = %(key)s OR (kind = %(kind)s "  # noqa: S608  # quoted names of schemas
        f"AND scope = %(scope)s AND state = ANY(%(live)s)) LIMIT 1)"
        for name in names
    )
    values = {"key": key, "kind": kind, "scope": scope, "live": [state.value for state in LIVE_STATES]}
    return {row[0] for row in rows(parts, values)}


def _insert_of(run: Run) -> list[Any]:
    """The values that Django would save of a new run, in the order of `_FIELDS`."""
    return [one.get_db_prep_save(one.pre_save(run, add=True), connection=connection) for one in _FIELDS]


def _event_of(run: Run) -> list[Any]:
    """What ``runs.create`` records of a run that it queues."""
    data = json.dumps({"kind": run.kind, "scope": run.scope, "inputs": run.inputs}, cls=DjangoJSONEncoder)
    return [Run._meta.label, str(run.pk), str(run)[:200], run.correlation_id, data]
