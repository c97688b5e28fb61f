"""Counts the API's requests, their errors and the slow ones: in memory, written once a minute by each web process.

A process that is killed loses the counts of its last minute. Nothing else of a request is kept: no address, no path.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.schema import connection
from tenants.slos import REQUEST_SLOW_MS

logger = logging.getLogger(__name__)
API = "/api/"
_UPSERT = """
INSERT INTO tenants_requestcount (minute, requests, errors, slow) VALUES (%s, %s, %s, %s)
ON CONFLICT (minute) DO UPDATE SET requests = tenants_requestcount.requests + excluded.requests,
    errors = tenants_requestcount.errors + excluded.errors, slow = tenants_requestcount.slow + excluded.slow
"""
Counts = tuple[int, int, int]


class Meter:
    """Counts by minute; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[datetime, Counts] = {}

    def count(self, *, at: datetime, error: bool, slow: bool) -> None:
        """Add a request to its minute."""
        minute = at.replace(second=0, microsecond=0)
        with self._lock:
            requests, errors, slows = self._minutes.get(minute, (0, 0, 0))
            self._minutes[minute] = (requests + 1, errors + error, slows + slow)

    def take(self, before: datetime | None = None) -> dict[datetime, Counts]:
        """Hand over, and forget, the minutes that ended before that time (None: all)."""
        with self._lock:
            limit = before.replace(second=0, microsecond=0) if before is not None else None
            ended = {minute: counts for minute, counts in self._minutes.items() if limit is None or minute < limit}
            for minute in ended:
                del self._minutes[minute]
            return ended

    def give_back(self, minutes: dict[datetime, Counts]) -> None:
        """Keep counts that could not be written for the next time."""
        with self._lock:
            for minute, counts in minutes.items():
                there = self._minutes.get(minute, (0, 0, 0))
                self._minutes[minute] = (there[0] + counts[0], there[1] + counts[1], there[2] + counts[2])


METER = Meter()


def write_counts(meter: Meter = METER, before: datetime | None = None) -> int:
    """Add the counted minutes to the table; returns how many. What cannot be written is kept for the next time."""
    minutes = meter.take(before)
    if not minutes:
        return 0
    try:
        with schema_context(get_public_schema_name()), connection.cursor() as cursor:
            for minute, counts in minutes.items():
                cursor.execute(_UPSERT, [minute, *counts])
    except DatabaseError:
        meter.give_back(minutes)
        logger.warning("cannot write the counts of requests; they are kept", exc_info=True)
        return 0
    return len(minutes)


class ApiMeterMiddleware:
    """Counts what the API was asked and how it answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(API):
            return self.get_response(request)
        started = time.monotonic()
        response = self.get_response(request)
        slow = (time.monotonic() - started) * 1000 > REQUEST_SLOW_MS
        now = timezone.now()
        METER.count(at=now, error=response.status_code >= 500, slow=slow)
        write_counts(before=now)
        return response
