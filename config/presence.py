"""Whether a worker runs: each holds a shared lock in the database for as long as it lives, and a kill lets it go."""

from __future__ import annotations

import logging

import psycopg
from django.db import connection

logger = logging.getLogger(__name__)
_KEY = (0x666F7265, 0x776F726B)


class Presence:
    """A worker's sign that it is there, on a connection of its own."""

    def __init__(self) -> None:
        self._own: psycopg.Connection[tuple[object, ...]] | None = None

    def hold(self) -> None:
        """Give the sign, again where the database has closed the connection. Without one the worker works as well."""
        if self._own is not None and not self._own.closed and not self._own.broken:
            return
        try:
            given = {k: v for k, v in connection.get_connection_params().items() if k not in {"cursor_factory"}}
            given.pop("context", None)
            self._own = psycopg.connect(**given, autocommit=True)
            self._own.execute("SELECT pg_advisory_lock_shared(%s, %s)", _KEY)
        except psycopg.Error:
            logger.warning("cannot say that this worker is there; trying again later", exc_info=True)
            self._own = None

    def release(self) -> None:
        """Take the sign back."""
        if self._own is None:
            return
        try:  # closing alone lets it go as well, but only when the database has noticed
            self._own.execute("SELECT pg_advisory_unlock_shared(%s, %s)", _KEY)
        except psycopg.Error:
            logger.warning("the sign of this worker goes with its connection", exc_info=True)
        self._own.close()
        self._own = None


def worker_is_present() -> bool:
    """Whether any worker of this database lives, on whatever host."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", _KEY)
        (free,) = cursor.fetchone()
        if free:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", _KEY)
    return not free
