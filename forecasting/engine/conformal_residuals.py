"""What a calibration is made of: each known residual by a scale of its own series, alone and as a running sum.

Reckoned some paths at a time (`engine.paths`), so that a large tenant's rows stand here once, as few figures each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.engine.paths import MOST_ROWS, path_begins, path_order, pieces

SHRINK = 7.0
_READ = ["unique_id", "origin", "h", "y", "censored", "yhat"]


@dataclass(frozen=True)
class Scales:
    """Per series (ids ascending): mean absolute residual, shrunk towards what series of its level have; mean forecast.

    curve (a, b): what a series of a level has, exp(a) level^b.
    """

    ids: np.ndarray
    sigma: np.ndarray
    level: np.ndarray
    curve: tuple[float, float]


@dataclass(frozen=True)
class Normalised:
    """One figure a row. alone: the residual by its scale; summed: the path's residuals up to the row, by sqrt(count)
    times their mean scale; whole: whether the path has every step up to the row."""

    alone: np.ndarray
    summed: np.ndarray
    whole: np.ndarray


@dataclass(frozen=True)
class Residuals:
    """The rows with both a forecast and an actual, path by path and step by step.

    Per path: ids (of its series), n (its rows), absolute and forecast (sums over them). Per row: residual, yhat, h.
    """

    ids: np.ndarray
    n: np.ndarray
    absolute: np.ndarray
    forecast: np.ndarray
    residual: np.ndarray
    yhat: np.ndarray
    h: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Residuals:
        """From rolling-origin rows: unique_id, origin, h, y, censored, yhat."""
        order = path_order(frame)
        frame = frame if order is None else frame[_READ].iloc[order]
        parts = [_read(frame.iloc[rows]) for rows in pieces(frame)] or [_read(frame)]
        return cls(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def scales(self) -> Scales:
        """The scale of each series, from all of its residuals."""
        ids, place = np.unique(self.ids, return_inverse=True)
        n = np.bincount(place, self.n)
        absolute, level = np.bincount(place, self.absolute) / n, np.bincount(place, self.forecast) / n
        usable = (absolute > 0) & (level > 0)
        curve = (float(np.log(max(absolute.mean(), 1e-6))), 0.0)
        if usable.sum() >= 5 and len(np.unique(level[usable])) > 1:
            x, y = np.log(np.maximum(level[usable], 0.05)), np.log(absolute[usable])
            slope = float(np.clip(np.polyfit(x, y, 1)[0], 0.0, 1.0))
            curve = (float(y.mean() - slope * x.mean()), slope)
        return Scales(ids, shrunk(absolute, level, n, curve), level, curve)

    def normalised(self, curve: tuple[float, float]) -> Normalised:
        """Each residual by the scale that the series' other origins give, so that a residual does not set its own."""
        place = np.unique(self.ids, return_inverse=True)[1]
        n, absolute, forecast = (np.bincount(place, part)[place] for part in (self.n, self.absolute, self.forecast))
        alone = n == self.n
        some = np.where(alone, 1, n - self.n)
        level = np.where(alone, forecast / n, (forecast - self.forecast) / some)
        of_others = np.where(alone, curve_at(curve, level), (absolute - self.absolute) / some)
        sigma = shrunk(of_others, level, n - self.n, curve)
        parts = [self._normalised(paths, rows, sigma, level) for paths, rows in self._pieces()]
        return Normalised(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _pieces(self) -> Iterator[tuple[slice, slice]]:
        """Some paths, and their rows."""
        ends = np.cumsum(self.n)
        path = 0
        while path < len(ends):
            row = int(ends[path - 1]) if path else 0
            after = max(int(np.searchsorted(ends, row + MOST_ROWS, side="right")), path + 1)
            yield slice(path, after), slice(row, int(ends[after - 1]))
            path = after

    def _normalised(
        self, paths: slice, rows: slice, sigma: np.ndarray, level: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, residual, yhat = self.n[paths], self.residual[rows], self.yhat[rows]
        scale = sigma[paths].repeat(n) * shape(yhat, level[paths].repeat(n))
        path = np.arange(len(n)).repeat(n)
        count = np.arange(len(residual)) - (np.cumsum(n) - n).repeat(n) + 1
        sums = pd.DataFrame({"residual": residual, "scale": scale}).groupby(path).cumsum().to_numpy()
        summed = sums[:, 0] / (np.sqrt(count) * (sums[:, 1] / count))
        return residual / scale, summed, count == self.h[rows]


def _read(given: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """The fields of `Residuals` of some paths."""
    known = (~given["censored"] & given["y"].notna() & given["yhat"].notna()).to_numpy(dtype=bool)
    table = pd.DataFrame({name: given[name].to_numpy()[known] for name in _READ}, copy=False)
    begins = path_begins(table)
    n = np.diff(begins, append=len(table))
    path, h = np.arange(len(n)).repeat(n), table["h"].to_numpy()
    if ((h[1:] < h[:-1]) & (path[1:] == path[:-1])).any():
        table = table.iloc[np.lexsort((h, path))]
    yhat = table["yhat"].to_numpy(dtype="float64")
    residual = table["y"].to_numpy(dtype="float64") - yhat
    absolute, forecast = np.bincount(path, np.abs(residual), len(n)), np.bincount(path, yhat, len(n))
    ids, steps = table["unique_id"].to_numpy()[begins], table["h"].to_numpy().astype("int32")
    return ids, n, absolute, forecast, residual, yhat, steps


def curve_at(curve: tuple[float, float], level: np.ndarray) -> np.ndarray:
    """What a series of each level (its mean forecast, units) has for its mean absolute residual, in units."""
    return np.asarray(np.exp(curve[0]) * np.maximum(level, 0.05) ** curve[1])


def shape(yhat: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Factor on the scale of each row: within a series the error grows with the square root of the forecast (a count's
    own law), within limits. yhat, level: of the row and of its series, units."""
    share = yhat / np.where(level > 0, level, 1.0)
    return np.asarray(np.sqrt(np.clip(np.where(level > 0, share, 1.0), 0.25, 4.0)))


def shrunk(absolute: np.ndarray, level: np.ndarray, n: np.ndarray, curve: tuple[float, float]) -> np.ndarray:
    """Each mean absolute residual (units, of n rows) pulled towards what a series of its level has."""
    expected = curve_at(curve, level)
    own = n / (n + SHRINK)
    floor = np.maximum(absolute, 0.05 * expected)
    log = own * np.log(np.maximum(floor, 1e-6)) + (1 - own) * np.log(np.maximum(expected, 1e-6))
    return np.asarray(np.exp(log))
