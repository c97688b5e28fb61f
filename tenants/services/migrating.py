"""Applying migrations to many schemas: here, or in processes that work side by side and end with this one."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connections

from ledger.processes import end_with_parent
from ledger.schema import connection
from tenants.catalogue.reading import run
from tenants.services.templates import migrate

logger = logging.getLogger(__name__)
LOCK_SECONDS = 10
"""A migration that waits longer for a table gives up: behind it, every request to that table would wait, too."""


@dataclass(frozen=True)
class Outcome:
    """What came of one schema."""

    schema_name: str
    seconds: float
    error: str = ""


@contextmanager
def migrating(schema_names: Sequence[str], *, processes: int) -> Iterator[Iterator[Outcome]]:
    """Outcomes as they come. Leaving the block starts no further schema and waits for those that are under way."""
    if not processes or not schema_names:
        yield (migrate_one(name) for name in schema_names)
        return
    if not connection.in_atomic_block:
        connections.close_all()  # the children are forked: they must not share a connection with us
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), initializer=end_with_parent)
    try:
        yield _side_by_side(pool, list(schema_names), processes)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def migrate_one(schema_name: str) -> Outcome:
    """Apply every migration that the schema lacks; what goes wrong is said, not raised."""
    started = time.perf_counter()
    error = ""
    try:
        run(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        migrate(schema_name)
    except Exception as caught:  # a tenant's failure is its own
        logger.exception("%s could not be migrated", schema_name)
        error = f"{type(caught).__name__}: {str(caught).strip().splitlines()[0] if str(caught).strip() else ''}"
    finally:
        connection.set_schema_to_public()
        if not connection.in_atomic_block:
            connection.close()
    return Outcome(schema_name, time.perf_counter() - started, error)


def _side_by_side(pool: ProcessPoolExecutor, names: list[str], processes: int) -> Iterator[Outcome]:
    """No more are handed out than processes work, so that a stop leaves the others untouched."""
    live: dict[Future[Outcome], str] = {}
    while names or live:
        while names and len(live) < processes:
            name = names.pop(0)
            live[pool.submit(migrate_one, name)] = name
        done, _ = wait(live, return_when=FIRST_COMPLETED)
        for future in done:
            name = live.pop(future)
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Outcome(name, 0.0, "Its process was killed. Look at the machine's memory, then run it again.")
                names.clear()
