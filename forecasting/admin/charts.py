"""What the charts show, as plain JSON for ``charts.js``; each has a summary in words for those who do not see it."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum

from forecasting import selectors
from forecasting.models import Demand, ForecastPath, ForecastSet, Series
from ledger.templatetags.forecourt import day as day_text

Chart = dict[str, Any]
HISTORY_STEPS = 56
ENOUGH_DAYS = 10
_SUMS = """
SELECT forecast_set_id, start_date + ((step - 1) * step_days)::int AS day, sum(middle),
       sqrt(sum((middle - low) ^ 2)), sqrt(sum((high - middle) ^ 2))
FROM forecasting_forecastpath,
     unnest(yhat, lo80, hi80) WITH ORDINALITY AS steps (middle, low, high, step)
WHERE forecast_set_id = ANY(%s)
GROUP BY forecast_set_id, day ORDER BY day
"""


def total_chart(serving: ForecastSet | None, newest: date | None) -> Chart | None:
    """Demand of all series together: what sold, what is forecast, and what had been forecast for the days that came.

    The band is that of the total; summing the series' bounds would be no 80% band of the sum. Where ``ENOUGH_DAYS``
    forecast days met their actuals it is conformal: the 80% quantile of the total's own relative errors. Before that
    it is the root-sum-of-squares of the series' half-widths, which holds where their errors are independent.
    """
    if newest is None:
        return None
    step = _step_days(serving)
    first = newest - timedelta(days=HISTORY_STEPS * step)
    sold = dict(
        Demand.objects.filter(date__gt=first, date__lte=newest)
        .values_list("date")
        .annotate(total=Sum("quantity"))
        .order_by("date")
    )
    sets = [serving, *_served_before(serving, first)] if serving is not None else []
    totals = _totals([one.pk for one in sets])
    ahead = totals.get(serving.pk, {}) if serving is not None else {}
    errors = _relative_errors([totals.get(one.pk, {}) for one in sets], sold)
    width = conformal_quantile(errors, 0.80) if len(errors) >= ENOUGH_DAYS else None
    if width is not None:
        ahead = {day: (values[0], width * values[0], width * values[0]) for day, values in ahead.items()}
    past: dict[date, float] = {}
    for one in reversed(sets[1:]):
        past.update({day: values[0] for day, values in totals.get(one.pk, {}).items() if first < day <= newest})
    days = sorted({*sold, *ahead, *past})
    series: list[dict[str, Any]] = [
        {"name": "Sold", "role": "actual", "values": [_round(sold.get(day)) for day in days]},
    ]
    if past:
        series.append(
            {"name": "Had been forecast", "role": "past", "dashed": True, "values": [_round(past.get(d)) for d in days]}
        )
    if ahead:
        series += _band_and_line(days, ahead)
    return {
        "type": "line",
        "labels": [day_text(day) for day in days],
        "labelTitle": "Day" if step == 1 else "Week ending",
        "series": series,
        "unit": "units",
        "yTitle": "Units a day" if step == 1 else "Units a week",
        "summary": _total_summary(sold, ahead, newest),
        "note": _band_note(bool(ahead), len(errors) if width is not None else 0),
    }


def series_chart(series: Series, forecast_set: ForecastSet | None, newest: date | None) -> Chart | None:
    """One series: what sold and what is forecast, with its 80% band."""
    end = series.last_day or newest
    if end is None:
        return None
    path = (
        ForecastPath.objects.filter(series=series, forecast_set=forecast_set).first()
        if forecast_set is not None
        else None
    )
    step = path.step_days if path is not None else 1
    points = selectors.demand_of(series.pk, first=end - timedelta(days=HISTORY_STEPS * 2 * step), last=end)
    ahead = {p.day: (p.yhat, p.yhat - p.lo80, p.hi80 - p.yhat) for p in selectors.path_points(path)} if path else {}
    sold = {point.day: point.quantity for point in points}
    days = sorted({*sold, *ahead})
    if not days:
        return None
    chart: list[dict[str, Any]] = [
        {"name": "Sold", "role": "actual", "values": [_round(sold.get(day)) for day in days]},
    ]
    if ahead:
        chart += _band_and_line(days, ahead)
    return {
        "type": "line",
        "labels": [day_text(day) for day in days],
        "labelTitle": "Day",
        "series": chart,
        "unit": "units",
        "yTitle": "Units",
        "summary": _total_summary(sold, ahead, end),
        "note": "" if ahead else "The forecasts that serve now do not hold this series.",
    }


def pair_chart(
    labels: list[str], champion: list[Any], candidate: list[Any], names: tuple[str, str], **more: Any
) -> Chart:
    """Champion and candidate side by side, as bars unless ``type`` says otherwise."""
    return {
        "type": "bar",
        "labels": labels,
        "series": [
            {"name": names[0], "role": "champion", "values": champion},
            {"name": names[1], "role": "candidate", "values": candidate},
        ],
        **more,
    }


def _band_and_line(days: list[date], ahead: dict[date, tuple[float, float, float]]) -> list[dict[str, Any]]:
    low = [_round(max(ahead[d][0] - ahead[d][1], 0.0)) if d in ahead else None for d in days]
    high = [_round(ahead[d][0] + ahead[d][2]) if d in ahead else None for d in days]
    return [
        {"name": "80% band", "role": "band", "low": low, "high": high},
        {"name": "Forecast", "role": "forecast", "values": [_round(ahead[d][0]) if d in ahead else None for d in days]},
    ]


def conformal_quantile(errors: list[float], level: float) -> float | None:
    """The split-conformal quantile: the ⌈(n + 1)·level⌉-th smallest absolute error, None where n is too small for it.

    Source: Lei et al. 2018, "Distribution-free predictive inference for regression".
    """
    rank = math.ceil((len(errors) + 1) * level)
    return sorted(errors)[rank - 1] if rank <= len(errors) else None


def _relative_errors(sets: list[dict[date, tuple[float, float, float]]], sold: dict[date, float]) -> list[float]:
    """|sold - forecast| / forecast of the total, of every forecast day that met its actual."""
    return [
        abs(sold[day] - values[0]) / values[0]
        for totals in sets
        for day, values in totals.items()
        if day in sold and values[0] > 0
    ]


def _band_note(forecast: bool, days: int) -> str:
    if not forecast:
        return "There is no published forecast yet."
    if days:
        return f"The 80% band comes from the errors of the total on {days} forecast days that have met their actuals."
    return (
        "Too few forecast days have met their actuals, so the 80% band of the total takes the series’ errors as "
        "independent; errors that move together make it wider in truth."
    )


def _served_before(serving: ForecastSet, first: date) -> list[ForecastSet]:
    """The sets that served before this one and reach into the shown days, newest first; fewer where sets are large."""
    older = ForecastSet.objects.filter(
        channel=serving.channel, published_at__isnull=False, origin_date__lt=serving.origin_date, origin_date__gte=first
    )
    return list(older.exclude(pk=serving.pk).order_by("-origin_date")[: 4 if serving.series_count <= 2000 else 2])


def _totals(set_ids: list[int]) -> dict[int, dict[date, tuple[float, float, float]]]:
    """Per set and day: sum of the forecasts, and the half-widths below and above of the sum's band."""
    totals: dict[int, dict[date, tuple[float, float, float]]] = {}
    if set_ids:
        with connection.cursor() as cursor:
            cursor.execute(_SUMS, [set_ids])
            for set_id, day, total, below, above in cursor.fetchall():
                totals.setdefault(set_id, {})[day] = (total, below, above)
    return totals


def _step_days(forecast_set: ForecastSet | None) -> int:
    if forecast_set is None:
        return 1
    return 7 if forecast_set.version.spec.body.get("grain") == "W" else 1


def _round(value: float | None) -> float | None:
    return round(value, 3) if value is not None and math.isfinite(value) else None


def _total_summary(sold: dict[date, float], ahead: dict[date, Any], newest: date) -> str:
    text = f"Demand until {day_text(newest)}."
    if sold:
        recent = [value for _, value in sorted(sold.items())[-28:]]
        text += f" On average {sum(recent) / len(recent):,.0f} units in the last {len(recent)} periods."
    if ahead:
        mean = sum(values[0] for values in ahead.values()) / len(ahead)
        text += f" Forecast from {day_text(min(ahead))} to {day_text(max(ahead))}: {mean:,.0f} on average."
    return text
