"""What a history makes absurd: the limit that no forecast passes, and the flags of forecasts that a person should see.

The limit must not follow a mistake. A million typed into one day would make ten million plausible, so it is reckoned
from the third largest day: two wrong days do not move it, and three days of that size are no mistake any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel
from forecasting.engine.panel_grid import first_rows

ABSURD = 10.0
"""A forecast or a bound beyond this many times the third largest day is cut."""
CONFIRMED = 3
ABOVE, BELOW = 1.25, 0.1
GROWTH_STEPS, MOST_GROWTH = {"D": 28, "W": 8}, 4.0
LOWEST_STEPS = {"D": 182, "W": 26}


@dataclass(frozen=True)
class Plausible:
    """Per series (index unique_id): what its history makes plausible.

    limit: the most that is forecast (inf where it never sold). top: the largest day that is no lone peak. growth: mean
    of the last four weeks (8 at weekly grain) by that of those before, between 1 and 4. lowest: the least mean of as
    many steps in a row as are forecast, in the last half year; NaN where less is known.
    """

    limit: pd.Series
    top: pd.Series
    growth: pd.Series
    lowest: pd.Series
    span: int


def limits(panel: Panel) -> pd.Series:
    """The most that may be forecast of each series: ten times its third largest day (its largest, where it sold on
    fewer than three days); inf where it never sold. Index unique_id."""
    return _limits(panel)[0]


def plausible(panel: Panel, horizon: int) -> Plausible:
    """What the history of each series makes plausible for the next `horizon` steps."""
    limit, largest, confirmed = _limits(panel)
    sizes = np.diff(np.append(_starts(panel), len(panel.history)))
    rows = panel.history[["unique_id", "ds", "y"]]
    rows = rows.assign(y=np.minimum(rows["y"].to_numpy(), np.repeat(limit.to_numpy(), sizes)))
    return Plausible(
        limit=limit,
        top=largest.where(largest <= limit, confirmed),
        growth=_growth(rows, panel),
        lowest=_lowest(rows, panel, horizon),
        span=GROWTH_STEPS[panel.grain],
    )


def cut(made: pd.DataFrame, limit: pd.Series) -> pd.DataFrame:
    """A family's forecasts (unique_id, yhat) within [0, limit]; what is not finite is taken as declined (NaN)."""
    top = limit.reindex(made["unique_id"]).fillna(np.inf).to_numpy()
    return made.assign(yhat=bounded(made["yhat"].to_numpy(dtype="float64"), top))


def bounded(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """`values` within [0, top], NaN where they are not finite."""
    return np.asarray(np.where(np.isfinite(values), np.clip(values, 0.0, top), np.nan))


def remarkable(frame: pd.DataFrame, known: Plausible) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of `frame` (unique_id, h, yhat) lie above, and which on a path that lies below, all that was seen.

    above: more than a quarter beyond the largest day, after the series' recent growth is granted for h steps more.
    below: the path's mean is less than a tenth of the least that the series sold in as many steps in a row.
    """
    ids = frame["unique_id"].to_numpy()
    yhat, h = frame["yhat"].to_numpy(dtype="float64"), frame["h"].to_numpy(dtype="float64")
    top, growth = known.top.reindex(ids).to_numpy(), known.growth.reindex(ids).to_numpy()
    above = yhat > ABOVE * top * growth ** (h / known.span)
    mean = frame.groupby("unique_id")["yhat"].transform("mean").to_numpy()
    below = mean < BELOW * known.lowest.reindex(ids).to_numpy()
    return above & (top > 0), below


def made_by_cut(family: pd.Series, over: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows to which a family contributed that had to be cut; `family` names the contributors ("lightgbm+prophet")."""
    out = np.zeros(len(family), dtype=bool)
    for text in family.dropna().unique():
        for name in str(text).split("+"):
            if name in over:
                out |= over[name] & (family == text).to_numpy()
    return out


def flagged(frame: pd.DataFrame, capped: np.ndarray, known: Plausible) -> pd.DataFrame:
    """`frame` with the flags capped, above_history and below_history where they hold."""
    above, below = remarkable(frame, known)
    for name, rows in (("capped", capped), ("above_history", above), ("below_history", below)):
        frame = _with_flag(frame, name, rows)
    return frame


def within(frame: pd.DataFrame, limit: np.ndarray) -> pd.DataFrame:
    """`frame` with no bound beyond the limit (or the forecast itself); flag bounds_capped where one was cut."""
    cut_rows = np.zeros(len(frame), dtype=bool)
    most = np.maximum(limit, frame["yhat"].to_numpy(dtype="float64"))
    for name in [c for c in frame.columns if c.startswith("hi")]:
        values = frame[name].to_numpy(dtype="float64")
        cut_rows |= values > most
        frame[name] = np.minimum(values, most)
    return _with_flag(frame, "bounds_capped", cut_rows)


def _with_flag(frame: pd.DataFrame, name: str, rows: np.ndarray) -> pd.DataFrame:
    if rows.any():
        old = frame.loc[rows, "flags"]
        frame.loc[rows, "flags"] = np.where(old == "", name, old + "," + name)
    return frame


def _starts(panel: Panel) -> np.ndarray:
    """Position of the first row of each series (rows are sorted by series and day)."""
    return first_rows(panel.history["unique_id"].to_numpy())


def _peaks(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the third largest day of each series; 0 where it sold on fewer days."""
    starts = _starts(panel)
    values = np.nan_to_num(panel.history["y"].to_numpy(dtype="float64", copy=True), nan=0.0)
    sizes = np.diff(np.append(starts, len(values)))
    largest = top = np.maximum.reduceat(values, starts)
    for _ in range(CONFIRMED - 1):
        at_top = np.flatnonzero(values == np.repeat(top, sizes))
        series = np.searchsorted(starts, at_top, side="right") - 1
        values[at_top[np.concatenate(([True], series[1:] != series[:-1]))]] = 0.0  # one day of that size, not all
        top = np.maximum.reduceat(values, starts)
    return largest, top


def _limits(panel: Panel) -> tuple[pd.Series, pd.Series, pd.Series]:
    """limit, the largest day, and the third largest (the largest, where fewer days sold)."""
    ids = pd.Index(panel.ids, name="unique_id")
    largest, third = (pd.Series(values, index=ids) for values in _peaks(panel))
    confirmed = third.where(third > 0, largest)
    return (ABSURD * confirmed).where(confirmed > 0, np.inf), largest, confirmed


def _growth(rows: pd.DataFrame, panel: Panel) -> pd.Series:
    """Mean of the last steps by the mean of as many before them, between 1 and `MOST_GROWTH`; 1 where unknown."""
    span, last = GROWTH_STEPS[panel.grain] * panel.step, rows["ds"].max()
    rows = rows.loc[rows["ds"] > last - 2 * span]
    late = (rows["ds"] > last - span).to_numpy()
    before, after = (
        rows["y"].where(part).groupby(rows["unique_id"]).mean().reindex(panel.ids) for part in (~late, late)
    )
    return (after / before.where(before > 0)).clip(1.0, MOST_GROWTH).fillna(1.0).rename_axis("unique_id")


def _lowest(rows: pd.DataFrame, panel: Panel, horizon: int) -> pd.Series:
    """Least mean of `horizon` steps in a row in the last half year, of observed steps; NaN where there are too few."""
    reach = max(LOWEST_STEPS[panel.grain], 2 * horizon)
    back = ((rows["ds"].max() - rows["ds"]) // panel.step).to_numpy()
    recent = back < reach
    # Series by steps, each summed on its own: what one series sold is no rounding error of another's.
    grid = np.full((len(panel.ids), reach), np.nan)
    sizes = np.diff(np.append(_starts(panel), len(back)))
    grid[np.repeat(np.arange(len(sizes)), sizes)[recent], reach - 1 - back[recent]] = rows["y"].to_numpy()[recent]
    known, started = np.isfinite(grid), np.maximum.accumulate(np.isfinite(grid), axis=1)
    total, n = (_in_a_row(np.where(known, grid, 0.0), horizon), _in_a_row(known.astype("float64"), horizon))
    whole = started[:, : reach - horizon + 1] & (2 * n >= horizon)
    mean = np.where(whole, np.maximum(total, 0.0) / np.where(n > 0, n, 1.0), np.inf).min(axis=1)
    return pd.Series(np.where(np.isinf(mean), np.nan, mean), index=pd.Index(panel.ids, name="unique_id"))


def _in_a_row(values: np.ndarray, steps: int) -> np.ndarray:
    """Sums of `steps` columns in a row."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray(sums[:, steps:] - sums[:, :-steps])
