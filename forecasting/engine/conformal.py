"""Conformal calibration: from rolling-origin residuals to intervals, quantiles and order quantities.

Residuals are divided by a scale of their own series (so that a loud series does not widen a calm one), pooled per
horizon week and demand class, and their empirical quantiles are put around later forecasts. Source: split conformal
prediction with normalised residuals (Lei et al. 2018), Mondrian by week and class (Vovk 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

GRID = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
        0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)  # fmt: skip
LEVELS = {80: (0.1, 0.9), 95: (0.025, 0.975)}
ANY = "*"
MIN_RESIDUALS = 150
MIN_SUMS = 60
SHRINK = 7.0
COLD_START_FACTOR = 1.5
MAX_WEEK_GROWTH = 1.25


class NoResiduals(ValueError):
    """There is no row with both a forecast and an actual: nothing to calibrate on."""

    def __init__(self) -> None:
        super().__init__("No backtest row has both a forecast and an actual; add origins or load more history.")


@dataclass(frozen=True)
class Calibration:
    """Quantiles of normalised residuals, the scales they go with, and the same for sums over 1..H steps.

    weeks[week][class] and sums[steps][class] are quantiles at `grid`; class "*" pools all. sigma and level are per
    series (text id): mean absolute residual and mean forecast of the backtest. curve (a, b): sigma = exp(a) level^b
    for series without residuals. growth: widening per week beyond the last one seen.
    """

    grid: tuple[float, ...]
    weeks: Mapping[str, Mapping[str, tuple[float, ...]]]
    sums: Mapping[str, Mapping[str, tuple[float, ...]]]
    sigma: Mapping[str, float]
    level: Mapping[str, float]
    classes: Mapping[str, str]
    curve: tuple[float, float]
    growth: float
    week_steps: int
    residuals: int

    @classmethod
    def fit(cls, frame: pd.DataFrame, classes: pd.Series, *, week_steps: int = 7) -> Calibration:
        """From rolling-origin rows (unique_id, origin, h, y, censored, yhat). Raises NoResiduals."""
        rows = frame.loc[~frame["censored"] & frame["y"].notna() & frame["yhat"].notna()].reset_index(drop=True)
        if not len(rows):
            raise NoResiduals
        rows = rows.assign(residual=rows["y"] - rows["yhat"], demand_class=rows["unique_id"].map(classes).fillna(ANY))
        rows["absolute"] = rows["residual"].abs()
        sigma, level, curve = _series_scales(rows)
        scale = _held_out_scale(rows, curve)
        normal = (rows["residual"] / scale).to_numpy()
        week = ((rows["h"] - 1) // week_steps + 1).astype(str).to_numpy()
        of_class = rows["demand_class"].to_numpy().astype(str)
        weeks = {
            w: _by_class(normal[week == w], of_class[week == w], MIN_RESIDUALS) for w in sorted(set(week), key=int)
        }
        return cls(
            grid=GRID,
            weeks=weeks,
            sums=_sums(rows.assign(scale=scale)),
            sigma=_texts(sigma, float),
            level=_texts(level, float),
            classes=_texts(classes.reindex(sigma.index).fillna(ANY), str),
            curve=curve,
            growth=_growth(weeks),
            week_steps=week_steps,
            residuals=len(rows),
        )

    def scale(self, frame: pd.DataFrame) -> np.ndarray:
        """Scale of each row (unique_id, yhat), in units; wider where the series was not in the backtest."""
        ids = frame["unique_id"].to_numpy()
        yhat = frame["yhat"].to_numpy(dtype="float64")
        own = {int(k): v for k, v in self.sigma.items()}
        middle = {int(k): v for k, v in self.level.items()}
        sigma = pd.Series(ids).map(own).to_numpy(dtype="float64")
        level = pd.Series(ids).map(middle).to_numpy(dtype="float64")
        mean = frame.groupby("unique_id")["yhat"].transform("mean").to_numpy(dtype="float64")
        guessed = COLD_START_FACTOR * _curve(self.curve, mean)
        level = np.where(np.isnan(sigma), mean, level)
        return np.asarray(np.where(np.isnan(sigma), guessed, sigma) * _shape(yhat, level))

    def quantiles(self, frame: pd.DataFrame, probabilities: tuple[float, ...] | None = None) -> pd.DataFrame:
        """Quantiles of each row (unique_id, h, yhat): one column per probability, never below zero, non-decreasing."""
        wanted = probabilities or self.grid
        scale = self.scale(frame)
        week = ((frame["h"].to_numpy() - 1) // self.week_steps + 1).astype(int)
        last = max(int(w) for w in self.weeks)
        scale = scale * self.growth ** np.maximum(week - last, 0)
        key = np.minimum(week, last)
        of_class = self._classes_of(frame["unique_id"])
        out = np.empty((len(frame), len(wanted)))
        for w in np.unique(key):
            for name in set(of_class[key == w]):
                rows = (key == w) & (of_class == name)
                table = self.weeks[str(w)]
                values = np.interp(wanted, self.grid, table.get(name, table[ANY]))
                out[rows] = values[None, :]
        out = frame["yhat"].to_numpy(dtype="float64")[:, None] + out * scale[:, None]
        return pd.DataFrame(
            np.maximum.accumulate(np.maximum(out, 0.0), axis=1), index=frame.index, columns=list(wanted)
        )

    def _classes_of(self, ids: pd.Series) -> np.ndarray:
        known = {int(k): v for k, v in self.classes.items()}
        return ids.map(known).fillna(ANY).to_numpy().astype(str)

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """`frame` (unique_id, h, yhat) with lo80, hi80, lo95, hi95: 0 <= lo95 <= lo80 <= yhat <= hi80 <= hi95."""
        wanted = tuple(sorted(q for pair in LEVELS.values() for q in pair))
        values = self.quantiles(frame, wanted)
        yhat, out = frame["yhat"], frame.copy()
        for level in sorted(LEVELS):
            low, high = LEVELS[level]
            out[f"lo{level}"] = np.minimum(values[low], yhat)
            out[f"hi{level}"] = np.maximum(values[high], yhat)
        return out

    def protection_quantile(self, frame: pd.DataFrame, steps: int, critical_ratio: float | pd.Series) -> pd.DataFrame:
        """Quantile of demand summed over the first `steps` steps: unique_id, [origin], quantity (>= 0).

        frame: unique_id, h, yhat and optionally origin. critical_ratio: one number or per series (index unique_id), in
        (0, 1). Paths that do not cover all the steps are left out. Beyond the longest sum calibrated, the spread grows
        with the square root of the steps.
        """
        keys = [k for k in ("unique_id", "origin") if k in frame.columns]
        first = frame.loc[frame["h"] <= steps]
        first = first.assign(scale=self.scale(first))
        total = first.groupby(keys, as_index=False).agg(yhat=("yhat", "sum"), scale=("scale", "mean"), n=("h", "size"))
        total = total.loc[total["n"] == steps].reset_index(drop=True)
        longest = max(int(k) for k in self.sums)
        table = self.sums[str(min(steps, longest))]
        spread = np.sqrt(steps) * total["scale"].to_numpy()
        if isinstance(critical_ratio, pd.Series):
            ratio = total["unique_id"].map(critical_ratio).to_numpy(dtype="float64")
        else:
            ratio = np.full(len(total), float(critical_ratio))
        of_class = self._classes_of(total["unique_id"])
        shift = np.zeros(len(total))
        for name in set(of_class):
            rows = of_class == name
            shift[rows] = np.interp(ratio[rows], self.grid, table.get(name, table[ANY]))
        quantity = np.maximum(total["yhat"].to_numpy() + shift * spread, 0.0)
        return total[keys].assign(quantity=quantity)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("weeks", "sums"):
            out[name] = {k: {c: list(q) for c, q in v.items()} for k, v in out[name].items()}
        return {**out, "grid": list(self.grid), "curve": list(self.curve)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Inverse of `to_json`."""
        values = dict(data)
        for name in ("weeks", "sums"):
            values[name] = {k: {c: tuple(q) for c, q in v.items()} for k, v in values[name].items()}
        return cls(**{**values, "grid": tuple(values["grid"]), "curve": tuple(values["curve"])})


def _texts(values: pd.Series, kind: type) -> dict[str, Any]:
    return {str(int(k)): kind(v) for k, v in zip(values.index.to_numpy(), values.to_numpy(), strict=True)}


def _curve(curve: tuple[float, float], level: np.ndarray | pd.Series) -> np.ndarray:
    return np.asarray(np.exp(curve[0]) * np.maximum(np.asarray(level, dtype="float64"), 0.05) ** curve[1])


def _shape(yhat: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Within a series the error grows with the square root of the forecast (a count's own law), within limits."""
    share = yhat / np.where(level > 0, level, 1.0)
    return np.asarray(np.sqrt(np.clip(np.where(level > 0, share, 1.0), 0.25, 4.0)))


def _series_scales(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series, tuple[float, float]]:
    """Per series: mean absolute residual, shrunk towards what series of its level have; its mean forecast."""
    by = rows.groupby("unique_id")
    absolute, level, n = by["absolute"].mean(), by["yhat"].mean(), by.size()
    usable = (absolute > 0) & (level > 0)
    curve = (float(np.log(max(absolute.mean(), 1e-6))), 0.0)
    if usable.sum() >= 5 and level[usable].nunique() > 1:
        fitted = np.polyfit(np.log(level[usable].clip(lower=0.05)), np.log(absolute[usable]), 1)
        slope = float(np.clip(fitted[0], 0.0, 1.0))
        middle = np.log(absolute[usable]).mean() - slope * np.log(level[usable].clip(lower=0.05)).mean()
        curve = (float(middle), slope)
    return _shrunk(absolute, level, n, curve), level, curve


def _shrunk(absolute: pd.Series, level: pd.Series, n: pd.Series, curve: tuple[float, float]) -> pd.Series:
    expected = _curve(curve, level)
    own = n / (n + SHRINK)
    floor = np.maximum(absolute, 0.05 * expected)
    log = own * np.log(np.maximum(floor, 1e-6)) + (1 - own) * np.log(np.maximum(expected, 1e-6))
    return pd.Series(np.exp(log), index=absolute.index)


def _held_out_scale(rows: pd.DataFrame, curve: tuple[float, float]) -> pd.Series:
    """Scale of each residual from the series' other origins, so that a residual does not set its own scale."""
    path = rows.groupby(["unique_id", "origin"])[["absolute", "yhat"]].agg(["sum", "size"])
    path.columns = pd.Index(["absolute", "n", "yhat", "_"])
    whole = path.groupby(level="unique_id")[["absolute", "n", "yhat"]].transform("sum")
    rest = whole - path[["absolute", "n", "yhat"]]
    alone = rest["n"] == 0
    n = rest["n"].where(~alone, 0)
    level = (whole["yhat"] / whole["n"]).where(alone, rest["yhat"] / rest["n"].where(~alone, 1))
    absolute = (rest["absolute"] / rest["n"].where(~alone, 1)).where(
        ~alone, pd.Series(_curve(curve, level), level.index)
    )
    sigma = _shrunk(absolute, level, n, curve)
    key = pd.MultiIndex.from_frame(rows[["unique_id", "origin"]])
    shape = _shape(rows["yhat"].to_numpy(), level.reindex(key).to_numpy())
    return pd.Series(sigma.reindex(key).to_numpy() * shape, index=rows.index)


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    """Quantiles at GRID with the finite-sample correction (n + 1) / n, outwards on both sides."""
    n = len(values)
    grid = np.asarray(GRID)
    spread = np.where(grid > 0.5, np.minimum(grid * (n + 1) / n, 1.0), np.maximum(1 - (1 - grid) * (n + 1) / n, 0.0))
    return tuple(float(v) for v in np.maximum.accumulate(np.quantile(values, np.where(grid == 0.5, 0.5, spread))))


def _by_class(values: np.ndarray, classes: np.ndarray, least: int) -> dict[str, tuple[float, ...]]:
    out = {ANY: _quantiles(values)}
    for name in sorted(set(classes)):
        if (classes == name).sum() >= least:
            out[name] = _quantiles(values[classes == name])
    return out


def _sums(rows: pd.DataFrame) -> dict[str, dict[str, tuple[float, ...]]]:
    """Residuals of the sum over the first L steps, by sqrt(L) times the mean scale, for each L that occurs."""
    rows = rows.sort_values(["unique_id", "origin", "h"], kind="stable")
    by = rows.groupby(["unique_id", "origin"], sort=False)
    count, residual, scale = by.cumcount() + 1, by["residual"].cumsum(), by["scale"].cumsum()
    complete = (count == rows["h"]).to_numpy()
    normal = (residual / (np.sqrt(count) * (scale / count))).to_numpy()
    out = {}
    for steps in sorted(set(rows["h"])):
        here = complete & (rows["h"] == steps).to_numpy()
        if here.any():
            out[str(int(steps))] = _by_class(normal[here], rows["demand_class"].to_numpy().astype(str)[here], MIN_SUMS)
    if not out:
        out["1"] = _by_class(
            (rows["residual"] / rows["scale"]).to_numpy(), rows["demand_class"].to_numpy().astype(str), MIN_SUMS
        )
    return out


def _growth(weeks: Mapping[str, Mapping[str, tuple[float, ...]]]) -> float:
    """How much wider the last week is than the one before it, between 1 and 1.25."""
    spans = [weeks[w][ANY][GRID.index(0.9)] - weeks[w][ANY][GRID.index(0.1)] for w in sorted(weeks, key=int)]
    if len(spans) < 2 or not spans[-2] > 0:
        return 1.05
    return float(np.clip(spans[-1] / spans[-2], 1.0, MAX_WEEK_GROWTH))
