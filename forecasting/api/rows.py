"""Forecast rows in bulk: paths are unnested, filtered, cut to a page and written as text inside PostgreSQL.

No Python object is made for a row: one statement gives a page's text, its number of rows and its last key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from django.db import connection

from integrations.engine.spreadsheet import FORMULA_REGEX

COLUMNS = (
    "store_id", "product_id", "origin_date", "target_date", "horizon",
    "yhat", "lo80", "hi80", "lo95", "hi95", "family", "model_version",
)  # fmt: skip


class RowFormat(StrEnum):
    """How a row is written."""

    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True)
class RowFilter:
    """Which rows of a forecast set: stores and products (empty: all), target days (both included), after which key."""

    stores: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    after: tuple[int, int] | None = None  # series id and horizon of the row before the page


@dataclass(frozen=True)
class Page:
    """The text of a page's rows, how many they are, and the key of its last row where more follow."""

    text: str
    rows: int
    more_after: tuple[int, int] | None


_JSON_ROW = """'{"store_id":' || to_json(store_id)::text || ',"product_id":' || to_json(product_id)::text
    || ',"origin_date":"' || %(origin)s || '","target_date":"' || to_char(target_date, 'YYYY-MM-DD')
    || '","horizon":' || h || ',"yhat":' || to_json(yhat)::text || ',"lo80":' || to_json(lo80)::text
    || ',"hi80":' || to_json(hi80)::text || ',"lo95":' || to_json(lo95)::text || ',"hi95":' || to_json(hi95)::text
    || ',"family":' || to_json(family)::text || ',"model_version":' || %(version)s || '}'"""
# A text that a spreadsheet would run as a formula gets an apostrophe in front.
CSV_TEXT = f"""'"' || CASE WHEN {{0}} ~ '{FORMULA_REGEX}' THEN '''' ELSE '' END || replace({{0}}, '"', '""') || '"'"""
_CSV_ROW = f"""{CSV_TEXT.format("store_id")} || ',' || {CSV_TEXT.format("product_id")}
    || ',' || %(origin)s || ',' || to_char(target_date, 'YYYY-MM-DD') || ',' || h || ',' || yhat || ',' || lo80
    || ',' || hi80 || ',' || lo95 || ',' || hi95 || ',' || {CSV_TEXT.format("family")} || ',' || %(version)s"""
_ROWS = {RowFormat.JSON: (_JSON_ROW, ","), RowFormat.CSV: (_CSV_ROW, "\r\n")}

# The index on (forecast_set, series) gives paths in page order, so a page reads only its own paths, wherever it stands.
_PAGE = """
SELECT coalesce(string_agg({row}, %(separator)s) FILTER (WHERE n <= %(size)s), ''),
       count(*), max(ARRAY[series_id, h]) FILTER (WHERE n <= %(size)s)
FROM (
    SELECT p.series_id, s.store_id, s.product_id, p.family, step.*,
           p.start_date + ((step.h - 1) * p.step_days)::int AS target_date,
           row_number() OVER (ORDER BY p.series_id, step.h) AS n
    FROM forecasting_forecastpath p
    JOIN forecasting_series s ON s.id = p.series_id
    CROSS JOIN LATERAL unnest(p.yhat, p.lo80, p.hi80, p.lo95, p.hi95)
        WITH ORDINALITY AS step(yhat, lo80, hi80, lo95, hi95, h)
    WHERE {where}
    ORDER BY p.series_id, step.h
    LIMIT %(size)s + 1
) AS page
"""


def forecast_page(
    *, forecast_set_id: int, version: int, origin: date, chosen: RowFilter, size: int, row_format: RowFormat
) -> Page:
    """Read one page of a set's rows, ordered by series and horizon. One query; quantities in units."""
    row, separator = _ROWS[row_format]
    conditions, more = days_between(chosen.first, chosen.last)
    conditions.append("p.forecast_set_id = %(set)s")
    values: dict[str, Any] = {
        **more,
        "set": forecast_set_id,
        "version": str(version),
        "origin": origin.isoformat(),
        "size": size,
        "separator": separator,
    }
    if chosen.stores:
        conditions.append("s.store_id = ANY(%(stores)s)")
        values["stores"] = list(chosen.stores)
    if chosen.products:
        conditions.append("s.product_id = ANY(%(products)s)")
        values["products"] = list(chosen.products)
    if chosen.after is not None:
        conditions.append("p.series_id >= %(series)s AND (p.series_id, step.h) > (%(series)s, %(step)s)")
        values["series"], values["step"] = chosen.after
    # Only constants of this module are put into the statement; every value is a parameter.
    return read_page(_PAGE.format(row=row, where=" AND ".join(conditions)), values)


def days_between(first: date | None, last: date | None) -> tuple[list[str], dict[str, Any]]:
    """Conditions on a step's target day (both included; None: open) of a path `p`, and their values."""
    day, given = "p.start_date + ((step.h - 1) * p.step_days)::int", {"first": first, "last": last}
    signs = {"first": ">=", "last": "<="}
    values = {name: value for name, value in given.items() if value is not None}
    return [f"{day} {signs[name]} %({name})s" for name in values], values


def read_page(statement: str, values: dict[str, Any]) -> Page:
    """Run a statement that gives a page's text, the rows found (one more than its size where more follow), last key."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        text, found, last = cursor.fetchone()
    size = values["size"]
    return Page(text=text, rows=min(found, size), more_after=(last[0], last[1]) if found > size else None)
