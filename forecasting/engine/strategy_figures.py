"""Every score and cost of a judged point, each with a bootstrap interval over series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecasting.engine.bootstrap import MIN_SERIES, resampled_totals
from forecasting.engine.business import ESTIMATED, MEASURED, UNAVAILABLE
from forecasting.engine.scores import NO_ROWS
from forecasting.engine.strategy_points import AMOUNTS, Judged

RESAMPLES = 1000
NO_BAND = "the other origins have no row to calibrate an interval on"
NO_PATH = "no path covers the protection interval without a censored day"
NO_MONEY = "a series has neither price nor cost; supply unit_price or unit_cost"
NO_SCALE = "no series has a training scale above zero"
ZERO = "the sum of actuals is zero"


@dataclass(frozen=True)
class Measure:
    """How a score follows from the amounts: top / bottom, or top alone where it is a sum. count: the amount of rows or
    paths behind it. of: "score", "band" or "order", the rows it needs; money: needs prices. reason: why bottom is 0."""

    name: str
    top: str
    bottom: str | None
    count: str
    of: str = "score"
    reason: str = ZERO
    money: bool = False


MEASURES = (
    Measure("wape", "absolute", "actual", "rows"),
    Measure("bias", "error", "actual", "rows"),
    Measure("rmsse", "root", "root_paths", "root_paths", reason=NO_SCALE),
    Measure("wrmsse", "weighted_root", "weight", "root_paths", reason="no series with a training scale sold anything"),
    Measure("mase", "mean", "mean_paths", "mean_paths", reason=NO_SCALE),
    Measure("coverage80", "inside80", "banded", "banded", of="band"),
    Measure("coverage95", "inside95", "banded", "banded", of="band"),
    Measure("winkler80", "winkler", "winkler_rows", "rows", of="band", reason=NO_SCALE),
    Measure("scrps", "pinball", "actual", "rows", of="band"),
    Measure("fva", "own", "naive", "naive_rows", reason="seasonal naive makes no error"),
    Measure("lost_sales_qty", "short", None, "paths", of="order"),
    Measure("stockout_miss_rate", "missed", "paths", "paths", of="order"),
    Measure("overstock_qty", "over", None, "paths", of="order"),
    Measure("overstock_rate", "over", "ordered", "paths", of="order", reason="nothing was ordered"),
    Measure("cost_stockout", "cost_stockout", None, "paths", of="order", money=True),
    Measure("cost_overstock", "cost_overstock", None, "paths", of="order", money=True),
    Measure("total_cost", "total_cost", None, "paths", of="order", money=True),
)
MEASURE_NAMES = tuple(measure.name for measure in MEASURES)


@dataclass(frozen=True)
class Figure:
    """A value with its central 95% interval (None where it cannot be known), and n, the rows or paths behind it.

    reason: why the value, or else the interval, is None. confidence: of what depends on prices and orders.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None
    confidence: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; figures to ten digits, so that the order of a sum does not show."""
        return {**self.__dict__, **{k: rounded(getattr(self, k)) for k in ("value", "low", "high")}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Figure:
        """Inverse of `to_json`."""
        return cls(**data)


def rounded(value: float | None) -> float | None:
    """Ten significant digits."""
    return None if value is None else float(f"{value:.10g}")


@dataclass(frozen=True)
class Resampler:
    """The same seeded resamples of series for every point, so that points are compared on the same draws.

    Source: Efron and Tibshirani (1993), percentile bootstrap.
    """

    seed: int
    resamples: int = RESAMPLES

    def figures(self, points: Sequence[Judged]) -> list[dict[str, Figure]]:
        """Every measure by name, of each of these points; several at once, since they share their draws."""
        side = np.hstack([judged.amounts for judged in points])
        drawn = resampled_totals(side, seed=self.seed, resamples=self.resamples)
        parts = np.split(drawn, len(points), axis=1)
        return [self._all(judged, part) for judged, part in zip(points, parts, strict=True)]

    def _all(self, judged: Judged, drawn: np.ndarray) -> dict[str, Figure]:
        whole = judged.amounts.sum(axis=0)
        return {measure.name: self._figure(measure, judged, whole, drawn) for measure in MEASURES}

    def _figure(self, measure: Measure, judged: Judged, whole: np.ndarray, drawn: np.ndarray) -> Figure:
        confidence = _confidence(measure, judged.confidence)
        n = int(whole[AMOUNTS.index(measure.count)])
        reason = _undefined(measure, judged, whole, n)
        if reason is not None:
            return Figure(None, None, None, n, reason, confidence)
        value = float(_values(measure, whole[None, :])[0])
        active = int((judged.amount("paths" if measure.of == "order" else "rows") > 0).sum())
        if active < MIN_SERIES:
            too_few = f"{active} series are too few to resample (at least {MIN_SERIES})"
            return Figure(value, None, None, n, too_few, confidence)
        values = _values(measure, drawn)
        low, high = (float(q) for q in np.quantile(values[np.isfinite(values)], [0.025, 0.975]))
        return Figure(value, low, high, n, None, confidence)


def _values(measure: Measure, sums: np.ndarray) -> np.ndarray:
    """The measure of each row of sums; NaN where the bottom is zero."""
    top = sums[:, AMOUNTS.index(measure.top)]
    if measure.bottom is None:
        return np.asarray(top)
    bottom = sums[:, AMOUNTS.index(measure.bottom)]
    ratio = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)
    return np.asarray(1.0 - ratio if measure.name == "fva" else ratio)


def _undefined(measure: Measure, judged: Judged, whole: np.ndarray, n: int) -> str | None:
    """Why the measure has no value; None where it has one."""
    if not whole[AMOUNTS.index("rows")] > 0:
        return NO_ROWS
    if measure.of != "score" and not judged.banded:
        return NO_BAND
    if measure.of == "order" and n == 0:
        return NO_PATH
    if measure.money and judged.confidence == UNAVAILABLE:
        return NO_MONEY
    if measure.bottom is not None and not whole[AMOUNTS.index(measure.bottom)] > 0:
        return measure.reason
    return None


def _confidence(measure: Measure, worst: str) -> str | None:
    """As in `business.business_scores`: an order needs the critical ratio alone, which the defaults can give."""
    if measure.of != "order":
        return None
    if measure.money:
        return worst
    return MEASURED if worst == MEASURED else ESTIMATED
