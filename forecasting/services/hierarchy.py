"""Forecasts of the total, the stores and the categories: made from those of the series, stored beside them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
from django.db import connection
from psycopg import sql

from forecasting.engine.fitted import FittedModel
from forecasting.engine.hierarchy_model import NODE_COLUMNS, level_scores
from forecasting.models import ForecastSet
from forecasting.services.bulk import array_columns, copy_in, copy_out

TOLERANCE = 1e-9
"""Relative: sums of the same floats in another order differ in their last bits."""
_ARRAYS = ("yhat", "lo80", "hi80", "lo95", "hi95")
_COLUMNS = ("forecast_set_id", "level", "key", "members", "start_date", "step_days", *_ARRAYS)


def node_frame(fitted: FittedModel, frame: pd.DataFrame, static: pd.DataFrame) -> pd.DataFrame:
    """The nodes' forecasts (NODE_COLUMNS) from all the series' (unique_id, ds, h, yhat); empty where a version kept no
    calibration for them, because no day of its backtest was known. static: unique_id, store_id, category."""
    if fitted.hierarchy is None:
        return pd.DataFrame(columns=list(NODE_COLUMNS))
    return fitted.hierarchy.forecast(frame, static)


def store_nodes(made: ForecastSet, nodes: pd.DataFrame, step_days: int) -> int:
    """Write the paths of a set's nodes, in the caller's transaction; how many they are. nodes: as `node_frame`."""
    if not len(nodes):
        return 0
    first = nodes.loc[nodes["h"] == 1]
    table = pa.table(
        {
            "forecast_set_id": pa.array([made.pk] * len(first), pa.int64()),
            "level": pa.array(first["level"].astype(str)),
            "key": pa.array(first["key"].astype(str)),
            "members": pa.array(first["members"].astype("int64")),
            "start_date": pa.array(first["ds"].dt.date, pa.date32()),
            "step_days": pa.array([step_days] * len(first), pa.int16()),
            **array_columns(nodes, _ARRAYS, len(first)),
        }
    )
    return copy_in(table, "forecasting_forecastnodepath", _COLUMNS)


def stored_nodes(made: ForecastSet) -> pd.DataFrame:
    """level, key, ds, yhat, lo80, hi80 of a set's nodes, as stored."""
    query = sql.SQL(
        "SELECT level, key, target_date AS ds, yhat, lo80, hi80 FROM forecast_daily_totals WHERE forecast_set_id = {}"
    ).format(sql.Literal(made.pk))
    types = {"level": pa.string(), "key": pa.string(), "ds": pa.timestamp("ns")}
    table = copy_out(query, types | dict.fromkeys(("yhat", "lo80", "hi80"), pa.float64()))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def realised(made: ForecastSet, frame: pd.DataFrame, static: pd.DataFrame) -> dict[str, Any]:
    """Scores by level of a set's forecasts that met their actuals, as JSON. frame: its series' rows beside them."""
    found = level_scores(frame, stored_nodes(made), static)
    return {level: {name: score.to_json() for name, score in scores.items()} for level, scores in found.items()}


_SUMS = """
WITH series AS (
    SELECT p.forecast_set_id, node.level, node.key, step.h, sum(step.yhat) AS yhat, count(*) AS members
    FROM forecasting_forecastpath p
    JOIN forecasting_series s ON s.id = p.series_id
    CROSS JOIN LATERAL (VALUES ('total', ''), ('store', s.store_id), ('category', s.category)) AS node (level, key)
    CROSS JOIN LATERAL unnest(p.yhat) WITH ORDINALITY AS step(yhat, h)
    WHERE p.forecast_set_id = %(set)s
    GROUP BY p.forecast_set_id, node.level, node.key, step.h
), nodes AS (
    SELECT p.level, p.key, p.members, step.h, step.yhat
    FROM forecasting_forecastnodepath p CROSS JOIN LATERAL unnest(p.yhat) WITH ORDINALITY AS step(yhat, h)
    WHERE p.forecast_set_id = %(set)s
)
SELECT n.level, n.key, n.h
FROM nodes n LEFT JOIN series s USING (level, key, h)
WHERE s.yhat IS NULL OR s.members <> n.members OR abs(n.yhat - s.yhat) > %(tolerance)s * greatest(abs(s.yhat), 1)
ORDER BY n.level, n.key, n.h
"""


def what_does_not_add_up(made: ForecastSet) -> list[tuple[str, str, int]]:
    """(level, key, step) of every stored figure of a node that is not the sum of its series' stored figures.

    Store and category are those of now: a series that moved to another category since makes its old and new one differ.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"set": made.pk, "tolerance": TOLERANCE})
        return [(level, key, int(h)) for level, key, h in cursor.fetchall()]
