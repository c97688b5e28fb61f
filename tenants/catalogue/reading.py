"""Reading one schema's catalogue so that what comes back names no schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ledger.schema import connection


@contextmanager
def only_in(schema_name: str) -> Iterator[None]:
    """The search path holds this schema alone: PostgreSQL then writes names in it without the schema."""
    previous = connection.tenant
    connection.set_schema(schema_name, include_public=False)
    try:
        yield
    finally:
        connection.set_tenant(previous)


def rows_of(query: str, schema_name: str) -> list[tuple[Any, ...]]:
    """Rows of a catalogue query with one ``%(schema)s``."""
    return rows(query, {"schema": schema_name})


def rows(query: str, values: dict[str, Any] | Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    """Every row of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def quoted(name: str) -> str:
    """An identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def schema_is_there(schema_name: str) -> bool:
    """Whether there is a schema of that name."""
    return bool(rows_of("SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s", schema_name))


def run(script: str) -> None:
    """Send statements at once; what they answer is not read."""
    with connection.cursor() as cursor:
        cursor.execute(script)
