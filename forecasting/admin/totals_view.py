"""What the pages show of the total, the stores and the categories: what sold, what is forecast, and their own bands."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.db.models import Sum

from forecasting import selectors
from forecasting.admin.charts import HISTORY_STEPS, Chart, band_and_line, demand_summary, rounded
from forecasting.models import Demand, ForecastNodePath, ForecastSet, Level
from ledger.templatetags.forecourt import day as day_text

_ATTRIBUTE = {Level.STORE: "series__store_id", Level.CATEGORY: "series__category"}
_SETS_BEFORE = 4
NO_FORECAST = "There is no published forecast yet."
NO_INTERVAL = "This forecast was stored without totals; the next one has them, with their band."


def total_chart(serving: ForecastSet | None, newest: date | None) -> Chart | None:
    """Demand of all series together; see `node_chart`."""
    return node_chart(serving, Level.TOTAL, "", newest)


def node_chart(made: ForecastSet | None, level: str, key: str, newest: date | None) -> Chart | None:
    """Demand of a node until `newest`: what sold, what a set forecasts with the node's own 80% band, and what had been
    forecast for the days that came. None where nothing is loaded."""
    if newest is None:
        return None
    path = _path(made, level, key)
    step = path.step_days if path is not None else 1
    first = newest - timedelta(days=HISTORY_STEPS * step)
    sold = sold_by_day(level, key, first, newest)
    points = selectors.path_points(path) if path is not None else []
    ahead = {point.day: (point.yhat, point.yhat - point.lo80, point.hi80 - point.yhat) for point in points}
    past = _had_been_forecast(made, level, key, first, newest)
    days = sorted({*sold, *ahead, *past})
    series: list[dict[str, Any]] = [
        {"name": "Sold", "role": "actual", "values": [rounded(sold.get(day)) for day in days]},
    ]
    if past:
        values = [rounded(past.get(day)) for day in days]
        series.append({"name": "Had been forecast", "role": "past", "dashed": True, "values": values})
    if ahead:
        series += band_and_line(days, ahead)
    return {
        "type": "line",
        "labels": [day_text(day) for day in days],
        "labelTitle": "Day" if step == 1 else "Week ending",
        "series": series,
        "unit": "units",
        "yTitle": "Units a day" if step == 1 else "Units a week",
        "summary": demand_summary(sold, ahead, newest),
        "note": _note(made, path),
    }


def sold_by_day(level: str, key: str, first: date, last: date) -> dict[date, float]:
    """What a node's series sold together on the days after `first` up to `last`, oldest first."""
    rows = Demand.objects.filter(date__gt=first, date__lte=last)
    if level in _ATTRIBUTE:
        rows = rows.filter(**{_ATTRIBUTE[Level(level)]: key})
    return dict(rows.values_list("date").annotate(total=Sum("quantity")).order_by("date"))


def _path(made: ForecastSet | None, level: str, key: str) -> ForecastNodePath | None:
    if made is None:
        return None
    return ForecastNodePath.objects.filter(forecast_set=made, level=level, key=key).first()


def _had_been_forecast(made: ForecastSet | None, level: str, key: str, first: date, newest: date) -> dict[date, float]:
    """By day, what the sets that served before this one had said, the newest of them last."""
    if made is None:
        return {}
    older = ForecastSet.objects.filter(
        channel=made.channel, published_at__isnull=False, origin_date__lt=made.origin_date, origin_date__gte=first
    )
    chosen = older.exclude(pk=made.pk).order_by("-origin_date")[:_SETS_BEFORE]
    paths = ForecastNodePath.objects.filter(forecast_set__in=list(chosen), level=level, key=key)
    out: dict[date, float] = {}
    for path in paths.order_by("forecast_set__origin_date"):
        out.update({point.day: point.yhat for point in selectors.path_points(path) if first < point.day <= newest})
    return out


def _note(made: ForecastSet | None, path: ForecastNodePath | None) -> str:
    if made is None:
        return NO_FORECAST
    if path is None:
        return NO_INTERVAL
    return "The 80% band is that of the sum, from errors that forecasts of this sum made on past days."
