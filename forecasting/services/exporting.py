"""Forecasts as a file, streamed from the database."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import connection
from psycopg import sql
from pyarrow import csv

from forecasting.models import ForecastSet
from integrations.engine.spreadsheet import FORMULA_REGEX

FIGURES = ("yhat", "lo80", "hi80", "lo95", "hi95")
COLUMNS = (
    "store_id", "product_id", "origin_date", "target_date", "horizon", *FIGURES, "family", "model_version",
)  # fmt: skip
TOTAL_COLUMNS = ("level", "key", "series", "origin_date", "target_date", "horizon", *FIGURES, "model_version")
_TEXT = ("store_id", "product_id", "family", "level", "key")
_TYPES = {
    **dict.fromkeys(_TEXT, pa.string()),
    **dict.fromkeys(("origin_date", "target_date"), pa.date32()),
    **dict.fromkeys(("horizon", "series"), pa.int32()),
    **dict.fromkeys(FIGURES, pa.float64()),
    "model_version": pa.int64(),
}
_BUFFER = 8 << 20


def columns_of(level: str | None) -> tuple[str, ...]:
    """The columns of an export of the series (None), or of a level above them."""
    return COLUMNS if level is None else TOTAL_COLUMNS


def _query(forecast_set: ForecastSet, level: str | None, *, spreadsheet: bool) -> sql.Composable:
    """The set's rows in the export's order; for a spreadsheet a text that looks like a formula gets a leading quote."""
    columns: list[sql.Composable] = []
    for name in columns_of(level):
        column: sql.Composable = sql.SQL("members AS series") if name == "series" else sql.Identifier(name)
        if spreadsheet and name in _TEXT:
            column = sql.SQL("CASE WHEN {0} ~ {1} THEN '''' || {0} ELSE {0} END AS {0}").format(
                sql.Identifier(name), sql.Literal(FORMULA_REGEX)
            )
        columns.append(column)
    chosen, of_set = sql.SQL(", ").join(columns), sql.Literal(forecast_set.pk)
    if level is None:
        return sql.SQL("SELECT {} FROM forecast_daily WHERE forecast_set_id = {} ORDER BY series_id, horizon").format(
            chosen, of_set
        )
    return sql.SQL(
        "SELECT {} FROM forecast_daily_totals WHERE forecast_set_id = {} AND level = {} ORDER BY node_path_id, horizon"
    ).format(chosen, of_set, sql.Literal(level))


def export_csv(forecast_set: ForecastSet, target: Path, level: str | None = None) -> int:
    """Write a set (of a level above the series, where one is named) as CSV with a header, UTF-8, figures with every
    digit; return the number of rows."""
    statement = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER, ENCODING 'UTF8')").format(
        _query(forecast_set, level, spreadsheet=True)
    )
    with connection.cursor() as cursor, target.open("wb") as file:
        with cursor.copy(statement) as copy:
            for chunk in copy:
                file.write(chunk)
        return int(cursor.rowcount)


def export_parquet(forecast_set: ForecastSet, target: Path, level: str | None = None) -> int:
    """As `export_csv`, as parquet with typed columns. Memory is bounded by one buffer."""
    schema = pa.schema([pa.field(name, _TYPES[name]) for name in columns_of(level)])
    statement = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv)").format(_query(forecast_set, level, spreadsheet=False))
    with pq.ParquetWriter(target, schema) as writer, connection.cursor() as cursor:
        buffer = io.BytesIO()
        with cursor.copy(statement) as copy:
            for chunk in copy:  # the server sends one row a message, so a buffer never ends inside a row
                buffer.write(chunk)
                if buffer.tell() >= _BUFFER:
                    writer.write_table(_parsed(buffer, schema))
                    buffer = io.BytesIO()
        if buffer.tell():
            writer.write_table(_parsed(buffer, schema))
        return int(cursor.rowcount)


def _parsed(buffer: io.BytesIO, schema: pa.Schema) -> pa.Table:
    buffer.seek(0)
    table = csv.read_csv(
        buffer,
        read_options=csv.ReadOptions(column_names=schema.names),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=_TYPES, strings_can_be_null=False),
    )
    return table.select(schema.names).cast(schema)
