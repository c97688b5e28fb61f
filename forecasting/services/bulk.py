"""COPY between Arrow tables and PostgreSQL: the way in and out for everything that is large."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection
from psycopg import sql
from pyarrow import csv

_ROWS = 1 << 16
_OPTIONS = csv.WriteOptions(include_header=False, quoting_style="needed")


def copy_in(table: pa.Table, target: str, columns: Sequence[str], defaults: Mapping[str, object] | None = None) -> int:
    """COPY `table` (columns in that order; null stays null) into `target` in this transaction; its row count.

    A column that holds nothing but what `defaults` gives for it is left to the table's own default, which is that
    value: reading empty cells takes PostgreSQL longer than all the others.
    """
    if defaults:
        columns = [name for name in columns if name not in defaults or not _is_all(table[name], defaults[name])]
        table = table.select(columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(
        sql.Identifier(target), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in table.to_batches(max_chunksize=_ROWS):
            buffer = io.BytesIO()
            csv.write_csv(pa.Table.from_batches([batch]), buffer, _OPTIONS)
            copy.write(buffer.getbuffer())
    return int(table.num_rows)


def array_columns(frame: pd.DataFrame, names: Sequence[str], rows: int) -> dict[str, pa.Array]:
    """Columns of `frame`, which holds `rows` paths of one length one after the other, as arrays in PostgreSQL's text
    form, one a path; floats keep every digit."""
    out = {}
    for name in names:
        values = frame[name].to_numpy(dtype="float64").reshape(rows, -1).tolist()
        out[name] = pa.array(["{" + ",".join(map(repr, row)) + "}" for row in values])
    return out


def _is_all(column: pa.ChunkedArray, value: object) -> bool:
    """Whether every cell is `value`."""
    if value is None:
        return bool(column.null_count == len(column))
    return not column.null_count and bool(pc.all(pc.equal(column, pa.scalar(value, column.type))).as_py())


def copy_out(query: sql.Composable, types: dict[str, pa.DataType]) -> pa.Table:
    """The rows of a SELECT as an Arrow table with these columns and types; an empty field is null."""
    buffer = io.BytesIO()
    statement = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in copy:
            buffer.write(chunk)
    return _parsed(buffer, types, csv.ReadOptions())


def read_out(query: sql.Composable, types: dict[str, pa.DataType], each: str) -> pa.Table:
    """As `copy_out` for a SELECT of numbers, days and truth values alone, in the order of the column `each`: one
    text for each of its values leaves the database, not one for each row, which would cost the driver most of the time.
    """
    if wrong := [name for name, kind in types.items() if not _is_plain(kind)]:
        raise ValueError(f"text may hold a comma: {', '.join(wrong)}")
    cells = sql.SQL(", ',', ").join(sql.SQL("q.{}").format(sql.Identifier(name)) for name in types)
    statement = sql.SQL(
        "SELECT string_agg(concat({}), chr(10)) FROM ({}) AS q GROUP BY q.{each} ORDER BY q.{each}"
    ).format(cells, query, each=sql.Identifier(each))
    buffer = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.execute(statement)
        for (lines,) in cursor:
            buffer.write(lines.encode())
            buffer.write(b"\n")
    if not buffer.tell():
        return pa.schema(list(types.items())).empty_table()
    return _parsed(buffer, types, csv.ReadOptions(column_names=list(types)))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_temporal(kind)
    )


def _parsed(buffer: io.BytesIO, types: dict[str, pa.DataType], reading: csv.ReadOptions) -> pa.Table:
    """The table that these lines of CSV make."""
    buffer.seek(0)
    options = csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    return csv.read_csv(buffer, read_options=reading, convert_options=options)
