"""What a replay is asked: the days, the cadence, the models, the rules. Frozen, validated, stored as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from forecasting.engine.backtest import steps_needed
from forecasting.engine.business import BusinessPolicy
from forecasting.engine.errors import EngineError
from forecasting.engine.gates import GatePolicyBody
from forecasting.engine.panel import STEP_DAYS
from forecasting.engine.regression import RegressionRules
from forecasting.engine.train import SearchConfig
from forecasting.engine.types import canonical_json, sha256_text

MOST_DAYS = 365
FLOOR = "seasonal_naive"


class Cadence(StrEnum):
    """How often a retraining falls due by the calendar."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Hitl(StrEnum):
    """Who decides in the replay: named rules, decisions taken earlier, or people, for whom it waits."""

    POLICY = "policy"
    RECORDED = "recorded"
    INTERACTIVE = "interactive"


class Portfolio(StrEnum):
    """Whether mixtures are tried: where the baseline fails the strategy gate, always, or never."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class ReplayImpossible(EngineError):
    """The replay that was asked for cannot be made of these data."""


class HoldoutTooLong(ReplayImpossible):
    """The days to replay leave too little history before them."""

    def __init__(self, holdout: int, available: int, needed: int) -> None:
        self.holdout, self.available, self.needed = holdout, available, needed
        most = max(available - needed, 0)
        super().__init__(
            f"A replay of {holdout} days needs {needed} days of history before them (for the sealed days and the "
            f"backtest), {holdout + needed} in all, and the history covers {available}. "
            + (f"Replay at most {most} days, or load more history." if most else "Load more history first.")
        )


class EmptyPartition(ReplayImpossible):
    """There is nothing on one side of the partition."""

    def __init__(self, side: str) -> None:
        self.side = side
        super().__init__(f"There is no demand {side}. Load demand, or choose days that lie inside of what is loaded.")


@dataclass(frozen=True)
class OrderRules:
    """Order proposals. pack_size: units in a pack. The others say when a proposal is put before the reviewer."""

    pack_size: float = 1.0
    high_ratio: float = 1.5
    low_ratio: float = 0.5
    quiet_days: int = 28
    history_days: int = 182

    def __post_init__(self) -> None:
        if not self.pack_size > 0:
            raise ValueError("a pack holds more than 0 units")


@dataclass(frozen=True)
class DriftRules:
    """When a drift of inputs asks for a retraining: population stability index, share of unknown values."""

    window_days: int = 28
    reference_days: int = 182
    max_psi: float = 0.25
    max_unknown_rise: float = 0.10
    min_values: int = 200
    rest_days: int = 14


@dataclass(frozen=True)
class StrategyLimits:
    """What the baseline has to keep; else mixtures are tried (evaluation.md)."""

    mape_nonzero: float = 0.22
    stockout_miss_rate: float = 0.08
    overstock_rate: float = 0.55
    critical_failures: int = 0
    shares: tuple[float, ...] = (1.0, 0.9, 0.8, 0.65)


@dataclass(frozen=True)
class ReviewRules:
    """The deterministic reviewer of promotions (see `review.promotion_by_policy`)."""

    min_p_lower: float = 0.90
    rest_days: int = 14
    max_store_rise: float = 0.25


@dataclass(frozen=True)
class ReplayConfig:
    """A replay of the days from `start` to `end` (both included). horizon: in steps of the grain."""

    start: date
    end: date
    cadence: Cadence = Cadence.WEEKLY
    horizon: int = 14
    families: tuple[str, ...] = (FLOOR, "seasonal_average")
    hitl: Hitl = Hitl.POLICY
    portfolio: Portfolio = Portfolio.AUTO
    grain: str = "D"
    season_length: int = 7
    origins: int = 4
    sealed_days: int = 28
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prophet_top_n: int = 12
    seed: int = 2017
    gates: GatePolicyBody = field(default_factory=GatePolicyBody)
    business: BusinessPolicy = field(default_factory=BusinessPolicy)
    regression: RegressionRules = field(default_factory=RegressionRules)
    watched_days: int = 28
    max_backtest_wape_ratio: float = 1.05
    max_realised_wape_ratio: float = 1.10
    orders: OrderRules = field(default_factory=OrderRules)
    drift: DriftRules = field(default_factory=DriftRules)
    review: ReviewRules = field(default_factory=ReviewRules)
    limits: StrategyLimits = field(default_factory=StrategyLimits)
    currency: str = ""

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("the replay ends before it starts")
        if not 1 <= self.holdout_days <= MOST_DAYS:
            raise ValueError(f"a replay covers 1 to {MOST_DAYS} days, not {self.holdout_days}")
        if self.holdout_days % self.step_days:
            raise ValueError("a replay of weekly demand covers whole weeks")
        if FLOOR not in self.families:
            object.__setattr__(self, "families", (FLOOR, *self.families))
        if self.horizon < self.protection_steps:
            raise ValueError(
                f"the horizon of {self.horizon} step(s) does not cover lead time and review period "
                f"({self.protection_steps} step(s))"
            )

    @property
    def step_days(self) -> int:
        """Days in a step of the grain."""
        return STEP_DAYS[self.grain]

    @property
    def holdout_days(self) -> int:
        """Days replayed."""
        return (self.end - self.start).days + 1

    @property
    def steps(self) -> int:
        """Steps replayed."""
        return self.holdout_days // self.step_days

    @property
    def eve(self) -> date:
        """The last day known when the replay begins."""
        return self.start - timedelta(days=1)

    @property
    def protection_steps(self) -> int:
        """Steps that an order has to last."""
        return -(-self.business.protection_days // self.step_days)

    @property
    def lead_steps(self) -> int:
        """Whole steps between an order and its arrival."""
        return min(self.business.lead_time_days // self.step_days, self.protection_steps - 1)

    @property
    def review_steps(self) -> int:
        """Steps between two orders."""
        return self.protection_steps - self.lead_steps

    def day(self, step: int) -> date:
        """The last day of a step; -1 is the eve."""
        return self.eve + timedelta(days=(step + 1) * self.step_days)

    def in_steps(self, days: int) -> int:
        """Days as steps, at least 1."""
        return max(-(-days // self.step_days), 1)

    @property
    def history_needed(self) -> int:
        """Days before the first training's last day that it needs: sealed days and backtest."""
        backtest = steps_needed(self.horizon, self.origins, self.season_length) * self.step_days
        return backtest + self.sealed_days

    def require_history(self, first_day: date, last_day: date) -> None:
        """Raise EmptyPartition or HoldoutTooLong where the data cannot hold the replay."""
        if first_day >= self.start:
            raise EmptyPartition(f"before {self.start}, when the replay begins")
        if last_day < self.end:
            raise EmptyPartition(f"up to {self.end}, when the replay ends")
        available = ((self.end - first_day).days // self.step_days + 1) * self.step_days  # a first week is a whole one
        if available - self.holdout_days < self.history_needed:
            raise HoldoutTooLong(self.holdout_days, available, self.history_needed)

    def search(self) -> SearchConfig:
        """What each retraining compares."""
        return SearchConfig(
            families=self.families, horizon=self.horizon, origins=self.origins, params=self.params,
            prophet_top_n=self.prophet_top_n, seed=self.seed,
        )  # fmt: skip

    def due(self, step: int) -> bool:
        """Whether the calendar asks for a retraining at the end of this step."""
        if self.cadence == Cadence.DAILY or (self.grain == "W" and self.cadence == Cadence.WEEKLY):
            return True
        if self.cadence == Cadence.WEEKLY:
            return (step + 1) % 7 == 0
        return self.day(step).month != self.day(step + 1).month

    def orders_due(self, step: int) -> bool:
        """Whether orders are placed at the end of this step; none whose first day would lie after the replay."""
        return (step + 1) % self.review_steps == 0 and step + 1 < self.steps

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        out: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if isinstance(value, date):
                out[name] = value.isoformat()
            elif hasattr(value, "to_json"):
                out[name] = value.to_json()
            elif hasattr(value, "__dataclass_fields__"):
                out[name] = {k: list(v) if isinstance(v, tuple) else v for k, v in value.__dict__.items()}
            elif isinstance(value, tuple):
                out[name] = list(value)
            elif isinstance(value, StrEnum):
                out[name] = value.value
            elif isinstance(value, Mapping):
                out[name] = {k: dict(v) for k, v in value.items()}
            else:
                out[name] = value
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReplayConfig:
        """Inverse of `to_json`."""
        values = dict(data)
        values |= {"start": date.fromisoformat(values["start"]), "end": date.fromisoformat(values["end"])}
        values |= {"cadence": Cadence(values["cadence"]), "hitl": Hitl(values["hitl"])}
        values |= {"portfolio": Portfolio(values["portfolio"]), "families": tuple(values["families"])}
        values |= {
            "gates": GatePolicyBody.from_json(values["gates"]),
            "business": BusinessPolicy.from_json(values["business"]),
            "regression": RegressionRules(**values["regression"]),
            "orders": OrderRules(**values["orders"]),
            "drift": DriftRules(**values["drift"]),
            "review": ReviewRules(**values["review"]),
            "limits": StrategyLimits(**{**values["limits"], "shares": tuple(values["limits"]["shares"])}),
        }
        return cls(**values)

    @property
    def sha256(self) -> str:
        """Identity of what was asked."""
        return sha256_text(canonical_json(self.to_json()))
