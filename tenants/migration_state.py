"""At which migrations the code is, and at which each schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db.migrations.loader import MigrationLoader

from tenants.catalogue.reading import quoted, rows

TEMPLATE = "_forecourt_template"
"""The schema that new ones are cloned from. No tenant can have this name: a tenant's begins with a letter."""
Names = frozenset[str]
_NAME = "(app || '.' || name) COLLATE \"C\""


@dataclass(frozen=True)
class Target:
    """Every migration of the code, as ``app.name``, with what each one needs before it."""

    key: str
    names: Names
    parents: dict[str, Names]


def key_of(names: Iterable[str]) -> str:
    """Digest of a set of migrations."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


@lru_cache(maxsize=1)
def target() -> Target:
    """The state that this code's migrations lead to; read from the files once a process."""
    graph = MigrationLoader(None, ignore_no_migrations=True).graph
    parents = {
        ".".join(node): frozenset(".".join(parent.key) for parent in graph.node_map[node].parents)
        for node in graph.nodes
    }
    return Target(key_of(parents), frozenset(parents), parents)


def applied(schema_names: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Digest and number of the migrations of each of these schemas, which all hold the table of them; one statement."""
    if not schema_names:
        return {}
    parts = " UNION ALL ".join(
        f"SELECT {_literal(name)}, encode(sha256(convert_to(coalesce(string_agg(DISTINCT {_NAME}, E'\\n' "  # noqa: S608  # quoted
        f"ORDER BY {_NAME}), ''), 'UTF8')), 'hex'), count(*) FROM {quoted(name)}.django_migrations"
        for name in schema_names
    )
    return {name: (key, count) for name, key, count in rows(parts)}


def names_in(schema_name: str) -> Names:
    """The migrations of one schema by name."""
    query = f"SELECT app || '.' || name FROM {quoted(schema_name)}.django_migrations"  # noqa: S608  # quoted
    return frozenset(row[0] for row in rows(query))


def have_migrations(schema_names: Sequence[str]) -> dict[str, bool]:
    """Of each of these schemas that exists, whether it holds a table of its migrations."""
    query = """SELECT nspname, EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = 'django_migrations'
        AND relkind = 'r') FROM pg_namespace n WHERE nspname = ANY(%s)"""
    return dict(rows(query, [list(schema_names)]))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
