"""Business scores: a newsvendor orders from the same forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.conformal import Calibration
from forecasting.engine.panel import STEP_DAYS, Panel
from forecasting.engine.scores import Score, ratio

MEASURED, ESTIMATED, UNAVAILABLE = "measured", "estimated", "unavailable"
BUSINESS_NAMES = (
    "lost_sales_qty", "stockout_miss_rate", "overstock_qty", "overstock_rate",
    "cost_stockout", "cost_overstock", "total_cost",
)  # fmt: skip


@dataclass(frozen=True)
class BusinessPolicy:
    """What an order is about. Rates are shares: margin of the price, holding and markdown of the cost per interval."""

    lead_time_days: int = 2
    review_period_days: int = 5
    default_margin_rate: float = 0.30
    default_holding_rate: float = 0.05

    def __post_init__(self) -> None:
        if self.lead_time_days < 0 or self.review_period_days < 0 or self.protection_days < 1:
            raise ValueError("lead time and review period must be 0 or more and at least 1 day together")
        if not 0 < self.default_margin_rate < 1 or not self.default_holding_rate > 0:
            raise ValueError("default_margin_rate lies between 0 and 1; default_holding_rate is above 0")

    @property
    def protection_days(self) -> int:
        """Protection interval L in days."""
        return self.lead_time_days + self.review_period_days

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BusinessPolicy:
        """Inverse of `to_json`."""
        return cls(**data)


@dataclass(frozen=True)
class BusinessScore:
    """A score and how well its inputs are known: measured, estimated or unavailable."""

    score: Score
    confidence: str

    @property
    def value(self) -> float | None:
        """The value, or None."""
        return self.score.value

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.score.to_json(), "confidence": self.confidence}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BusinessScore:
        """Inverse of `to_json`."""
        return cls(Score.from_json(data), data["confidence"])


@dataclass(frozen=True)
class BusinessScores:
    """The seven scores. `series_cost` (index unique_id, total cost) and `series_parts` (the same of lost_sales_qty,
    cost_stockout and cost_overstock) feed the paired bootstrap and are not stored."""

    lost_sales_qty: BusinessScore
    stockout_miss_rate: BusinessScore
    overstock_qty: BusinessScore
    overstock_rate: BusinessScore
    cost_stockout: BusinessScore
    cost_overstock: BusinessScore
    total_cost: BusinessScore
    series_cost: pd.Series | None = None
    series_parts: pd.DataFrame | None = None

    def get(self, name: str) -> BusinessScore:
        """The score of that name."""
        found: BusinessScore = getattr(self, name)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: self.get(name).to_json() for name in BUSINESS_NAMES}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BusinessScores:
        """Inverse of `to_json` (without `series_cost`)."""
        lost, missed, over, rate, stockout, overstock, total = (
            BusinessScore.from_json(data[n]) for n in BUSINESS_NAMES
        )
        return cls(lost, missed, over, rate, stockout, overstock, total)


def unit_values(panel: Panel, steps: int = 28) -> pd.DataFrame:
    """unique_id, unit_price, unit_cost: means over the last `steps` steps known; NaN where the tenant gave none."""
    history = panel.history
    recent = history.loc[history["ds"] > history["ds"].max() - steps * panel.step]
    out = pd.DataFrame({"unique_id": panel.ids})
    for column in ("unit_price", "unit_cost"):
        if column in recent.columns:
            mean = recent[column].where(recent[column] > 0).groupby(recent["unique_id"]).mean()
            out[column] = mean.reindex(out["unique_id"]).to_numpy()
        else:
            out[column] = np.nan
    return out


def unit_economics(values: pd.DataFrame, policy: BusinessPolicy) -> pd.DataFrame:
    """Per series (index unique_id): cu (lost margin a unit), co (cost of one left over), critical_ratio, confidence.

    Without a cost it is price × (1 - default margin); without a price, cost / (1 - default margin). Without either cu
    and co are NaN, and the ratio is that of the defaults, which needs no price. A unit sold at a loss has cu = 0.
    """
    price, cost = values["unit_price"].to_numpy(dtype="float64"), values["unit_cost"].to_numpy(dtype="float64")
    keep = 1.0 - policy.default_margin_rate
    has_price, has_cost = np.isfinite(price), np.isfinite(cost)
    full_price = np.where(has_price, price, cost / keep)
    full_cost = np.where(has_cost, cost, price * keep)
    cu = np.maximum(full_price - full_cost, 0.0)
    co = full_cost * policy.default_holding_rate
    default = policy.default_margin_rate / (policy.default_margin_rate + keep * policy.default_holding_rate)
    critical = np.where(has_price | has_cost, cu / np.where(cu + co > 0, cu + co, 1.0), default)
    confidence = np.where(has_price & has_cost, MEASURED, np.where(has_price | has_cost, ESTIMATED, UNAVAILABLE))
    table = {"cu": cu, "co": co, "critical_ratio": np.clip(critical, 0.01, 0.99), "confidence": confidence}
    return pd.DataFrame(table, index=pd.Index(values["unique_id"], name="unique_id"))


def business_scores(
    frame: pd.DataFrame, calibration: Calibration, values: pd.DataFrame, policy: BusinessPolicy, *, grain: str = "D"
) -> BusinessScores:
    """The newsvendor of evaluation.md on forecasts beside actuals.

    frame: unique_id, origin, h, y, censored, yhat, optionally closed. values: as from `unit_values`, of the training
    side.
    """
    steps = protection_steps(policy, grain)
    return _scores(order_paths(frame, calibration, path_demand(frame, values, policy, grain=grain), steps), steps)


def protection_steps(policy: BusinessPolicy, grain: str) -> int:
    """The protection interval in steps of the grain."""
    return math.ceil(policy.protection_days / STEP_DAYS[grain])


def path_demand(frame: pd.DataFrame, values: pd.DataFrame, policy: BusinessPolicy, *, grain: str = "D") -> pd.DataFrame:
    """What is asked for over the protection interval, whatever was forecast; a row for each series and origin:
    unique_id, origin, demand (units), cu, co, critical_ratio, confidence.

    A path counts when all steps of the protection interval are there and of none true demand is unknown: a censored
    day hides it, a closed day has none to hide.
    """
    steps = protection_steps(policy, grain)
    read = [name for name in ("unique_id", "origin", "y", "censored", "closed") if name in frame.columns]
    first = frame[read].loc[frame["h"] <= steps]
    unsure = first["censored"] & ~first["closed"] if "closed" in first.columns else first["censored"]
    hidden = unsure | first["y"].isna()
    by = first.assign(hidden=hidden).groupby(["unique_id", "origin"])
    actual = pd.DataFrame({"demand": by["y"].sum(), "n": by.size(), "hidden": by["hidden"].max()}).reset_index()
    actual = actual.loc[(actual["n"] == steps) & ~actual["hidden"].astype(bool)]
    economics = unit_economics(values, policy)
    return actual.drop(columns=["n", "hidden"]).merge(economics.reset_index(), on="unique_id")


def order_paths(frame: pd.DataFrame, calibration: Calibration, demand: pd.DataFrame, steps: int) -> pd.DataFrame:
    """The paths of `demand` (as from `path_demand`) that `frame` forecasts whole, with the quantity ordered (units)."""
    ratio = demand.drop_duplicates("unique_id").set_index("unique_id")["critical_ratio"]
    order = calibration.protection_quantile(frame, steps, ratio)
    return demand.merge(order, on=["unique_id", "origin"]).dropna(subset=["quantity"])


def _scores(paths: pd.DataFrame, steps: int) -> BusinessScores:
    n = len(paths)
    none = Score(None, 0, f"no path covers the protection interval of {steps} step(s) without a censored day")
    if not n:
        nothing = BusinessScore(none, UNAVAILABLE)
        return BusinessScores(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    short = np.maximum(paths["demand"] - paths["quantity"], 0.0)
    over = np.maximum(paths["quantity"] - paths["demand"], 0.0)
    grades = set(paths["confidence"])
    worst = next(c for c in (UNAVAILABLE, ESTIMATED, MEASURED) if c in grades)
    # Quantities follow from the critical ratio alone, which the defaults can give: never worse than estimated.
    by_ratio = MEASURED if worst == MEASURED else ESTIMATED
    money = Score(None, n, "a series has neither price nor cost; supply unit_price or unit_cost")
    costs = (paths["cu"] * short, paths["co"] * over)
    known = worst != UNAVAILABLE
    total = costs[0] + costs[1]

    def cost(amount: pd.Series) -> BusinessScore:
        return BusinessScore(Score(float(amount.sum()), n) if known else money, worst)

    return BusinessScores(
        lost_sales_qty=BusinessScore(Score(float(short.sum()), n), by_ratio),
        stockout_miss_rate=BusinessScore(Score(float((short > 0).mean()), n), by_ratio),
        overstock_qty=BusinessScore(Score(float(over.sum()), n), by_ratio),
        overstock_rate=BusinessScore(
            ratio(float(over.sum()), float(paths["quantity"].sum()), n, "nothing was ordered"), by_ratio
        ),
        cost_stockout=cost(costs[0]),
        cost_overstock=cost(costs[1]),
        total_cost=cost(total),
        series_cost=total.groupby(paths["unique_id"]).sum().sort_index() if known else None,
        series_parts=pd.DataFrame({"lost_sales_qty": short, "cost_stockout": costs[0], "cost_overstock": costs[1]})
        .groupby(paths["unique_id"])
        .sum()
        .sort_index(),
    )
