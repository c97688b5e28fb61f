"""Order proposals: from forecasts to order-up-to levels, packs, and what a reviewer should look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.business import (
    ESTIMATED,
    MEASURED,
    UNAVAILABLE,
    BusinessPolicy,
    unit_economics,
    unit_values,
)
from forecasting.engine.conformal import Calibration
from forecasting.engine.panel import Panel
from forecasting.engine.replay.config import OrderRules, ReplayConfig
from forecasting.engine.replay.knowledge import Sheet
from forecasting.engine.replay.lanes import Economics

HIGH, LOW, QUIET = "above_history", "below_history", "no_sale_lately"
REASONS = {
    HIGH: "The level lies far above the most that was sold in as many days of the last half year.",
    LOW: "The level lies far below the least that was sold in as many days of the last half year.",
    QUIET: "Nothing was sold for weeks, and still an order is proposed.",
}


def economics_of(known: Panel, ids: np.ndarray, policy: BusinessPolicy) -> Economics:
    """Of the series `ids`, by prices and costs known on the panel's last days; NaN where the series is not known."""
    table = unit_economics(unit_values(known), policy).reindex(ids)
    grades = set(table["confidence"].dropna())
    worst = next((grade for grade in (UNAVAILABLE, ESTIMATED, MEASURED) if grade in grades), MEASURED)
    cu, co, ratio = (table[name].to_numpy(dtype="float64") for name in ("cu", "co", "critical_ratio"))
    return Economics(cu, co, ratio, worst)


@dataclass(frozen=True)
class Ahead:
    """Forecasts from one origin as matrices (horizon × series; NaN where nothing is forecast)."""

    yhat: np.ndarray
    low: np.ndarray
    high: np.ndarray


def levels_of(ahead: np.ndarray, ids: np.ndarray, calibration: Calibration, money: Economics, steps: int) -> np.ndarray:
    """Order-up-to level of each series: the quantile at its critical ratio of demand over `steps` steps; NaN where
    nothing is forecast."""
    known = np.flatnonzero(np.isfinite(ahead[:steps]).all(axis=0))
    out = np.full(len(ids), np.nan)
    if not len(known):
        return out
    frame = pd.DataFrame({
        "unique_id": np.repeat(ids[known], steps),
        "h": np.tile(np.arange(1, steps + 1), len(known)),
        "yhat": ahead[:steps, known].T.ravel(),
    })  # fmt: skip
    ratio = pd.Series(money.ratio, index=ids).loc[ids[known]]
    made = calibration.protection_quantile(frame, steps, ratio)
    out[np.searchsorted(ids, made["unique_id"].to_numpy())] = made["quantity"].to_numpy()
    return out


def packs(level: np.ndarray, position: np.ndarray, pack: float) -> np.ndarray:
    """What is ordered to come up to the level, in whole packs; NaN where there is no level."""
    missing = np.maximum(level - position, 0.0)
    return np.asarray(np.ceil(np.round(missing / pack, 9)) * pack)


@dataclass(frozen=True)
class Line:
    """One order that a reviewer should look at. largest, least: sums over as many steps as the order has to last."""

    series: int
    why: str
    level: float
    proposed: float
    position: float
    largest: float
    least: float

    def to_json(self, name: str) -> dict[str, Any]:
        """Plain JSON values, with what people call the series."""
        figures = {k: round(float(getattr(self, k)), 3) for k in ("level", "proposed", "position", "largest", "least")}
        return {"series": name, "why": self.why, **figures}


def conspicuous(
    level: np.ndarray, proposed: np.ndarray, position: np.ndarray, sheet: Sheet, step: int, config: ReplayConfig
) -> list[Line]:
    """The orders that the history makes look odd, by series; at most one reason each."""
    rules: OrderRules = config.orders
    span, back = config.protection_steps, config.in_steps(rules.history_days)
    past = sheet.values(step - back + 1, step, at=step)
    lasting = np.isfinite(past).sum(axis=0) >= 4 * span
    sums = np.cumsum(np.nan_to_num(past), axis=0)
    rolled = np.vstack([sums[span - 1 : span], sums[span:] - sums[:-span]])
    whole = np.cumsum(np.isfinite(past), axis=0)
    counted = np.vstack([whole[span - 1 : span], whole[span:] - whole[:-span]]) == span
    largest = np.where(counted, rolled, -np.inf).max(axis=0, initial=-np.inf)
    least = np.where(counted, rolled, np.inf).min(axis=0, initial=np.inf)
    lately = past[-config.in_steps(rules.quiet_days) :]
    seen = np.isfinite(lately).sum(axis=0) * 2 >= len(lately)  # weeks out of stock are not known, and no quiet ones
    quiet = seen & (np.nan_to_num(lately).sum(axis=0) == 0)
    out = []
    for series in np.flatnonzero(lasting & np.isfinite(level) & np.isfinite(largest)):
        top, low, up_to, amount = largest[series], least[series], level[series], proposed[series]
        if quiet[series] and amount > 0:
            why = QUIET
        elif up_to > rules.high_ratio * top and amount > 0:
            why = HIGH
        elif up_to < rules.low_ratio * low:
            why = LOW
        else:
            continue
        out.append(Line(int(series), why, up_to, amount, position[series], top, low))
    return out
