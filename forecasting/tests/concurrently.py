"""Things done at the same moment, each on a connection of its own and really committed; for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from django.db import transaction

from ledger.errors import DomainError
from ledger.schema import connection
from tenants.models import Tenant

Act = Callable[[], Any]
PATIENCE = 30.0


def _alone(tenant: Tenant, act: Act) -> Any:
    """Do it on a connection of its own; an expected refusal is the result."""
    connection.set_tenant(tenant)
    try:
        return act()
    except DomainError as refused:
        return refused
    finally:
        connection.close()


def together(tenant: Tenant, *acts: Act) -> list[Any]:
    """Start all acts at the same moment, each on its own connection."""
    start = threading.Barrier(len(acts))

    def run(act: Act) -> Any:
        start.wait(PATIENCE)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        started = [pool.submit(_alone, tenant, partial(run, act)) for act in acts]
        return [made.result(PATIENCE) for made in started]


def while_uncommitted(tenant: Tenant, first: Act, second: Act) -> list[Any]:
    """The second begins while the first has done its work and not committed; it must wait for the first to end."""
    done, commit = threading.Event(), threading.Event()

    def hold() -> Any:
        with transaction.atomic():
            made = first()
            done.set()
            assert commit.wait(PATIENCE)
        return made

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(_alone, tenant, hold)
        assert done.wait(PATIENCE)
        waiter = pool.submit(_alone, tenant, second)
        waited = _waits_for_a_lock(waiter)
        commit.set()
        results = [holder.result(PATIENCE), waiter.result(PATIENCE)]
    assert waited, "the second went on beside the first"
    return results


def somebody_waits_for_us() -> bool:
    """Whether another session comes to wait for what this one has locked."""
    return _comes("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))")


def _waits_for_a_lock(waiter: Future[Any]) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return _comes(waiting, lambda: not waiter.done())


def _comes(count: str, worth_it: Callable[[], bool] = lambda: True) -> bool:
    """Whether the count stops being 0 while it is worth to look."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and worth_it():
        with connection.cursor() as cursor:
            cursor.execute(count)
            if cursor.fetchone()[0]:
                return True
        time.sleep(0.01)
    return False
