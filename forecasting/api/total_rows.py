"""Forecasts of the total, stores and categories in bulk; as for the series, their text is made inside PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from forecasting.api.rows import CSV_TEXT, Page, RowFormat, days_between, read_page

COLUMNS = (
    "level", "key", "series", "origin_date", "target_date", "horizon",
    "yhat", "lo80", "hi80", "lo95", "hi95", "model_version",
)  # fmt: skip


@dataclass(frozen=True)
class TotalFilter:
    """Which rows: a level (None: all), keys on it (empty: all), target days (both included), after which path, step."""

    level: str | None = None
    keys: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    after: tuple[int, int] | None = None


_JSON_ROW = """'{"level":' || to_json(level)::text || ',"key":' || to_json(key)::text || ',"series":' || members
    || ',"origin_date":"' || %(origin)s || '","target_date":"' || to_char(target_date, 'YYYY-MM-DD')
    || '","horizon":' || h || ',"yhat":' || to_json(yhat)::text || ',"lo80":' || to_json(lo80)::text
    || ',"hi80":' || to_json(hi80)::text || ',"lo95":' || to_json(lo95)::text || ',"hi95":' || to_json(hi95)::text
    || ',"model_version":' || %(version)s || '}'"""
_CSV_ROW = f"""level || ',' || {CSV_TEXT.format("key")} || ',' || members || ',' || %(origin)s
    || ',' || to_char(target_date, 'YYYY-MM-DD') || ',' || h || ',' || yhat || ',' || lo80 || ',' || hi80
    || ',' || lo95 || ',' || hi95 || ',' || %(version)s"""
_ROWS = {RowFormat.JSON: (_JSON_ROW, ","), RowFormat.CSV: (_CSV_ROW, "\r\n")}

# Paths are written by level and key, so their numbers are in page order.
_PAGE = """
SELECT coalesce(string_agg({row}, %(separator)s) FILTER (WHERE n <= %(size)s), ''),
       count(*), max(ARRAY[path_id, h]) FILTER (WHERE n <= %(size)s)
FROM (
    SELECT p.id AS path_id, p.level, p.key, p.members, step.*,
           p.start_date + ((step.h - 1) * p.step_days)::int AS target_date,
           row_number() OVER (ORDER BY p.id, step.h) AS n
    FROM forecasting_forecastnodepath p
    CROSS JOIN LATERAL unnest(p.yhat, p.lo80, p.hi80, p.lo95, p.hi95)
        WITH ORDINALITY AS step(yhat, lo80, hi80, lo95, hi95, h)
    WHERE {where}
    ORDER BY p.id, step.h
    LIMIT %(size)s + 1
) AS page
"""


def total_page(
    *, forecast_set_id: int, version: int, origin: date, chosen: TotalFilter, size: int, row_format: RowFormat
) -> Page:
    """Read one page of a set's rows, by level, key and horizon. One query; quantities in units."""
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
    if chosen.level is not None:
        conditions.append("p.level = %(level)s")
        values["level"] = chosen.level
    if chosen.keys:
        conditions.append("p.key = ANY(%(keys)s)")
        values["keys"] = list(chosen.keys)
    if chosen.after is not None:
        conditions.append("p.id >= %(path)s AND (p.id, step.h) > (%(path)s, %(step)s)")
        values["path"], values["step"] = chosen.after
    # Only constants of this module are put into the statement; every value is a parameter.
    return read_page(_PAGE.format(row=row, where=" AND ".join(conditions)), values)
