"""The panel as matrices, series by steps, and the statistics of the past that hold at the end of each step.

Everything here is "as of" its column: a value at column o is made of columns up to o and of nothing after. A row's
numbers do not depend on other rows, or on how many empty columns stand before its first: a series alone gives the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel

LEVEL_STEPS = {"D": (28, 182), "W": (8, 26)}
LEAN_STEPS = 7
"""The recent mean leans on the half year's with the weight of so many steps."""
SALE_STEPS = {"D": 91, "W": 26}
MOST_TIMES, SURE_SALES = 20.0, 7
LEAST_LEVEL = 1e-6


@dataclass(frozen=True)
class Grid:
    """Where each row of a panel stands in a matrix of series × steps; the last column is the panel's last step.

    ids: one a row, in order; row, col: of each history row; first: column of each series' first step.
    """

    ids: np.ndarray
    row: np.ndarray
    col: np.ndarray
    first: np.ndarray
    width: int
    last: pd.Timestamp
    step: pd.Timedelta

    @classmethod
    def of(cls, panel: Panel) -> Grid:
        """The grid of a panel: every series runs without gaps to the panel's last step."""
        ids, days = (panel.history["unique_id"].to_numpy(), panel.history["ds"].to_numpy())
        new = np.r_[True, ids[1:] != ids[:-1]] if len(ids) else np.zeros(0, dtype=bool)
        last, step = panel.history["ds"].max(), panel.step
        back = (last.to_datetime64() - days) // step.to_timedelta64()
        width = int(back.max()) + 1
        col = (width - 1 - back).astype("int32")
        row = (np.cumsum(new) - 1).astype("int32")
        return cls(ids[new], row, col, col[new], width, last, step)

    def matrix(self, values: pd.Series | np.ndarray, fill: float = np.nan) -> np.ndarray:
        """One value a history row as float64 series × steps; `fill` before a series began."""
        out = np.full((len(self.ids), self.width), fill)
        out[self.row, self.col] = np.asarray(values, dtype="float64")
        return out

    def numbers(self, col: np.ndarray) -> np.ndarray:
        """The number of each column's day, in steps since 1970: the same whatever the panel's last day."""
        whole = (self.last - pd.Timestamp(0)) // self.step
        return np.asarray(whole - (self.width - 1) + col, dtype="int64")

    def days(self, ahead: int = 0) -> pd.DatetimeIndex:
        """The day of each column, and of `ahead` columns more."""
        steps = np.arange(1 - self.width, ahead + 1)
        return pd.DatetimeIndex(self.last + steps * self.step)


class Trailing:
    """Sums of the last so many columns, NaN left out; made once, asked for many windows."""

    def __init__(self, values: np.ndarray) -> None:
        known = np.isfinite(values)
        self._sum = np.cumsum(np.where(known, values, 0.0), axis=1)
        self._count = np.cumsum(known, axis=1, dtype="float64")

    def sum(self, window: int) -> np.ndarray:
        """Sum of the known values in the window that ends at each column."""
        return _window(self._sum, window)

    def count(self, window: int) -> np.ndarray:
        """How many are known there."""
        return _window(self._count, window)

    def mean(self, window: int, least: int = 1) -> np.ndarray:
        """Their mean; NaN where fewer than `least` are known."""
        return _ratio(self.sum(window), self.count(window), least)


def trailing_std(values: np.ndarray, window: int) -> np.ndarray:
    """Standard deviation (ddof 0) of the known values in the window that ends at each column; NaN below two."""
    once, twice = Trailing(values), Trailing(values * values)
    spread = twice.mean(window, 2) - once.mean(window, 2) ** 2
    return np.asarray(np.sqrt(np.maximum(spread, 0.0)))


def seasonal_mean(values: np.ndarray, season: int, window: int) -> np.ndarray:
    """Mean of the known values at each column and the `window` - 1 whole seasons before it; NaN where none is known."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0), known.astype("float64")
    sums, counts = total.copy(), count.copy()
    for back in range(season, season * window, season):
        if back >= values.shape[1]:
            break
        sums[:, back:] += total[:, :-back]
        counts[:, back:] += count[:, :-back]
    return _ratio(sums, counts, 1)


def steps_since(event: np.ndarray, most: int) -> np.ndarray:
    """Steps since the last column where `event` holds, that column itself being 0; at most `most`, also where none."""
    column = np.arange(event.shape[1], dtype="int32")
    seen = np.maximum.accumulate(np.where(event, column, -most - 1), axis=1)
    return np.asarray(np.minimum(column - seen, most), dtype="float64")


def last_known(values: np.ndarray) -> np.ndarray:
    """The last known value at or before each column; NaN where none is."""
    column = np.arange(values.shape[1], dtype="int64")
    seen = np.maximum.accumulate(np.where(np.isfinite(values), column, 0), axis=1)
    return np.asarray(np.take_along_axis(values, seen, axis=1))


def tempered(demand: np.ndarray, grain: str) -> np.ndarray:
    """Demand with absurd steps cut at 20 times what a sale was in the months before them (geometric mean).

    The bound of a step comes from the steps before it. So one absurd day does not flatten its series.
    """
    sold = np.log(np.where(demand > 0, demand, np.nan))
    past = Trailing(sold)
    usual = past.mean(SALE_STEPS[grain], SURE_SALES)
    bound = np.full_like(demand, np.inf)
    bound[:, 1:] = MOST_TIMES * np.exp(usual[:, :-1])
    return np.where(demand > bound, bound, demand)


def levels(demand: np.ndarray, grain: str) -> np.ndarray:
    """Level of each series at the end of each step: its recent mean, leaning a little on that of the last half year.

    Recent, so that a shifted level is followed at once; leaning, so that a sparse series is not scaled by nothing.
    0 where it has not sold for half a year, NaN where nothing is known yet.
    """
    recent, long = LEVEL_STEPS[grain]
    past = Trailing(demand)
    slow = past.mean(long)
    level = (past.sum(recent) + LEAN_STEPS * slow) / (past.count(recent) + LEAN_STEPS)
    unsold = np.isfinite(slow) & (steps_since(demand > 0, long) >= long)
    return np.asarray(np.where(unsold, 0.0, np.maximum(level, LEAST_LEVEL)))


def _window(total: np.ndarray, window: int) -> np.ndarray:
    out = total.copy()
    if window < total.shape[1]:
        out[:, window:] -= total[:, :-window]
    return out


def _ratio(sums: np.ndarray, counts: np.ndarray, least: int) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counts >= least, sums / counts, np.nan))
