"""COPY between Arrow tables and PostgreSQL: the way in and out for everything that is large."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import psycopg
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
    return csv.read_csv(buffer, convert_options=options)


Kind = type[int] | type[float] | type[bool] | type[date]
_CELLS: dict[Kind, tuple[sql.SQL, str, str]] = {
    int: (sql.SQL("array_agg({}::int8)"), ">i8", "int64"),
    float: (sql.SQL("array_agg(COALESCE({}::float8, 'NaN'))"), ">f8", "float64"),
    bool: (sql.SQL("array_agg({})"), "u1", "bool"),
    date: (sql.SQL("array_agg({} - DATE '1970-01-01')"), ">i4", "int64"),
}
"""How a kind of column leaves the database, lies in an array of it, and is read here; days as their number."""
_HEAD, _WITH_NULL = 20, slice(4, 8)


def read_out(query: sql.Composable, kinds: Mapping[str, Kind], each: str) -> pd.DataFrame:
    """The rows of a SELECT of numbers, days (as datetime64[ns]) and truth values, in the order of the column `each`, a
    number; rows of one of its values in any order. Only a float may be absent: NaN.

    One array for each column and value of `each` leaves the database, in its binary form: neither side writes or reads
    the figures as text, which takes most of the time of a COPY. Raises ValueError for an absent value elsewhere.
    """
    cells = [_CELLS[kind][0].format(sql.Identifier("q", name)) for name, kind in kinds.items()]
    statement = sql.SQL("SELECT {} FROM ({}) AS q GROUP BY {each} ORDER BY {each}").format(
        sql.SQL(", ").join(cells), query, each=sql.Identifier("q", each)
    )
    # Django's cursor sets the search path, and counts the query where queries are counted; it reads text alone.
    with connection.cursor() as cursor, psycopg.Cursor(connection.connection) as own:
        counted = getattr(cursor, "debug_sql", None)
        with connection.wrap_database_errors, counted(statement.as_string(own)) if counted else nullcontext():
            own.execute(statement, binary=True)
        found: Any = own.pgresult  # it is there after a SELECT
        arrays = [[found.get_value(row, place) for row in range(found.ntuples)] for place in range(len(kinds))]
    columns = {name: _values(name, kind, parts) for (name, kind), parts in zip(kinds.items(), arrays, strict=True)}
    return pd.DataFrame(columns, copy=False)


def _values(name: str, kind: Kind, arrays: Sequence[bytes]) -> np.ndarray:
    """What arrays without an absent value hold: behind their heads each value with its length before it."""
    if any(one[_WITH_NULL] != bytes(4) for one in arrays):
        raise ValueError(f"{name} has no value in some row")
    _, there, here = _CELLS[kind]
    cells = np.frombuffer(b"".join(one[_HEAD:] for one in arrays), np.dtype([("length", ">i4"), ("value", there)]))
    values = cells["value"].astype(here)
    return values.view("datetime64[D]").astype("datetime64[ns]") if kind is date else values
