"""One state of a tenant's demand for a whole run: frozen once, read by every process of it, while writers go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import psycopg
from django.conf import settings
from django.db import connection as django_connection

from forecasting.engine.segments import plan_segments
from forecasting.engine.types import TrainingWindow
from forecasting.services.data_profile import active_profile
from forecasting.services.database_source import DatabaseSource, forget, frozen
from forecasting.services.loading import tenant_shape, window_fingerprint
from forecasting.services.pool import training_pool
from ledger.schema import connection

_SNAPSHOT = re.compile(r"[0-9A-Fa-f-]+")


@dataclass(frozen=True)
class DemandSnapshot:
    """A frozen state of the demand, and the processes that may read it.

    snapshot: its name in the database; None inside a transaction, whose own writes no other process can see: then this
    process reads over its own connection, writers wait, and there is no executor.
    """

    snapshot: str | None
    executor: Executor | None

    def reading(self) -> AbstractContextManager[None]:
        """While this lasts, the present connection reads the frozen state."""
        return nullcontext() if self.snapshot is None else frozen(self.snapshot)

    def source(self, window: TrainingWindow, *, ahead: int = 0) -> DatabaseSource:
        """What a window sees, in segments; its window carries the fingerprint of exactly these rows.

        ahead: steps after train_end for which the known future is read, too (to forecast, never to train).
        Raises SeriesUnusable.
        """
        with self.reading():
            profile = active_profile()
            shape = tenant_shape(window, profile, ahead=ahead)
            window = window.with_fingerprint(window_fingerprint(window))
        return DatabaseSource(
            schema=connection.schema_name,
            database=str(connection.settings_dict["NAME"]),
            snapshot=self.snapshot,
            window=window,
            ahead=ahead,
            profile=profile,
            shape=shape,
            segments=plan_segments(shape.ids, settings.SEGMENT_SERIES),
            hands=isinstance(self.executor, ProcessPoolExecutor),
        )


@contextmanager
def demand_snapshot() -> Iterator[DemandSnapshot]:
    """Freeze the tenant's demand as it is now. Everything that is read inside is of that one state, in whatever
    process; nobody waits for it. Raises SchedulerUnreachable."""
    try:
        if django_connection.in_atomic_block:
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE forecasting_demand, forecasting_knownfuture IN SHARE MODE")
            yield DemandSnapshot(None, None)
            return
        with training_pool() as executor, _exported() as name:
            yield DemandSnapshot(name, executor)
    finally:
        forget()


@contextmanager
def _exported() -> Iterator[str]:
    """The name of a state that a connection of its own holds as long as this lasts."""
    django_connection.ensure_connection()
    given = {k: v for k, v in django_connection.get_connection_params().items() if k not in {"cursor_factory"}}
    given.pop("context", None)
    with psycopg.connect(**given, autocommit=True) as own, own.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 0")  # it idles for as long as the training takes
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            cursor.execute("SELECT pg_export_snapshot()")
            row = cursor.fetchone()
            name = str(row[0]) if row else ""
            if not _SNAPSHOT.fullmatch(name):
                raise RuntimeError(f"{name!r} is no name of a snapshot")
            yield name
        finally:
            cursor.execute("ROLLBACK")
