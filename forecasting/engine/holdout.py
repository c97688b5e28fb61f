"""The sealed holdout: forecast from weekly origins, segment by segment, with all that judges the forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from forecasting.engine.backtest import actuals, segment_scales, stacked, weighed
from forecasting.engine.business import unit_values
from forecasting.engine.errors import NoUsableSeries
from forecasting.engine.families import get_family
from forecasting.engine.fitted import FittedModel
from forecasting.engine.panel import STEP_DAYS, Panel
from forecasting.engine.segments import Segment
from forecasting.engine.source import PanelSource
from forecasting.engine.types import ModelSpec, TrainingWindow

STRIDE = 7
_FACTS = ("values", "static")


@dataclass(frozen=True)
class Holdout:
    """One side's forecasts of the holdout beside its actuals, and what they are judged with.

    frame: as `FittedModel.forecast` (family and flags may be left out) with origin, y, censored, closed and naive (the
    seasonal-naive forecast). scales: as `Backtest.scales`, of the days before the first origin; values:
    `business.unit_values` of the same days. static: as `Panel.static`.
    """

    frame: pd.DataFrame
    scales: pd.DataFrame
    values: pd.DataFrame
    static: pd.DataFrame

    @classmethod
    def of(cls, panel_full: Panel, spec: ModelSpec, frame: pd.DataFrame) -> Holdout:
        """From a frame of `holdout_forecasts` and the panel that it was made from."""
        return joined([_part(panel_full, spec, frame, frame["origin"].min())])


@dataclass(frozen=True)
class HoldoutTask:
    """Forecast one segment's holdout. fitted: the model narrowed to the segment; horizon in steps.

    source: history through `window.holdout_end`.
    """

    source: PanelSource
    segment: Segment
    fitted: FittedModel
    window: TrainingWindow
    horizon: int

    def run(self) -> Holdout:
        """The part of this segment: its scales carry units and revenue, which become weights with the others'."""
        panel = self.source.panel(self.segment)
        frame = holdout_forecasts(panel, self.fitted, self.window, horizon=self.horizon)
        frame = frame.drop(columns=["family", "flags"], errors="ignore")  # who made it is not judged
        return _part(panel, self.fitted.spec, frame, pd.Timestamp(holdout_origins(self.window)[0]))


def holdout_tasks(
    source: PanelSource, fitted: FittedModel, window: TrainingWindow, horizon: int | None = None
) -> list[HoldoutTask]:
    """One task for each segment of the fit; `joined` makes the holdout of what they give."""
    segments = fitted.cut([i for one in source.segments for i in one.ids])
    source = source.over(segments)
    steps = horizon or fitted.spec.horizon
    return [HoldoutTask(source.narrow(one), one, fitted.narrow(one), window, steps) for one in segments]


def joined(parts: list[Holdout]) -> Holdout:
    """The holdout of all segments: rows by origin and series. The list is emptied and its frames are taken apart, so
    that no row is there twice. Raises NoUsableSeries where not one row was forecast."""
    frames = [part.frame for part in parts if len(part.frame)]
    if not frames:
        raise NoUsableSeries("no series of the holdout could be forecast")
    scales = weighed([part.scales for part in parts])
    values, static = (pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in _FACTS)
    parts.clear()
    frame = stacked(frames) if len(frames) > 1 else frames[0]
    order = np.lexsort([frame[name].to_numpy() for name in ("h", "unique_id", "origin")])
    if (np.diff(order) != 1).any():
        frame = pd.DataFrame({name: frame.pop(name).to_numpy()[order] for name in list(frame.columns)}, copy=False)
    return Holdout(frame=frame, scales=scales, values=values, static=static)


def _part(panel_full: Panel, spec: ModelSpec, frame: pd.DataFrame, first: pd.Timestamp) -> Holdout:
    train = panel_full.upto(first)
    scales = segment_scales(train, first.date(), spec.season_length)
    frame = frame.assign(naive=naive_forecasts(panel_full, frame))
    return Holdout(frame, scales, unit_values(train), panel_full.static)


def holdout_origins(window: TrainingWindow, every: int = STRIDE) -> list[date]:
    """Origins inside a sealed window: the day before it starts, then every `every` days. Raises ValueError unsealed."""
    if window.holdout_start is None or window.holdout_end is None:
        raise ValueError("the window has no sealed holdout")
    first = window.holdout_start - timedelta(days=1)
    return [first + timedelta(days=d) for d in range(0, window.holdout_days, every)]


def holdout_forecasts(
    panel_full: Panel, fitted: FittedModel, window: TrainingWindow, *, every: int = STRIDE, horizon: int | None = None
) -> pd.DataFrame:
    """Forecasts of the sealed holdout beside its actuals, from weekly origins; nothing is refitted.

    panel_full: history through `window.holdout_end`. Each origin sees the days revealed by then; the horizon (default
    the spec's, in steps) is capped at the holdout's end. Columns as `FittedModel.forecast` plus origin, y, censored.
    """
    parts = []
    step = STEP_DAYS[panel_full.grain]
    origins = holdout_origins(window, every)
    for origin in origins:
        left = (window.holdout_days - (origin - origins[0]).days) // step
        steps = min(horizon or fitted.spec.horizon, left)
        known = panel_full.upto(origin)
        if steps < 1 or not len(known.history):
            continue
        made = fitted.forecast(known, steps)
        made.insert(1, "origin", pd.Timestamp(origin))
        truth = actuals(panel_full, origin, steps)
        parts.append(made.merge(truth, on=["unique_id", "ds"], how="inner", sort=False))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["unique_id", "origin", "ds", "h"])


def naive_forecasts(panel_full: Panel, holdout: pd.DataFrame) -> pd.Series:
    """Seasonal-naive forecasts of the same rows as a holdout frame (aligned with it), from the same origins."""
    out = pd.Series(np.nan, index=holdout.index)
    spec = ModelSpec(("seasonal_naive",), season_length=panel_full.season_length, grain=panel_full.grain)
    for origin in holdout["origin"].drop_duplicates():
        rows = holdout.loc[holdout["origin"] == origin]
        known = panel_full.upto(origin)
        made = get_family("seasonal_naive").fit(known, spec).predict(known, int(rows["h"].max()))
        keyed = made.set_index(["unique_id", "ds"])["yhat"]
        out.loc[rows.index] = keyed.reindex(pd.MultiIndex.from_frame(rows[["unique_id", "ds"]])).to_numpy()
    return out
