"""What a Redis saves the database, and how soon a job begins: ``FORECOURT_REDIS_URL=… python -m benchmarks.wakeups``
(and how many processes, if not 2, 10 and 40).

Real job processes on an embedded PostgreSQL, without the Redis and with it: how many transactions of the
database idle ones cost, how long one job waits for one of them, and how long as many jobs as there are processes.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
import uuid
from datetime import datetime
from typing import Any

from benchmarks.place import prepare  # first: it sets Django up

from django.conf import settings  # isort: skip
from django.db import connections, transaction

from config.worker.pool import Pool
from ledger.jobs import job
from ledger.models import Run
from ledger.presence import Presence
from ledger.queues import Queue
from ledger.schema import connection
from ledger.services import runs

KIND = "benchmarks.nothing"
IDLE = (2, 10, 40)
SECONDS = 20
JOBS = 60
BURSTS = 7
_CHANCE = random.Random(7)  # noqa: S311  # a pause


def main(numbers: list[int]) -> None:
    """Print a line for each measurement, with so many processes each time."""
    given = settings.REDIS
    if given is None:
        raise SystemExit("Set FORECOURT_REDIS_URL: this compares with and without it.")
    job(KIND, title="Nothing", queue=Queue.SHORT)(_body)
    prepare()
    connection.set_schema_to_public()
    for processes in numbers or IDLE:
        for options in (None, given):
            settings.REDIS = options
            _measure(processes, "with" if options else "without")


def _body(ctx: Any) -> dict[str, Any]:
    time.sleep(ctx.inputs["seconds"])
    return {}


def _measure(processes: int, words: str) -> None:
    pool = Pool({Queue.SHORT: processes}, Presence(), upkeep=False)
    pool.start()
    try:
        _look_on(pool, 8)  # they have started, and what they said to begin with has been counted
        began, before = time.monotonic(), _transactions()
        _look_on(pool, SECONDS)
        each_second = (_transactions() - before) / (time.monotonic() - began)
        alone = [_delay(pool, [_queue(0.0)]) for _ in range(JOBS)]
        together = [_delay(pool, _queue_many(processes)) for _ in range(BURSTS)]
    finally:
        pool.stop(10)
    print(
        f"{words} Redis, {processes} processes: {each_second:.1f} transactions a second while idle; a job waits "
        f"{_ms(alone)}, the last of {processes} at once {_ms(together)}; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def _ms(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.0f} ms (worst of {len(seconds)}: {1000 * max(seconds):.0f} ms)"


def _transactions() -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def _queue(seconds: float) -> Run:
    return runs.enqueue(kind=KIND, scope=uuid.uuid4().hex, inputs={"seconds": seconds})


def _queue_many(number: int) -> list[Run]:
    """As many as there are processes, each long enough that nobody does two of them."""
    with transaction.atomic():
        return [_queue(2.0) for _ in range(number)]


def _delay(pool: Pool, queued: list[Run]) -> float:
    """Seconds since the last one was queued until all were begun; then they are done, and some time goes by."""
    since = max(run.queued_at for run in queued).timestamp()
    left = {run.pk for run in queued}
    while left:
        _look_on(pool, 0.05)
        left -= set(Run.objects.filter(pk__in=left, finished_at__isnull=False).values_list("pk", flat=True))
    begun: list[datetime | None] = list(
        Run.objects.filter(pk__in=[run.pk for run in queued]).values_list("attempt_started_at", flat=True)
    )
    _look_on(pool, _CHANCE.uniform(0.3, 1.3))
    return max(one.timestamp() for one in begun if one is not None) - since


def _look_on(pool: Pool, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        pool.look(min(left, 0.05))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
