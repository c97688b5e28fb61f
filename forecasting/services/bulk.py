"""COPY between Arrow tables and PostgreSQL: the way in and out for everything that is large."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
from django.db import connection
from psycopg import sql
from pyarrow import csv

_ROWS = 1 << 16
_OPTIONS = csv.WriteOptions(include_header=False, quoting_style="needed")


def copy_in(table: pa.Table, target: str, columns: Sequence[str]) -> int:
    """COPY `table` (columns in that order; null stays null) into `target` in this transaction; its row count."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(
        sql.Identifier(target), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in table.to_batches(max_chunksize=_ROWS):
            buffer = io.BytesIO()
            csv.write_csv(pa.Table.from_batches([batch]), buffer, _OPTIONS)
            copy.write(buffer.getbuffer())
    return int(table.num_rows)


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
