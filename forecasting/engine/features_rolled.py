"""Sales as the recursive model sees them: lags and statistics of the days before a day, also of days already forecast.

They are what mlforecast's transforms of the same names give (a test holds them to it), but taken out of matrices at the
rows that are asked for: a fit asks for the rows that it learns from, a forecast for one column after the other. All of
it is column by column, so that a series alone has the same bits as among others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

LAGS = {"D": (1, 2, 3, 7, 14, 21, 28), "W": (1, 2, 3, 4, 8, 13)}
WINDOWS = {"D": (7, 28, 91, 182), "W": (4, 8, 13, 26)}
TRENDS = {"D": ((7, 28), (28, 91)), "W": ((4, 13), (13, 26))}
SPREAD = {"D": 28, "W": 13}
SEASONAL_WINDOWS = (4, 8)


def mean_name(window: int) -> str:
    """Of the mean of the `window` steps before a day."""
    return f"rolling_mean_lag1_window_size{window}_min_samples1"


def sales_names(state: Mapping[str, Any]) -> list[str]:
    """The statistics that a history of `longest` steps can fill, in units."""
    grain, season, longest = state["grain"], state["season"], state["longest"]
    names = [f"lag{lag}" for lag in LAGS[grain] if lag < longest] or ["lag1"]
    names += [mean_name(window) for window in WINDOWS[grain]]
    names.append(f"rolling_std_lag1_window_size{SPREAD[grain]}_min_samples2")
    if season > 1 and season * 2 < longest:
        seasonal = f"seasonal_rolling_mean_lag{season}_season_length{season}"
        names += [f"{seasonal}_window_size{window}_min_samples1" for window in SEASONAL_WINDOWS]
    return names


@dataclass(frozen=True)
class Sales:
    """Demand without gaps, series × columns (0 before a series began), with room for the steps to come.

    sums: of all columns before each, so one column more. first: column of each series' first step.
    """

    demand: np.ndarray
    sums: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, demand: np.ndarray, first: np.ndarray, horizon: int) -> Sales:
        """A history and `horizon` columns to be filled in order by `put`."""
        count, width = demand.shape
        room, sums = np.zeros((count, width + horizon)), np.zeros((count, width + horizon + 1))
        room[:, :width] = demand
        np.cumsum(demand, axis=1, out=sums[:, 1 : width + 1])
        return cls(room, sums, first)

    def put(self, column: int, values: np.ndarray) -> None:
        """What was forecast of a column; those before it are there."""
        self.demand[:, column] = values
        self.sums[:, column + 1] = self.sums[:, column] + values

    def back(self, row: np.ndarray, col: np.ndarray, steps: int) -> np.ndarray:
        """Demand `steps` before each row's column; NaN where the series had not begun."""
        there = col - steps
        return np.where(there >= self.first[row], self.demand[row, np.maximum(there, 0)], np.nan)

    def at(self, row: np.ndarray, col: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        """The statistics of these names for rows (series, column), in units; of columns before the row's own."""
        age = col - self.first[row]
        told = self.sums[row, col]
        means: dict[int, np.ndarray] = {}
        out = {}
        for name in names:
            numbers = [int(part) for part in "".join(c if c.isdigit() else " " for c in name).split()]
            if name.startswith("lag"):
                out[name] = self.back(row, col, numbers[0])
            elif name.startswith("rolling_mean"):
                means[numbers[1]] = out[name] = self._mean(row, col, age, told, numbers[1])
            elif name.startswith("rolling_std"):
                out[name] = self._spread(row, col, age, means[numbers[1]], numbers[1])
            else:
                out[name] = self._seasonal(row, col, numbers[1], numbers[2])
        return out

    def _mean(self, row: np.ndarray, col: np.ndarray, age: np.ndarray, told: np.ndarray, window: int) -> np.ndarray:
        known = np.minimum(age, window)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((told - self.sums[row, col - np.maximum(known, 0)]) / np.where(known > 0, known, np.nan))

    def _spread(self, row: np.ndarray, col: np.ndarray, age: np.ndarray, mean: np.ndarray, window: int) -> np.ndarray:
        """Standard deviation (ddof 1); NaN below two steps."""
        total = np.zeros(len(row))
        for steps in range(1, min(window, int(age.max(initial=0))) + 1):
            apart = self.demand[row, np.maximum(col - steps, 0)] - mean
            total += np.where(age >= steps, apart * apart, 0.0)
        known = np.minimum(age, window)
        return np.sqrt(total / np.where(known > 1, known - 1, np.nan))

    def _seasonal(self, row: np.ndarray, col: np.ndarray, season: int, window: int) -> np.ndarray:
        total, known = np.zeros(len(row)), np.zeros(len(row))
        for steps in range(season, season * window + 1, season):
            there = col - steps >= self.first[row]
            total += np.where(there, self.demand[row, np.maximum(col - steps, 0)], 0.0)
            known += there
        return np.asarray(total / np.where(known > 0, known, np.nan))
