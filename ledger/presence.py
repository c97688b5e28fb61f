"""Whether a worker runs: each holds a shared lock in the database for as long as it lives, and a kill lets it go."""

from __future__ import annotations

import logging
import os
import time

import psycopg
from django.db import connection

logger = logging.getLogger(__name__)
_ASK_SECONDS = 5.0
_KEY = (0x666F7265, 0x776F726B)


class Presence:
    """A worker's sign that it is there, on a connection of its own."""

    def __init__(self) -> None:
        self._own: psycopg.Connection[tuple[object, ...]] | None = None
        self._asked_at = 0.0

    def hold(self) -> None:
        """Give the sign, again where the database has closed the connection. Without one the worker works as well."""
        if self._holds():
            return
        try:
            given = {k: v for k, v in connection.get_connection_params().items() if k not in {"cursor_factory"}}
            given.pop("context", None)
            self._own = psycopg.connect(**given, autocommit=True)
            self._own.execute("SELECT pg_advisory_lock_shared(%s, %s)", _KEY)
        except psycopg.Error:
            logger.warning("cannot say that this worker is there; trying again later", exc_info=True)
            self._own = None

    def _holds(self) -> bool:
        """Whether the sign stands; the server is asked every few seconds, as it may have been restarted."""
        if self._own is None or self._own.closed or self._own.broken:
            return False
        if time.monotonic() - self._asked_at >= _ASK_SECONDS:
            self._asked_at = time.monotonic()
            try:
                self._own.execute("SELECT 1")
            except psycopg.Error:
                self._own.close()
                return False
        return True

    def forget(self) -> None:
        """In a forked process: the connection is the parent's, and nothing done to our copy may reach the server."""
        if self._own is None or self._own.closed:
            return
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, self._own.fileno())
        os.close(nothing)

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
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock' "
            "AND classid = %s AND objid = %s AND objsubid = 2 "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            _KEY,
        )
        (there,) = cursor.fetchone()
    return bool(there)
