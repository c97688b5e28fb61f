"""Rolling-origin backtest: each origin trains only on what was known then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.errors import HistoryTooShort, NoUsableSeries
from forecasting.engine.facts import Facts, recent_sales, weights_of
from forecasting.engine.families.base import no_declines
from forecasting.engine.guard import cut, limits
from forecasting.engine.memory import give_back
from forecasting.engine.panel import STEP_DAYS, Panel
from forecasting.engine.ranking import fit_family, shares_of_top
from forecasting.engine.segments import Segment
from forecasting.engine.source import PanelSource, as_source, steps_of
from forecasting.engine.tasks import Task, run_tasks
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


def require_history(data: Panel | PanelSource, spec: ModelSpec, k: int, step: int | None = None, gap: int = 0) -> None:
    """Raise HistoryTooShort, saying how many days are needed, when the history cannot hold the backtest."""
    source = as_source(data)
    needed, there = steps_needed(spec.horizon, k, spec.season_length, step, gap), steps_of(source)
    if there < needed:
        raise HistoryTooShort(there, needed, {"D": "days", "W": "weeks"}[source.grain])


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
    return weighed([segment_scales(train, origin, season)])


def segment_scales(train: Panel, origin: date, season: int) -> pd.DataFrame:
    """As `training_scales` for some of the series, with their units and revenue instead of their weight."""
    ids, closed = train.history["unique_id"], train.history["closed"]
    out = pd.DataFrame({"unique_id": train.ids})
    traded = train.history.loc[~closed]
    one = (traded.groupby("unique_id", sort=False)["y"].diff(1) ** 2).groupby(traded["unique_id"]).mean()
    # A season back is counted on the calendar: without its closed days, a week would have six.
    seasonal = train.history["y"].where(~closed).groupby(ids, sort=False).diff(season).abs().groupby(ids).mean()
    out["rmsse_scale"] = one.reindex(out["unique_id"]).to_numpy()
    out["mase_scale"] = seasonal.reindex(out["unique_id"]).to_numpy()
    return out.merge(recent_sales(train), on="unique_id", how="left", sort=False).assign(origin=pd.Timestamp(origin))


def weighed(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The scales of one origin from those of all its segments: each series' weight is its share of the whole."""
    rows = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    rows = rows.assign(weight=weights_of(rows))
    return rows[["unique_id", "rmsse_scale", "mase_scale", "weight", "origin"]]


def step_number(ds: pd.Series, origin: pd.Timestamp, panel: Panel) -> np.ndarray:
    """h = 1 for the first step after the origin."""
    return ((ds - origin) // panel.step).to_numpy().astype("int64")


def backtest(
    data: Panel | PanelSource,
    spec: ModelSpec,
    origins: Sequence[date],
    *,
    gap: int = 0,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Fit every family of `spec` at every origin on rows with ds <= origin - gap and forecast `spec.horizon` steps.

    With a gap the models forecast across it; only the steps after the origin are kept. Segment by segment and origin by
    origin on the executor's processes; the result does not depend on them.
    """
    return backtest_and_facts(data, spec, origins, gap=gap, executor=executor, progress=progress)[0]


def backtest_and_facts(
    data: Panel | PanelSource,
    spec: ModelSpec,
    origins: Sequence[date],
    *,
    gap: int = 0,
    executor: Executor | None = None,
    progress: Progress | None = None,
    beside: Sequence[Task] = (),
) -> tuple[Backtest, Facts, list[Any]]:
    """As `backtest`, with the facts of all series, and the results of other tasks that the processes do on the side."""
    source = as_source(data)
    tasks = origin_tasks(source, spec, origins, gap=gap, executor=executor)
    total = len(origins) * len(spec.families)

    def told(done: int, task: Any) -> None:
        if progress is not None and isinstance(task, OriginTask):
            share = min(done, len(tasks)) * total // len(tasks)
            progress(share, total, f"Backtest at origin {task.origin}")

    made = run_tasks([*tasks, *beside], executor, told)
    facts = Facts.joined([part.facts for part in made[: len(tasks)] if part.facts is not None])
    aside = made[len(tasks) :]
    del made[len(tasks) :]
    return _assembled(made, spec, origins, len(source.segments)), facts, aside


def origin_tasks(
    source: PanelSource, spec: ModelSpec, origins: Sequence[date], *, gap: int = 0, executor: Executor | None = None
) -> list[OriginTask]:
    """One task for each segment and origin, segment by segment, so that a process reads a segment once."""
    back = pd.Timedelta(days=gap * STEP_DAYS[source.grain])
    ends = [(pd.Timestamp(origin) - back).date() for origin in origins]
    shares = shares_of_top(source, spec, ends, executor)
    return [
        OriginTask(
            source.narrow(segment), segment, spec, origin, end, gap, shares.get((segment.number, end)), place == 0
        )
        for segment in source.segments
        for place, (origin, end) in enumerate(zip(origins, ends, strict=True))
    ]


@dataclass(frozen=True)
class OriginPart:
    """One segment at one origin, as in `Backtest`; the facts of its series come with the first origin."""

    frame: pd.DataFrame
    scales: pd.DataFrame
    declined: pd.DataFrame
    facts: Facts | None


@dataclass(frozen=True)
class OriginTask:
    """Fit all families on one segment up to `end` and forecast from the origin. share: see `ranking.fit_family`."""

    source: PanelSource
    segment: Segment
    spec: ModelSpec
    origin: date
    end: date
    gap: int
    share: int | None
    with_facts: bool

    def run(self) -> OriginPart:
        """The part; without rows where no series of the segment had begun by then."""
        panel, spec, start = self.source.panel(self.segment), self.spec, pd.Timestamp(self.origin)
        facts = Facts.of(panel, self.origin) if self.with_facts else None
        train = panel.upto(self.end)
        if not len(train.history):
            return OriginPart(pd.DataFrame(), pd.DataFrame(), no_declines(), facts)
        rows = actuals(panel, self.origin, spec.horizon)
        rows = rows.loc[rows["unique_id"].isin(train.ids)].reset_index(drop=True)
        rows.insert(1, "origin", start)
        rows.insert(3, "h", step_number(rows["ds"], start, panel))
        declined = []
        limit = limits(train)  # a forecast in service is kept within it, too
        for name in spec.families:
            fitted = fit_family(name, train, spec, self.share)
            ahead = cut(fitted.predict(train, spec.horizon + self.gap), limit).rename(columns={"yhat": name})
            rows = rows.merge(ahead, on=["unique_id", "ds"], how="left", sort=False)
            declined.append(fitted.declined.assign(origin=start, family=name))
        scales = segment_scales(train, self.origin, spec.season_length)
        return OriginPart(rows, scales, pd.concat(declined), facts)


def _assembled(parts: list[OriginPart], spec: ModelSpec, origins: Sequence[date], segments: int) -> Backtest:
    """The backtest from its parts (segment by segment): ordered by origin, then by segment. The list is emptied."""
    k = len(origins)
    by_origin = [[parts[number * k + place] for number in range(segments)] for place in range(k)]
    begun = [[part for part in row if len(part.scales)] for row in by_origin]
    if not all(begun):
        raise NoUsableSeries("no series has begun by the first origin")
    scales = [weighed([part.scales for part in row]) for row in begun]
    declined = [part.declined for row in begun for part in row]
    frames = [part.frame for row in begun for part in row]
    parts.clear()
    del by_origin, begun
    return Backtest(
        frame=stacked(frames),
        scales=pd.concat(scales, ignore_index=True),
        declined=pd.concat(declined, ignore_index=True)[["unique_id", "origin", "family", "reason"]],
        families=spec.families,
        horizon=spec.horizon,
        origins=tuple(origins),
    )


def stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all frames in their order. The list is emptied: each frame is let go as soon as it is copied, so that
    the rows of a large tenant are never there twice. Raises ValueError where they do not have the same columns."""
    if any(list(frame.columns) != list(frames[0].columns) for frame in frames):
        raise ValueError("the frames do not have the same columns")
    names, total, start = list(frames[0].columns), sum(map(len, frames)), 0
    out = {name: np.empty(total, np.result_type(*(frame[name].to_numpy() for frame in frames))) for name in names}
    frames.reverse()
    while frames:
        frame = frames.pop()
        for name, column in out.items():
            column[start : start + len(frame)] = frame[name].to_numpy()
        start += len(frame)
    give_back()
    return pd.DataFrame(out, copy=False)
