"""The page "What served on": for any day the champion, its forecasts, and what they said of that day."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from forecasting import selectors_served
from forecasting.admin.totals_view import sold_by_day
from forecasting.models import Level
from forecasting.selectors_served import DayForecast, ServedDay
from ledger.api.params import day as read_day

ROWS = 50


def served_page(request: HttpRequest) -> dict[str, Any]:
    """Context of the page. ``on`` is a day; without it today, in the tenant's time zone."""
    text = request.GET.get("on", "").strip()
    try:
        day = read_day(text) if text else timezone.localdate()
    except ValueError:
        return {
            "asked": text[:40],
            "problem": f"“{text[:40]}” is no date. Write it as 2026-01-31 (year, month, day).",
            "answer": None,
        }
    answer = selectors_served.served_on(day)
    return {
        "asked": day.isoformat(),
        "problem": "",
        "answer": answer,
        "periods": [
            {"period": period, "approver": selectors_served.approver_of(period.assignment)} for period in answer.periods
        ],
        **_forecast(answer),
        "before": _next(day, -1),
        "after": _next(day, 1),
    }


def _next(day: date, by: int) -> str:
    try:
        return date.fromordinal(day.toordinal() + by).isoformat()
    except ValueError:
        return ""


def _forecast(answer: ServedDay) -> dict[str, Any]:
    made = answer.forecast
    if made is None:
        return {"forecast": None, "rows": [], "more": 0}
    rows = selectors_served.rows_of(made, limit=ROWS)
    sold = sold_by_day(Level.TOTAL, "", date.fromordinal(made.target_date.toordinal() - 1), made.target_date)
    return {
        "forecast": made,
        "how": _how(made),
        "total": {name: made.total_value(name) for name in ("yhat", "lo80", "hi80")},
        "sold": sold.get(made.target_date),
        "rows": rows,
        "more": max(made.forecast_set.series_count - len(rows), 0),
        "download": _download(made),
    }


def _how(made: DayForecast) -> str:
    if made.served:
        return "These forecasts were in service on that day."
    if made.known_then:
        return "They had been published for that day, but what served on it no longer spoke of it."
    return "They were published after that day had passed: nobody could go by them on the day itself."


def _download(made: DayForecast) -> str:
    asked = {
        "version": made.forecast_set.version.number,
        "origin": made.forecast_set.origin_date,
        "from": made.target_date,
        "to": made.target_date,
        "format": "csv",
    }
    return f"{reverse('api-forecasts')}?{urlencode(asked)}"
