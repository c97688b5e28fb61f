"""One point of a strategy cycle: weights, judged on every origin with intervals and orders calibrated on the others.

Every score and cost is a quotient (or a sum) of amounts that add up over series. So a point is kept as those amounts,
one row a series, from which its figures and their bootstrap intervals follow without looking at the rows again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest
from forecasting.engine.business import (
    ESTIMATED,
    MEASURED,
    UNAVAILABLE,
    BusinessPolicy,
    order_paths,
    path_demand,
    protection_steps,
)
from forecasting.engine.combine import Weights, combine
from forecasting.engine.conformal import Calibration, NoResiduals

KEYS = ["unique_id", "origin", "ds", "h", "y", "censored"]
SINGLE, PAIR, FITTED = "single", "pair", "fitted"
AMOUNTS = (
    "rows", "actual", "absolute", "error", "root_paths", "root", "weight", "weighted_root", "mean_paths", "mean",
    "banded", "inside80", "inside95", "winkler_rows", "winkler", "pinball", "naive_rows", "naive", "own",
    "paths", "missed", "short", "ordered", "over", "cost_stockout", "cost_overstock", "total_cost",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """What is tried: one family alone, two in fixed shares, or weights fitted on the other origins.

    weights: of all origins, as the spec would have them. by_origin: of a fitted point, the weights that judge each
    origin, from the others; empty where they are fixed. families: those of the spec, stand-ins included.
    """

    key: str
    kind: str
    families: tuple[str, ...]
    weights: Weights
    by_origin: Mapping[date, Weights] = field(default_factory=dict)

    def at(self, origin: date) -> Weights:
        """The weights that judge this origin."""
        return self.by_origin.get(origin, self.weights)


@dataclass(frozen=True)
class Ground:
    """What every point is judged on. frame: the backtest's, with rmsse_scale, mase_scale and weight of each row.

    ids: every series, sorted; the amounts of a point follow this order. demand: as from `business.path_demand`, and
    steps, the protection interval that it covers.
    """

    frame: pd.DataFrame
    ids: np.ndarray
    origins: tuple[date, ...]
    classes: pd.Series
    demand: pd.DataFrame
    steps: int
    week_steps: int

    @classmethod
    def of(
        cls,
        backtest: Backtest,
        classes: pd.Series,
        values: pd.DataFrame,
        policy: BusinessPolicy,
        *,
        grain: str,
        week_steps: int,
    ) -> Ground:
        """The ground of a backtest."""
        frame = backtest.frame.merge(backtest.scales, on=["unique_id", "origin"], how="left", sort=False)
        ids = np.sort(frame["unique_id"].unique())
        demand = path_demand(frame, values, policy, grain=grain)
        return cls(frame, ids, backtest.origins, classes, demand, protection_steps(policy, grain), week_steps)

    def only(self, families: set[str]) -> Ground:
        """The same with no more family columns than these (and seasonal naive, for what is gained over it)."""
        own = [*KEYS, "closed", "rmsse_scale", "mase_scale", "weight", *sorted({*families, "seasonal_naive"})]
        kept = [name for name in own if name in self.frame.columns]
        return replace(self, frame=self.frame[kept])


@dataclass(frozen=True)
class Judged:
    """A point's amounts: `amounts` is series × AMOUNTS, in the order of `Ground.ids`.

    errors: sum of absolute errors at each origin. confidence: the worst of the prices and costs behind the orders.
    banded: whether every origin has intervals. missing: rows that no family forecast; stood_in: rows for which one
    stepped in that has no weight there.
    """

    key: str
    amounts: np.ndarray
    errors: tuple[float, ...]
    confidence: str
    banded: bool
    missing: int
    stood_in: int

    def amount(self, name: str) -> np.ndarray:
        """One amount of every series."""
        return np.asarray(self.amounts[:, AMOUNTS.index(name)])


def judge_all(ground: Ground, points: tuple[Point, ...]) -> list[Judged]:
    """Judge points one after the other; a task for an executor."""
    return [judge(ground, point) for point in points]


def judge(ground: Ground, point: Point) -> Judged:
    """Judge one point: each origin is forecast with its weights, and calibrated with the same weights on the others."""
    rows, orders, grids = [], [], []
    made: dict[int, pd.DataFrame] = {}
    missing = 0
    for day in ground.origins:
        weights = point.at(day)
        if id(weights) not in made:
            made[id(weights)] = mixture(ground, point.families, weights)
        whole = made[id(weights)]
        here = whole["origin"] == pd.Timestamp(day)
        known, calibration = whole.loc[here & whole["yhat"].notna()], None
        missing += int(here.sum()) - len(known)
        try:
            calibration = Calibration.fit(whole.loc[~here], ground.classes, week_steps=ground.week_steps)
        except NoResiduals:
            calibration = None
        if calibration is not None:
            grids.append(calibration.quantiles(known))
            orders.append(order_paths(known, calibration, ground.demand, ground.steps))
            known = calibration.apply(known)
        rows.append(known)
    banded = len(grids) == len(ground.origins)
    table = pd.concat(rows)
    sheet = _Sheet(np.zeros((len(ground.ids), len(AMOUNTS))))
    errors = _score_amounts(sheet, ground, table, pd.concat(grids) if banded else None)
    confidence = _order_amounts(sheet, ground, pd.concat(orders)) if banded else UNAVAILABLE
    stood_in = int(table["flags"].str.contains("fallback", regex=False).sum())
    return Judged(point.key, sheet.amounts, errors, confidence, banded, missing, stood_in)


def mixture(ground: Ground, families: tuple[str, ...], weights: Weights) -> pd.DataFrame:
    """The rows with yhat, family and flags of a mixture; no family beside `families` may stand in."""
    columns = ["unique_id", *(name for name in families if name in ground.frame.columns)]
    return ground.frame.join(combine(ground.frame[columns], weights, ground.classes))


# --- amounts ----------------------------------------------------------------------------------------------------------


@dataclass
class _Sheet:
    """Amounts that are being added up: values of rows (or paths) go to the series they are of."""

    amounts: np.ndarray

    def put(self, name: str, series: np.ndarray, values: np.ndarray | None = None) -> None:
        self.amounts[:, AMOUNTS.index(name)] = np.bincount(series, values, minlength=len(self.amounts))


def _score_amounts(sheet: _Sheet, ground: Ground, table: pd.DataFrame, grid: pd.DataFrame | None) -> tuple[float, ...]:
    """Add up the scores (definitions as in `scores.score_frame`); returns the absolute errors by origin."""
    known = (~table["censored"] & table["y"].notna()).to_numpy()
    table, grid = table.loc[known], None if grid is None else grid.loc[known]
    code = np.searchsorted(ground.ids, table["unique_id"].to_numpy())
    y, yhat = table["y"].to_numpy(dtype="float64"), table["yhat"].to_numpy(dtype="float64")
    absolute = np.abs(y - yhat)
    sheet.put("rows", code)
    sheet.put("actual", code, np.abs(y))
    sheet.put("absolute", code, absolute)
    sheet.put("error", code, yhat - y)
    _scaled_amounts(sheet, ground, table, code, absolute)
    if grid is not None:
        _band_amounts(sheet, table, code, y)
        levels = np.asarray(grid.columns, dtype="float64")
        off = y[:, None] - grid.to_numpy(dtype="float64")
        sheet.put("pinball", code, np.maximum(levels * off, (levels - 1.0) * off).mean(axis=1))
    if "seasonal_naive" in table.columns:
        naive = table["seasonal_naive"].to_numpy(dtype="float64")
        both = np.isfinite(naive)
        sheet.put("naive_rows", code, both.astype("float64"))
        sheet.put("naive", code, np.where(both, np.abs(y - naive), 0.0))
        sheet.put("own", code, np.where(both, absolute, 0.0))
    origin = table["origin"].to_numpy()
    return tuple(float(absolute[origin == np.datetime64(day, "ns")].sum()) for day in ground.origins)


def _scaled_amounts(sheet: _Sheet, ground: Ground, table: pd.DataFrame, code: np.ndarray, absolute: np.ndarray) -> None:
    """RMSSE and MASE are means over paths (a series at an origin), each from the mean of its known rows."""
    days = np.array([np.datetime64(day, "ns") for day in ground.origins])
    path = code * len(days) + np.searchsorted(days, table["origin"].to_numpy())
    size = len(ground.ids) * len(days)
    n = np.bincount(path, minlength=size)
    there = np.flatnonzero(n)
    series = there // len(days)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(path, values, minlength=size)[there] / n[there])

    scale = mean(table["rmsse_scale"].to_numpy(dtype="float64"))
    usable = scale > 0
    root = np.where(usable, np.sqrt(mean(absolute**2) / np.where(usable, scale, 1.0)), 0.0)
    weight = np.where(usable, np.nan_to_num(mean(table["weight"].to_numpy(dtype="float64"))), 0.0)
    sheet.put("root_paths", series, usable.astype("float64"))
    sheet.put("root", series, root)
    sheet.put("weight", series, weight)
    sheet.put("weighted_root", series, root * weight)
    scale = mean(table["mase_scale"].to_numpy(dtype="float64"))
    usable = scale > 0
    sheet.put("mean_paths", series, usable.astype("float64"))
    sheet.put("mean", series, np.where(usable, mean(absolute) / np.where(usable, scale, 1.0), 0.0))


def _band_amounts(sheet: _Sheet, table: pd.DataFrame, code: np.ndarray, y: np.ndarray) -> None:
    sheet.put("banded", code)
    for level in (80, 95):
        low, high = table[f"lo{level}"].to_numpy(), table[f"hi{level}"].to_numpy()
        sheet.put(f"inside{level}", code, ((y >= low) & (y <= high)).astype("float64"))
    low, high = table["lo80"].to_numpy(), table["hi80"].to_numpy()
    interval = (high - low) + 10.0 * np.maximum(low - y, 0) + 10.0 * np.maximum(y - high, 0)
    scale = table["mase_scale"].to_numpy(dtype="float64")
    usable = scale > 0
    sheet.put("winkler_rows", code, usable.astype("float64"))
    sheet.put("winkler", code, np.where(usable, interval / np.where(usable, scale, 1.0), 0.0))


def _order_amounts(sheet: _Sheet, ground: Ground, paths: pd.DataFrame) -> str:
    """Add up the orders (as `business.business_scores`); how well the worst of their prices and costs is known."""
    code = np.searchsorted(ground.ids, paths["unique_id"].to_numpy())
    demand, quantity = paths["demand"].to_numpy(dtype="float64"), paths["quantity"].to_numpy(dtype="float64")
    short, over = np.maximum(demand - quantity, 0.0), np.maximum(quantity - demand, 0.0)
    grades = set(paths["confidence"])
    worst = next((grade for grade in (UNAVAILABLE, ESTIMATED, MEASURED) if grade in grades), UNAVAILABLE)
    sheet.put("paths", code)
    sheet.put("missed", code, (short > 0).astype("float64"))
    sheet.put("short", code, short)
    sheet.put("ordered", code, quantity)
    sheet.put("over", code, over)
    if worst != UNAVAILABLE:
        lost = paths["cu"].to_numpy(dtype="float64") * short
        left = paths["co"].to_numpy(dtype="float64") * over
        sheet.put("cost_stockout", code, lost)
        sheet.put("cost_overstock", code, left)
        sheet.put("total_cost", code, lost + left)
    return worst
