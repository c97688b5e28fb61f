"""What a comparison in shadow rests on: which sets stand side by side, and the content of the days between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa
from django.db import connection
from psycopg import sql

from forecasting.models import Channel, ForecastSet, ModelVersion, VersionStatus
from forecasting.services.bulk import copy_out
from forecasting.services.policy import active_policy, body_of

_VALUES = ("yhat", "lo80", "hi80", "lo95", "hi95")
_CONTENT = """
    SELECT date, count(*), COALESCE(sum(hashtextextended(concat_ws('|', series_id, quantity, stocked_out,
        COALESCE(unit_price, -1), COALESCE(unit_cost, -1)), 0)::numeric), 0)
    FROM forecasting_demand WHERE date BETWEEN %s AND %s GROUP BY date
"""


@dataclass(frozen=True)
class Pair:
    """Two forecast sets from one origin: that which served, and that in its shadow."""

    origin: date
    horizon: int
    champion: int
    challenger: int


def shadow_versions(champion: ModelVersion) -> list[ModelVersion]:
    """The versions that forecast beside the champion: every challenger, and the newest candidates up to the policy's
    number. A version that was retired or has failed is none of them any more."""
    rows = ModelVersion.objects.select_related("spec").exclude(pk=champion.pk).order_by("-number")
    most = body_of(active_policy()).shadow.max_candidates
    challengers = list(rows.filter(status=VersionStatus.CHALLENGER))
    return challengers + list(rows.filter(status=VersionStatus.CANDIDATE)[:most])


def pairs_of(version: ModelVersion, champion: ModelVersion, *, since: date, until: date) -> list[Pair]:
    """The sets of a version beside those that the champion's spec published from the same origins, oldest first.

    Where a refresh published a second set from one origin, the later one is meant.
    """
    between = ForecastSet.objects.filter(channel=Channel.LIVE, origin_date__gte=since, origin_date__lt=until)
    ours = between.filter(version=version).values_list("origin_date", "pk", "horizon")
    served = between.filter(version__spec_id=champion.spec_id, published_at__isnull=False).exclude(version=version)
    theirs = {
        origin: (pk, horizon)
        for origin, pk, horizon in served.order_by("published_at", "pk").values_list("origin_date", "pk", "horizon")
    }
    return [
        Pair(origin, min(horizon, theirs[origin][1]), theirs[origin][0], pk)
        for origin, pk, horizon in ours.order_by("origin_date")
        if origin in theirs
    ]


def content_of_days(first: date, last: date) -> dict[date, str]:
    """A hash of each day's demand, prices and costs: it changes when a correction changes the day."""
    with connection.cursor() as cursor:
        cursor.execute(_CONTENT, [first, last])
        return {day: f"{rows}:{content}" for day, rows, content in cursor.fetchall()}


def stored_forecasts(sets: Sequence[int], until: date) -> pd.DataFrame:
    """unique_id, origin, ds, h and the stored figures of these sets, on days up to `until`."""
    names = sql.SQL(", ").join(map(sql.Identifier, _VALUES))
    query = sql.SQL(
        "SELECT series_id AS unique_id, origin_date AS origin, target_date AS ds, horizon AS h, {} FROM forecast_daily "
        "WHERE forecast_set_id IN ({}) AND target_date <= {}"
    ).format(names, sql.SQL(", ").join(map(sql.Literal, sets)), sql.Literal(until))
    moment = pa.timestamp("ns")
    types = {"unique_id": pa.int64(), "origin": moment, "ds": moment, "h": pa.int64()}
    frame: pd.DataFrame = copy_out(query, types | dict.fromkeys(_VALUES, pa.float64())).to_pandas()
    return frame


def days_between(first: date, last: date) -> list[date]:
    """Every day from first to last."""
    return [first + timedelta(days=k) for k in range((last - first).days + 1)]
