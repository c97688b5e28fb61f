"""What the charts show, as plain JSON for ``charts.js``; each has a summary in words for those who do not see it."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

from forecasting import selectors
from forecasting.models import ForecastPath, ForecastSet, Series
from ledger.templatetags.forecourt import day as day_text

Chart = dict[str, Any]
HISTORY_STEPS = 56


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
        {"name": "Sold", "role": "actual", "values": [rounded(sold.get(day)) for day in days]},
    ]
    if ahead:
        chart += band_and_line(days, ahead)
    return {
        "type": "line",
        "labels": [day_text(day) for day in days],
        "labelTitle": "Day",
        "series": chart,
        "unit": "units",
        "yTitle": "Units",
        "summary": demand_summary(sold, ahead, end),
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


def band_and_line(days: list[date], ahead: dict[date, tuple[float, float, float]]) -> list[dict[str, Any]]:
    """The series of a chart for a forecast: ahead[day] = forecast, and the half-widths of its 80% band."""
    low = [rounded(max(ahead[d][0] - ahead[d][1], 0.0)) if d in ahead else None for d in days]
    high = [rounded(ahead[d][0] + ahead[d][2]) if d in ahead else None for d in days]
    return [
        {"name": "80% band", "role": "band", "low": low, "high": high},
        {
            "name": "Forecast",
            "role": "forecast",
            "values": [rounded(ahead[d][0]) if d in ahead else None for d in days],
        },
    ]


def rounded(value: float | None) -> float | None:
    """As charts show it; None where it is unknown."""
    return round(value, 3) if value is not None and math.isfinite(value) else None


def demand_summary(sold: dict[date, float], ahead: dict[date, Any], newest: date) -> str:
    """What a chart of demand and forecast shows, in words."""
    text = f"Demand until {day_text(newest)}."
    if sold:
        recent = [value for _, value in sorted(sold.items())[-28:]]
        text += f" On average {sum(recent) / len(recent):,.0f} units in the last {len(recent)} periods."
    if ahead:
        mean = sum(values[0] for values in ahead.values()) / len(ahead)
        text += f" Forecast from {day_text(min(ahead))} to {day_text(max(ahead))}: {mean:,.0f} on average."
    return text
