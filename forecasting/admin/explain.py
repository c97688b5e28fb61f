"""Why a forecast is what it is, as the page shows it: bars with words and figures, the same in light and dark."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from forecasting import selectors
from forecasting.engine.explain import Group, Member
from forecasting.models import ForecastPath, Series
from forecasting.services.explaining import explain_point, point_of
from ledger.templatetags.forecourt import day as day_text
from ledger.templatetags.forecourt import pct, words

_HALF = 50.0  # percent of the bar's width on each side of its middle
_SILENT = 0.0005
_MEANS = "It repeats or averages past days of the same kind, so there is nothing more to take apart."
_PLAIN = "what the model would say if it knew nothing more of the day"
_STARTS = {
    "prophet": "the trend",
    "intermittent": "the rate at which the series has sold lately, steps without a sale counted in",
}


def serving_path(series: Series) -> ForecastPath | None:
    """The path of a series in the forecasts that serve now, with set, version and spec."""
    serving = selectors.serving_set()
    if serving is None:
        return None
    path = ForecastPath.objects.select_related("series").filter(series=series, forecast_set=serving).first()
    if path is not None:
        path.forecast_set = serving
    return path


def read_day(text: str | None) -> date | None:
    """The day of an address; None where it names none. Raises ValueError."""
    return date.fromisoformat(text) if text else None


def reasons_context(path: ForecastPath, wanted: date | None) -> dict[str, Any] | None:
    """What the page shows of one step of a path; None where the path has no such day."""
    point = point_of(path, wanted)
    if point is None:
        return None
    days = [one.day for one in selectors.path_points(path)]
    at = days.index(point.day)
    reasons = explain_point(path, point)
    found = reasons.explanation
    members = [] if found is None else [_member(one, len(found.members)) for one in found.members]
    return {
        "path": path,
        "set": path.forecast_set,
        "point": point,
        "days": [(one, day_text(one)) for one in days],
        "before": days[at - 1] if at else None,
        "after": days[at + 1] if at + 1 < len(days) else None,
        "why_not": reasons.why_not,
        "note": found.note if found is not None else "",
        "members": members,
        "declined": [] if found is None else [(words(family), reason) for family, reason in found.declined],
    }


def _member(member: Member, members: int) -> dict[str, Any]:
    effects = [group.effect for group in member.groups]
    effects += [one.effect for group in member.groups for one in group.contributions]
    strongest = max(map(abs, effects), default=0.0)
    rows = [_row(group, member, strongest) for group in member.groups]
    return {
        "title": words(member.family),
        "weight": pct(member.weight, 0) if members > 1 else "",
        "yhat": member.yhat,
        "note": member.note,
        "lead": _lead(member),
        "rows": [row for row in rows if not row["silent"]],
        "silent": ", ".join(row["label"].lower() for row in rows if row["silent"]),
    }


def _lead(member: Member) -> str:
    if member.base is None:
        return "" if member.note else _MEANS
    start = f"{member.base:,.1f} units"
    if member.scale == "factor":
        return (
            f"It starts from {start}, what the model would say of this series if it knew nothing more of the day. "
            "Each reason raises or lowers that by a share."
        )
    begin = f"It starts from {_STARTS.get(member.family, _PLAIN)}, {start}."
    return f"{begin} Each reason adds units to it or takes some away." if member.groups else begin


def _row(group: Group, member: Member, strongest: float) -> dict[str, Any]:
    return {
        **_effect(group.label, group.effect, member, strongest),
        "features": [
            {**_effect(one.label, one.effect, member, strongest), "value": one.value} for one in group.contributions
        ],
        "silent": abs(group.effect) < _SILENT,
    }


def _effect(label: str, effect: float, member: Member, strongest: float) -> dict[str, Any]:
    width = _HALF * abs(effect) / strongest if strongest > 0 else 0.0
    if member.scale == "factor":
        change = math.expm1(effect)
        text = f"{change * 100:+,.1f}%" if abs(change) < 0.1 else f"{change * 100:+,.0f}%"
    else:
        text = f"{effect:+,.2f} units" if abs(effect) < 1 else f"{effect:+,.1f} units"
    return {"label": label, "text": text.replace("-", "−"), "up": effect > 0, "width": f"{width:.2f}"}
