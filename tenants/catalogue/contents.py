"""The rows of a schema: how many there are of each table, their digest, and copies of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tenants.catalogue.reading import only_in, quoted, rows, rows_of, run

_NS = "(SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)"
_TABLES = f"SELECT relname FROM pg_class WHERE relnamespace = {_NS} AND relkind = 'r' ORDER BY 1"
_COLUMNS = f"""
SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
WHERE relnamespace = {_NS} AND relkind = 'r' AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY relname, attnum
"""
_SEQUENCES = f"""
SELECT t.relname, s.relname FROM pg_class s
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('i', 'a')
JOIN pg_class t ON t.oid = d.refobjid
WHERE s.relnamespace = {_NS} AND s.relkind = 'S' ORDER BY 1, 2
"""


@dataclass(frozen=True)
class TableRows:
    """A table's rows: how many, their digest (whatever their order), the columns they have, the sequences they use."""

    count: int
    digest: str
    columns: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()


def tables_of(schema_name: str) -> list[str]:
    """The tables of a schema, by name."""
    return [row[0] for row in rows_of(_TABLES, schema_name)]


def digests(schema_name: str, tables: Sequence[str]) -> dict[str, TableRows]:
    """Count and digest of the rows of each of these tables, in one statement; both are independent of order.

    The digest is a sum of the rows' MD5 halves, so that a table of any size is read once and nothing is sorted.
    """
    if not tables:
        return {}
    half = "('x' || substr(md5(t::text), {start}, 16))::bit(64)::bigint"
    parts = " UNION ALL ".join(
        f"SELECT '{table}', count(*), concat(coalesce(sum({half.format(start=1)}), 0), '/', "
        f"coalesce(sum({half.format(start=17)}), 0)) FROM {quoted(schema_name)}.{quoted(table)} t"
        for table in tables
    )
    with only_in(schema_name):
        return {table: TableRows(count, digest) for table, count, digest in rows(parts)}


def filled(schema_name: str) -> dict[str, TableRows]:
    """Everything of the tables that hold rows."""
    columns, sequences = defaultdict(list), defaultdict(list)
    for table, column in rows_of(_COLUMNS, schema_name):
        columns[table].append(column)
    for table, sequence in rows_of(_SEQUENCES, schema_name):
        sequences[table].append(sequence)
    return {
        table: TableRows(found.count, found.digest, tuple(columns[table]), tuple(sequences[table]))
        for table, found in digests(schema_name, tables_of(schema_name)).items()
        if found.count
    }


def copy_rows(source: str, target: str, table: str, held: TableRows, *, now: frozenset[str] = frozenset()) -> None:
    """Copy a table's rows and where its sequences stand; the columns of ``now`` get the present moment instead."""
    names = ", ".join(quoted(column) for column in held.columns)
    values = ", ".join("statement_timestamp()" if one in now else quoted(one) for one in held.columns)
    statements = [
        f"INSERT INTO {quoted(target)}.{quoted(table)} ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {values} FROM {quoted(source)}.{quoted(table)}"
    ]
    statements += [
        f"SELECT setval('{quoted(target)}.{quoted(sequence)}', last_value, is_called) "
        f"FROM {quoted(source)}.{quoted(sequence)}"
        for sequence in held.sequences
    ]
    run(";\n".join(statements))
