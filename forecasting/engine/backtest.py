"""Rolling-origin backtest: each origin trains only on what was known then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.engine.errors import HistoryTooShort
from forecasting.engine.families import get_family
from forecasting.engine.guard import cut, limits
from forecasting.engine.panel import STEP_DAYS, Panel, revenue_weights
from forecasting.engine.types import ModelSpec

Progress = Callable[[int, int, str], None]
MIN_TRAIN_SEASONS = 2


@dataclass(frozen=True)
class Backtest:
    """Forecasts of every family at every origin, beside what happened.

    frame: unique_id, origin, ds, h (1..H), y (NaN where unknown), censored (left out of scores), one column per
        family (NaN where it declined). scales: unique_id, origin, rmsse_scale (mean squared one-step difference),
        mase_scale (mean absolute seasonal difference), weight (revenue share), all from before the origin.
    declined: unique_id, origin, family, reason.
    """

    frame: pd.DataFrame
    scales: pd.DataFrame
    declined: pd.DataFrame
    families: tuple[str, ...]
    horizon: int
    origins: tuple[date, ...]


def rolling_origins(
    window_end: date, horizon: int, k: int = 4, step: int | None = None, gap: int = 0, grain: str = "D"
) -> list[date]:
    """The last `k` origins (oldest first) whose whole horizon ends by `window_end`; `step` defaults to the horizon.

    horizon, step and gap are in steps of the grain. An origin is the last day known; with a gap, training ends
    `gap` steps before it.
    """
    days = STEP_DAYS[grain]
    step = step or horizon
    last = pd.Timestamp(window_end) - pd.Timedelta(days=horizon * days)
    return [(last - pd.Timedelta(days=i * step * days)).date() for i in reversed(range(k))]


def steps_needed(horizon: int, k: int, season_length: int, step: int | None = None, gap: int = 0) -> int:
    """History (in steps) that a backtest of k origins needs: two seasons before the first origin, and the rest."""
    least = max(MIN_TRAIN_SEASONS * min(season_length, 7), 8)
    return least + gap + (k - 1) * (step or horizon) + horizon


def require_history(panel: Panel, spec: ModelSpec, k: int, step: int | None = None, gap: int = 0) -> None:
    """Raise HistoryTooShort, saying how many days are needed, when the panel cannot hold the backtest."""
    needed = steps_needed(spec.horizon, k, spec.season_length, step, gap)
    if panel.days < needed:
        raise HistoryTooShort(panel.days, needed, {"D": "days", "W": "weeks"}[panel.grain])


def actuals(panel: Panel, origin: date, horizon: int) -> pd.DataFrame:
    """unique_id, ds, y, censored, closed of the steps after the origin.

    A closed day counts as censored for the scores; its demand of 0 is known all the same.
    """
    start = pd.Timestamp(origin)
    history = panel.history
    rows = history.loc[(history["ds"] > start) & (history["ds"] <= start + horizon * panel.step)]
    out = rows[["unique_id", "ds", "y"]].copy()
    out["censored"] = (rows["censored"] | rows["closed"] | rows["y"].isna()).to_numpy()
    out["closed"] = rows["closed"].to_numpy()
    return out.reset_index(drop=True)


def training_scales(train: Panel, origin: date, season: int) -> pd.DataFrame:
    """Denominators of the scaled scores from the training side: see `Backtest.scales`. NaN where undefined."""
    ids, closed = train.history["unique_id"], train.history["closed"]
    out = pd.DataFrame({"unique_id": train.ids})
    traded = train.history.loc[~closed]
    one = (traded.groupby("unique_id", sort=False)["y"].diff(1) ** 2).groupby(traded["unique_id"]).mean()
    # A season back is counted on the calendar: without its closed days, a week would have six.
    seasonal = train.history["y"].where(~closed).groupby(ids, sort=False).diff(season).abs().groupby(ids).mean()
    out["rmsse_scale"] = one.reindex(out["unique_id"]).to_numpy()
    out["mase_scale"] = seasonal.reindex(out["unique_id"]).to_numpy()
    out["weight"] = revenue_weights(train).reindex(out["unique_id"]).to_numpy()
    return out.assign(origin=pd.Timestamp(origin))


def step_number(ds: pd.Series, origin: pd.Timestamp, panel: Panel) -> np.ndarray:
    """h = 1 for the first step after the origin."""
    return ((ds - origin) // panel.step).to_numpy().astype("int64")


def backtest(
    panel: Panel,
    spec: ModelSpec,
    origins: Sequence[date],
    *,
    gap: int = 0,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Fit every family of `spec` at every origin on rows with ds <= origin - gap and forecast `spec.horizon` steps.

    With a gap the models forecast across it; only the steps after the origin are kept. The result does not depend on
    the executor (used for the per-series families).
    """
    frames, scale_frames, declined = [], [], []
    total, done = len(origins) * len(spec.families), 0
    for origin in origins:
        start = pd.Timestamp(origin)
        train = panel.upto(start - gap * panel.step)
        rows = actuals(panel, origin, spec.horizon)
        rows = rows.loc[rows["unique_id"].isin(train.ids)].reset_index(drop=True)
        rows.insert(1, "origin", start)
        rows.insert(3, "h", step_number(rows["ds"], start, panel))
        limit = limits(train)  # a forecast in service is kept within it, too
        for name in spec.families:
            fitted = get_family(name).fit(train, spec, executor=executor)
            ahead = cut(fitted.predict(train, spec.horizon + gap), limit).rename(columns={"yhat": name})
            rows = rows.merge(ahead, on=["unique_id", "ds"], how="left", sort=False)
            declined.append(fitted.declined.assign(origin=start, family=name))
            done += 1
            if progress is not None:
                progress(done, total, f"{name} at origin {origin}")
        frames.append(rows)
        scale_frames.append(training_scales(train, origin, spec.season_length))
    columns = ["unique_id", "origin", "family", "reason"]
    return Backtest(
        frame=pd.concat(frames, ignore_index=True),
        scales=pd.concat(scale_frames, ignore_index=True),
        declined=pd.concat(declined, ignore_index=True)[columns],
        families=spec.families,
        horizon=spec.horizon,
        origins=tuple(origins),
    )
