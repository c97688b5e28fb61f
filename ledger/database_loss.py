"""Did the database go away under an attempt? Then its failure says nothing of the job, and it is tried again."""

from __future__ import annotations

import time
from datetime import datetime

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from ledger.schema import connection

_GONE = (None, "08", "57P")
"""Beginnings of the SQL states of a lost connection or a server that goes down; None: the server said nothing more."""
_PATIENCE_SECONDS = 30.0


def server_started_at() -> datetime | None:
    """When the database server was started; another answer later says that it was restarted in between."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_postmaster_start_time()")
            (started,) = cursor.fetchone()
    except DatabaseError:
        return None
    return started if isinstance(started, datetime) else None


def database_went_away(error: BaseException, started_at: datetime | None) -> bool:
    """Whether ``error`` came of a broken connection, or the server is another one than at ``started_at``."""
    if connection_was_lost(error):
        return True
    if transaction.get_connection().in_atomic_block:  # it lives, so the server does
        return False
    now = server_started_at()
    return now is None or (started_at is not None and now != started_at)


def connection_was_lost(error: BaseException) -> bool:
    """Whether this error, or one that led to it, is that of a connection that broke."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None:
            return False
        if isinstance(seen, OperationalError | InterfaceError | psycopg.OperationalError | psycopg.InterfaceError):
            cause = seen.__cause__ if isinstance(seen.__cause__, psycopg.Error) else seen
            state = getattr(cause, "sqlstate", None)
            if state is None or any(state.startswith(one) for one in _GONE if one is not None):
                return True
        seen = seen.__cause__ or seen.__context__
    return False


def wait_for_database(schema_name: str, *, seconds: float = _PATIENCE_SECONDS) -> bool:
    """Connect anew and stand in ``schema_name``; try until ``seconds`` are over. Whether it came back."""
    until = time.monotonic() + seconds
    while True:
        connection.close()
        connection.set_schema(schema_name)
        if server_started_at() is not None:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.3)
