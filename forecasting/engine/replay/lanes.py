"""The worlds that are walked side by side: each has a model that serves, stock that its orders fill, and its account.

What a lane orders rests on what was known; what it costs rests on what came. All lanes meet the same demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from forecasting.engine.business import ESTIMATED, MEASURED, UNAVAILABLE

GOVERNED, UNREVIEWED = "governed", "orders_unreviewed"
NEVER, ALWAYS, GATES, NAIVE, PERFECT = "never_retrain", "always_promote", "gates_only", "seasonal_naive", "perfect"
LANES = (GOVERNED, UNREVIEWED, GATES, ALWAYS, NEVER, NAIVE, PERFECT)
TITLES = {
    GOVERNED: "As governed",
    UNREVIEWED: "As governed, orders not reviewed",
    GATES: "Gates without a human",
    ALWAYS: "Always promote",
    NEVER: "Never retrain",
    NAIVE: "Seasonal naive",
    PERFECT: "Perfect knowledge",
}
SUMS = (
    "demand", "sold", "lost", "ordered", "cost_stockout", "cost_overstock", "left_over", "short_days", "series_days",
    "abs_error", "error", "abs_actual", "rows", "inside80", "promotions", "refreshes",
)  # fmt: skip
_ARRAYS = ("stock", "coming", "begun", "ahead", "low", "high")


@dataclass(frozen=True)
class Economics:
    """Of each series (NaN: not known): cu, lost margin a unit; co, cost of a unit left over for one interval; the
    critical ratio; confidence of the worst of them."""

    cu: np.ndarray
    co: np.ndarray
    ratio: np.ndarray
    confidence: str


@dataclass
class Lane:
    """One world. stock: units on hand; coming: units that arrive after 1, 2, … steps (steps × series); begun: in the
    account; ahead, low, high: forecasts in force (horizon × series) from `origin`."""

    name: str
    stock: np.ndarray
    coming: np.ndarray
    begun: np.ndarray
    ahead: np.ndarray
    low: np.ndarray
    high: np.ndarray
    origin: int = -1
    model: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    confidence: str = MEASURED

    @classmethod
    def empty(cls, name: str, series: int, lead: int, horizon: int) -> Lane:
        """Before anything was ordered or forecast."""
        nothing = np.zeros(series)
        blank = np.full((horizon, series), np.nan)
        return cls(name, nothing, np.zeros((lead + 1, series)), np.zeros(series, dtype=bool), blank, blank.copy(),
                   blank.copy())  # fmt: skip

    def forecast_of(self, step: int) -> np.ndarray:
        """What is forecast of a step (NaN: nothing)."""
        h = step - self.origin
        return self.ahead[h - 1] if 1 <= h <= len(self.ahead) else np.full(len(self.stock), np.nan)

    def interval_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The 80% interval of a step."""
        h = step - self.origin
        blank = np.full(len(self.stock), np.nan)
        return (self.low[h - 1], self.high[h - 1]) if 1 <= h <= len(self.ahead) else (blank, blank)

    def live_through(self, demand: np.ndarray, known: np.ndarray, money: Economics, interval: int) -> dict[str, float]:
        """Receive what arrives, meet the demand of a step (units; where not known: 0), pay for what is short and left.

        Returns the step's own figures.
        """
        self.stock = self.stock + self.coming[0]
        self.coming = np.vstack([self.coming[1:], np.zeros((1, len(self.stock)))])
        asked = np.where(self.begun, demand, 0.0)
        sold = np.minimum(self.stock, asked)
        lost = asked - sold
        self.stock = self.stock - sold
        left = np.where(self.begun, self.stock, 0.0)
        counted = self.begun & known
        day = {
            "demand": float(asked.sum()),
            "sold": float(sold.sum()),
            "lost": float(lost.sum()),
            "left_over": float(left.sum()),
            "short_days": float(np.count_nonzero(lost[counted] > 0)),
            "series_days": float(np.count_nonzero(counted)),
            "cost_stockout": float(np.nansum(money.cu * lost)),
            "cost_overstock": float(np.nansum(money.co / interval * left)),
        }
        for name, value in day.items():
            self.sums[name] += value
        return day

    def score(self, step: int, actual: np.ndarray) -> dict[str, float]:
        """Errors of the step's forecasts on the actuals known (NaN: not known); added to the account."""
        yhat, (low, high) = self.forecast_of(step), self.interval_of(step)
        rows = np.isfinite(actual) & np.isfinite(yhat)
        error = np.where(rows, yhat - actual, 0.0)
        day = {
            "abs_error": float(np.abs(error).sum()),
            "error": float(error.sum()),
            "abs_actual": float(np.abs(actual[rows]).sum()),
            "rows": float(np.count_nonzero(rows)),
            "inside80": float(np.count_nonzero(rows & (actual >= low) & (actual <= high))),
        }
        for name, value in day.items():
            self.sums[name] += value
        return day

    @property
    def position(self) -> np.ndarray:
        """On hand and on order."""
        return np.asarray(self.stock + self.coming.sum(axis=0))

    def place(self, level: np.ndarray, quantity: np.ndarray, known: np.ndarray) -> None:
        """Order. A series that is ordered for the first time is stocked at once with its whole level."""
        first = known & ~self.begun & np.isfinite(level)
        amount = np.where(np.isfinite(quantity), quantity, 0.0)
        self.coming[0] += np.where(first, amount, 0.0)
        self.coming[-1] += np.where(first, 0.0, amount)
        self.begun = self.begun | first
        self.sums["ordered"] += float(amount.sum())

    def price(self, confidence: str) -> None:
        """Remember the worst confidence of any order."""
        order = (MEASURED, ESTIMATED, UNAVAILABLE)
        self.confidence = max(self.confidence, confidence, key=order.index)

    def outcome(self) -> dict[str, Any]:
        """What came of it: figures with their confidence; a cost is None where a series has neither price nor cost."""
        s, priced = self.sums, self.confidence != UNAVAILABLE
        total = s["cost_stockout"] + s["cost_overstock"]
        return {
            "model": self.facts.get("label", ""),
            "service_level": _share(s["sold"], s["demand"]),
            "demand": round(s["demand"], 4),
            "lost_sales_qty": round(s["lost"], 4),
            "short_share": _share(s["short_days"], s["series_days"]),
            "short_days": int(s["short_days"]),
            "mean_stock": round(s["left_over"] / s["series_days"], 6) if s["series_days"] else None,
            "ordered": round(s["ordered"], 4),
            "cost_stockout": round(s["cost_stockout"], 4) if priced else None,
            "cost_overstock": round(s["cost_overstock"], 4) if priced else None,
            "total_cost": round(total, 4) if priced else None,
            "confidence": self.confidence,
            "wape": _share(s["abs_error"], s["abs_actual"]),
            "bias": _share(s["error"], s["abs_actual"]),
            "coverage80": _share(s["inside80"], s["rows"]),
            "promotions": int(s["promotions"]),
            "refreshes": int(s["refreshes"]),
        }

    @property
    def total_cost(self) -> float | None:
        """So far."""
        if self.confidence == UNAVAILABLE:
            return None
        return self.sums["cost_stockout"] + self.sums["cost_overstock"]

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps as arrays."""
        return {f"{self.name}.{name}": getattr(self, name) for name in _ARRAYS}

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps as text."""
        return {"origin": self.origin, "model": self.model, "facts": self.facts, "sums": self.sums,
                "confidence": self.confidence}  # fmt: skip

    @classmethod
    def restored(cls, name: str, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Lane:
        """Inverse of `to_json` and `arrays`."""
        own: dict[str, Any] = {key: arrays[f"{name}.{key}"] for key in _ARRAYS}
        return cls(name, **own, **data)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None
