"""Conformal calibration: from rolling-origin residuals to intervals, quantiles and order quantities.

Residuals are divided by a scale of their own series (so that a loud series does not widen a calm one), pooled per
horizon week and demand class, and their empirical quantiles are put around later forecasts. Source: split conformal
prediction with normalised residuals (Lei et al. 2018), Mondrian by week and class (Vovk 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.conformal_residuals import Normalised, Residuals, curve_at, shape

GRID = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
        0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)  # fmt: skip
LEVELS = {80: (0.1, 0.9), 95: (0.025, 0.975)}
ANY = "*"
MIN_RESIDUALS = 150
MIN_SUMS = 60
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
        rows = Residuals.of(frame)
        if not len(rows.h):
            raise NoResiduals
        scales = rows.scales()
        normal = rows.normalised(scales.curve)
        groups = _Groups.of(rows.ids, rows.n, classes)
        week = (rows.h - 1) // week_steps + 1
        weeks = {str(int(w)): groups.quantiles(normal.alone, week == w, MIN_RESIDUALS) for w in np.unique(week)}
        return cls(
            grid=GRID,
            weeks=weeks,
            sums=_sums(rows.h, normal, groups),
            sigma=_texts(scales.ids, scales.sigma, float),
            level=_texts(scales.ids, scales.level, float),
            classes=_texts(scales.ids, classes.reindex(scales.ids).fillna(ANY).to_numpy(), str),
            curve=scales.curve,
            growth=_growth(weeks),
            week_steps=week_steps,
            residuals=len(rows.h),
        )

    @cached_property
    def _known(self) -> tuple[pd.Index, np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
        """Series, their sigma, level and class (as a position in the names given) as arrays."""
        ids = [int(k) for k in self.sigma]
        names = (ANY, *sorted(set(self.classes.values()) - {ANY}))
        position = {name: number for number, name in enumerate(names)}
        code = np.array([position[self.classes.get(str(k), ANY)] for k in ids], dtype="int64")
        sigma = np.array(list(self.sigma.values()), dtype="float64")
        level = np.array([self.level[k] for k in self.sigma], dtype="float64")
        return pd.Index(ids), sigma, level, names, code

    def scale(self, frame: pd.DataFrame) -> np.ndarray:
        """Scale of each row (unique_id, [origin], yhat), in units; wider where the series was not in the backtest: its
        level is then the mean of the rows of its path."""
        ids, sigmas, levels, _, _ = self._known
        yhat = frame["yhat"].to_numpy(dtype="float64")
        at = ids.get_indexer(pd.Index(frame["unique_id"]))
        new = at < 0
        sigma, level = sigmas[at], levels[at]
        if new.any():
            path = [frame[key] for key in ("unique_id", "origin") if key in frame.columns]
            mean = frame["yhat"].groupby(path).transform("mean").to_numpy(dtype="float64")[new]
            sigma[new], level[new] = COLD_START_FACTOR * curve_at(self.curve, mean), mean
        return np.asarray(sigma * shape(yhat, level))

    def quantiles(self, frame: pd.DataFrame, probabilities: tuple[float, ...] | None = None) -> pd.DataFrame:
        """Quantiles of each row (unique_id, h, yhat): one column per probability, never below zero, non-decreasing."""
        wanted = probabilities or self.grid
        scale = self.scale(frame)
        week = (frame["h"].to_numpy() - 1) // self.week_steps + 1
        last = max(int(w) for w in self.weeks)
        scale = scale * self.growth ** np.maximum(week - last, 0)
        names, code = self._classes_of(frame["unique_id"])
        number = {int(w): position for position, w in enumerate(self.weeks)}
        table = np.array(
            [[np.interp(wanted, self.grid, row.get(name, row[ANY])) for name in names] for row in self.weeks.values()]
        )
        at = np.zeros(last + 1, dtype="int64")  # a week without residuals of its own takes those of the one before
        for w in range(1, last + 1):
            at[w] = number.get(w, at[w - 1])
        out = table[at[np.minimum(week, last)], code]
        out *= scale[:, None]
        out += frame["yhat"].to_numpy(dtype="float64")[:, None]
        np.maximum(out, 0.0, out=out)
        np.maximum.accumulate(out, axis=1, out=out)
        return pd.DataFrame(out, index=frame.index, columns=list(wanted))

    def _classes_of(self, ids: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
        """Names of the classes, and the position of each row's in them; a series that is not known is of "*"."""
        known, _, _, names, code = self._known
        at = known.get_indexer(pd.Index(ids))
        return names, np.where(at < 0, 0, code[at])

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
        first = frame[[*keys, "h", "yhat"]].loc[frame["h"] <= steps]
        first["scale"] = self.scale(first)
        by = first.groupby(keys)
        total = pd.DataFrame({"yhat": by["yhat"].sum(), "scale": by["scale"].mean(), "n": by.size()})
        total = total.loc[total["n"] == steps].reset_index()
        longest = max(int(k) for k in self.sums)
        table = self.sums[str(min(steps, longest))]
        spread = np.sqrt(steps) * total["scale"].to_numpy()
        if isinstance(critical_ratio, pd.Series):
            ratio = total["unique_id"].map(critical_ratio).to_numpy(dtype="float64")
        else:
            ratio = np.full(len(total), float(critical_ratio))
        names, code = self._classes_of(total["unique_id"])
        shift = np.zeros(len(total))
        for number, name in enumerate(names):
            rows = code == number
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


def _texts(ids: np.ndarray, values: np.ndarray, kind: type) -> dict[str, Any]:
    return {str(int(k)): kind(v) for k, v in zip(ids, values, strict=True)}


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    """Quantiles at GRID with the finite-sample correction (n + 1) / n, outwards on both sides."""
    n = len(values)
    grid = np.asarray(GRID)
    spread = np.where(grid > 0.5, np.minimum(grid * (n + 1) / n, 1.0), np.maximum(1 - (1 - grid) * (n + 1) / n, 0.0))
    return tuple(float(v) for v in np.maximum.accumulate(np.quantile(values, np.where(grid == 0.5, 0.5, spread))))


@dataclass(frozen=True)
class _Groups:
    """The demand class of each row, as a position in `names`."""

    names: tuple[str, ...]
    code: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray, times: np.ndarray, classes: pd.Series) -> _Groups:
        """ids: the series of each path; times: its rows."""
        known = classes.fillna(ANY).astype(str)
        names = sorted({ANY, *known})
        number = known.map({name: position for position, name in enumerate(names)})
        code = number.reindex(ids).fillna(names.index(ANY))
        return cls(tuple(names), code.to_numpy().astype("int8").repeat(times))

    def quantiles(self, values: np.ndarray, mask: np.ndarray, least: int) -> dict[str, tuple[float, ...]]:
        """Quantiles of the values of the mask's rows ("*"), and of each class that has at least so many of them."""
        code, values = self.code[mask], values[mask]
        out = {ANY: _quantiles(values)}
        for number, name in enumerate(self.names):
            here = code == number
            if name != ANY and int(here.sum()) >= least:
                out[name] = _quantiles(values[here])
        return out


def _sums(h: np.ndarray, normal: Normalised, groups: _Groups) -> dict[str, Any]:
    """Quantiles of the residuals of the sum over the first L steps, for each L that occurs."""
    out = {}
    for steps in np.unique(h):
        here = normal.whole & (h == steps)
        if here.any():
            out[str(int(steps))] = groups.quantiles(normal.summed, here, MIN_SUMS)
    return out or {"1": groups.quantiles(normal.alone, np.ones(len(h), dtype=bool), MIN_SUMS)}


def _growth(weeks: Mapping[str, Mapping[str, tuple[float, ...]]]) -> float:
    """How much wider the last week is than the one before it, between 1 and 1.25."""
    spans = [weeks[w][ANY][GRID.index(0.9)] - weeks[w][ANY][GRID.index(0.1)] for w in sorted(weeks, key=int)]
    if len(spans) < 2 or not spans[-2] > 0:
        return 1.05
    return float(np.clip(spans[-1] / spans[-2], 1.0, MAX_WEEK_GROWTH))
