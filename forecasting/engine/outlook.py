"""Forecasts of a tenant, and what came of earlier ones, segment by segment."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from forecasting.engine.backtest import actuals, segment_scales, weighed
from forecasting.engine.business import unit_values
from forecasting.engine.fitted import FittedModel, sorted_forecast
from forecasting.engine.holdout import naive_forecasts
from forecasting.engine.panel import classify
from forecasting.engine.segments import Segment
from forecasting.engine.source import PanelSource
from forecasting.engine.tasks import Task, run_tasks

# --- forecasts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ForecastTask:
    """Forecast one segment. fitted: the model narrowed to it; horizon in steps."""

    source: PanelSource
    segment: Segment
    fitted: FittedModel
    horizon: int

    def run(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The forecasts (`FittedModel.forecast`), and the attributes of the series."""
        panel = self.source.panel(self.segment)
        return self.fitted.forecast(panel, self.horizon), panel.static


def forecast_all(
    source: PanelSource, fitted: FittedModel, horizon: int, executor: Executor | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The forecasts of all series, `horizon` steps after the source's last day, and their attributes.

    A series that came after the fit belongs to the segment that its id names. Raises MissingRegressor, NoUsableSeries.
    """
    segments = fitted.cut([i for one in source.segments for i in one.ids])
    source = source.over(segments)
    parts = zip(segments, _sources(source, segments), strict=True)
    made = _run([ForecastTask(part, one, fitted.narrow(one), horizon) for one, part in parts], executor)
    statics = pd.concat([static for _, static in made], ignore_index=True)
    return sorted_forecast([frame for frame, _ in made]), statics


# --- what came --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Came:
    """What came of the `steps` after an origin, and what an error is held against.

    rows: unique_id, origin, ds, h, y, censored, closed, naive (seasonal naive from the origin; NaN where the series had
    not begun). scales: as `Backtest.scales`. classes: unique_id -> demand class at the origin. static: `Panel.static`.
    values: `business.unit_values` of the days up to the origin, where they were asked for.
    """

    rows: pd.DataFrame
    scales: pd.DataFrame
    classes: pd.Series
    static: pd.DataFrame
    values: pd.DataFrame | None = None


@dataclass(frozen=True)
class CameTask:
    """What came in one segment after each of some origins: asked is (origin, steps)."""

    source: PanelSource
    segment: Segment
    asked: tuple[tuple[date, int], ...]
    values: bool = False

    def run(self) -> list[Came]:
        """One for each that was asked; scales still carry units and revenue instead of weights."""
        panel = self.source.panel(self.segment)
        out = []
        for origin, steps in self.asked:
            past, start = panel.upto(origin), pd.Timestamp(origin)
            rows = actuals(panel, origin, steps)
            rows.insert(1, "origin", start)
            rows["h"] = ((rows["ds"] - start) // panel.step).astype("int64")
            rows["naive"] = naive_forecasts(panel, rows) if len(past.history) else float("nan")
            scales = segment_scales(past, origin, panel.season_length)
            values = unit_values(past) if self.values else None
            out.append(Came(rows, scales, classify(past), panel.static, values))
        return out


def came(
    source: PanelSource,
    asked: Sequence[tuple[date, int]],
    executor: Executor | None = None,
    *,
    values: bool = False,
) -> list[Came]:
    """What came after each origin, of all series; with what a unit costs, where that is asked for."""
    parts = zip(source.segments, _sources(source, source.segments), strict=True)
    tasks = [CameTask(part, one, tuple(asked), values) for one, part in parts]
    made = _run(tasks, executor)
    return [
        Came(
            pd.concat([part.rows for part in parts], ignore_index=True),
            weighed([part.scales for part in parts]),
            pd.concat([part.classes for part in parts]),
            pd.concat([part.static for part in parts], ignore_index=True),
            pd.concat([part.values for part in parts], ignore_index=True) if values else None,
        )
        for parts in zip(*made, strict=True)
    ]


def _sources(source: PanelSource, segments: Sequence[Segment]) -> list[PanelSource]:
    """What each segment's task reads; one alone stays in this process (`_run`): nothing is made ready for others."""
    return [source.narrow(one) for one in segments] if len(segments) > 1 else [source for _ in segments]


def _run(tasks: Sequence[Task], executor: Executor | None) -> list[Any]:
    """One task alone is not worth a process."""
    return run_tasks(tasks, executor if len(tasks) > 1 else None)
