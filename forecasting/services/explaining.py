"""Explain a stored forecast: the verified model is asked again, and reasons are given only for the stored answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from forecasting.engine.explain import Explanation, explain
from forecasting.models import ForecastPath
from forecasting.selectors import ForecastPoint, path_points
from forecasting.services.artifacts import load_fit
from forecasting.services.engine_errors import engine_errors
from forecasting.services.loading import load_panel, load_series
from forecasting.services.windows import plan_window
from ledger.errors import DomainError

_SAME = 1e-9  # relative; another machine's mathematical library may differ in the last bits


@dataclass(frozen=True)
class ForecastReasons:
    """A step of a stored path and why it is what it is; `why_not` says why that cannot be told."""

    path: ForecastPath
    point: ForecastPoint
    explanation: Explanation | None
    why_not: str = ""


def point_of(path: ForecastPath, day: date | None) -> ForecastPoint | None:
    """The step of a path that speaks of a day (default its first); None where the path has no such day."""
    points = path_points(path)
    if day is None:
        return points[0] if points else None
    return next((point for point in points if point.day == day), None)


def explain_point(path: ForecastPath, point: ForecastPoint) -> ForecastReasons:
    """Take one step of a stored path apart. Nothing is refitted or written; one series is read, up to the origin (all
    of them, where the levels above change the forecasts of the series).

    The serving fit's files are verified first, then the whole path is made again from the same days. Where it is not
    the stored path (the data or the plan were corrected since, or a file is damaged), that is said instead.
    path: with its forecast_set, version and spec.
    """
    made = path.forecast_set
    try:
        window = plan_window(as_of=made.origin_date, mode="serving")
        fitted = load_fit(made.version, "serving")
        with engine_errors():
            ahead, key = len(path.yhat), path.series_id
            panel = load_panel(window, ahead=ahead) if fitted.reconciles else load_series(window, key, ahead=ahead)
            found = explain(fitted, panel, path.series_id, point.horizon, len(path.yhat))
    except DomainError as error:
        return ForecastReasons(path, point, None, str(error))
    if not np.allclose(found.path, path.yhat, rtol=_SAME, atol=_SAME):
        return ForecastReasons(
            path,
            point,
            None,
            f"The data or the plan have changed since this forecast was made: made again it would be {found.yhat:,.1f} "
            f"instead of {point.yhat:,.1f}. Its reasons can no longer be told; the next forecast’s can.",
        )
    return ForecastReasons(path, point, found)
