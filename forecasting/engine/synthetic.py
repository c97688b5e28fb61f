"""A synthetic retail panel whose truth is known: seeded, made in seconds, for tests and benchmarks.

Each series has a level, a trend, a weekly and a yearly shape; promotions with a lower price lift it, price steps move
it by its elasticity, its store closes on some weekdays and on Christmas, and some series sell only now and then. What
was sold is drawn around that mean from a known law, so that every quantile of every day is known, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.types import RegressorSet

CATEGORIES = ("Bakery", "Dairy", "Drinks", "Frozen", "Produce", "Snacks", "Care", "Cleaning")
REGRESSORS = RegressorSet(known_future=("is_promotional", "unit_price"), static=("category", "store_id"))
YEAR, WEEK = 365.25, 7
PROMO_PRICE = 0.8
PRICE_STEP_DAYS = 91


@dataclass(frozen=True)
class RetailShape:
    """What a panel looks like. Shares are of series (intermittent, sunday_closed: of stores) or of days (promotions).

    noise: standard deviation of a day's demand beyond the counting noise, as a share of its mean; so the variance is
    mean + (noise × mean)². Of the `erratic` share of series it is four times that. ahead: days after the last for which
    promotions and prices are planned.
    """

    series: int = 1000
    days: int = 730
    seed: int = 2017
    start: date = date(2022, 1, 1)
    stores: int = 20
    noise: float = 0.2
    intermittent: float = 0.25
    erratic: float = 0.1
    promotions: float = 0.06
    sunday_closed: float = 0.3
    ahead: int = 28

    def __post_init__(self) -> None:
        if min(self.series, self.days, self.stores) < 1 or self.ahead < 0:
            raise ValueError("series, days and stores must be 1 or more, ahead 0 or more")
        if self.noise <= 0 or not all(0 <= s <= 1 for s in self._shares):
            raise ValueError("noise must be above 0, and shares between 0 and 1")

    @property
    def _shares(self) -> tuple[float, ...]:
        return self.intermittent, self.erratic, self.promotions, self.sunday_closed


@dataclass(frozen=True)
class RetailTruth:
    """The panel's parts as matrices of series × (days + ahead), and what was drawn of the first `days`.

    mean: expected units on a day that takes part; chance: that a day does (a series' own; 1 where not intermittent);
    noise: of each series; demand: what was sold (series × days); closed: the store's own closing days.
    """

    shape: RetailShape
    mean: np.ndarray
    chance: np.ndarray
    noise: np.ndarray
    demand: np.ndarray
    price: np.ndarray
    promotion: np.ndarray
    closed: np.ndarray
    static: pd.DataFrame

    @property
    def expected(self) -> np.ndarray:
        """True mean of each day, series × (days + ahead), units; 0 on closed days."""
        return np.where(self.closed, 0.0, self.mean * self.chance[:, None])

    def quantile(self, probability: float, first: int, last: int) -> np.ndarray:
        """True quantile of each series on the days `first` to `last` (excluded) of the panel, units; 0 when closed."""
        from scipy import stats

        mean, chance = self.mean[:, first:last], self.chance[:, None]
        size, share = _negative_binomial(mean, self.noise)
        inner = np.clip((probability - (1.0 - chance)) / chance, 0.0, 1.0)
        found = stats.nbinom.ppf(np.broadcast_to(inner, mean.shape), size, share)
        sold = np.where(probability <= 1.0 - chance, 0.0, np.maximum(found, 0.0))
        return np.where(self.closed[:, first:last], 0.0, sold)

    def rows(self) -> pd.DataFrame:
        """Long rows of the open days, as a till file has them: unique_id, ds, y, unit_price, unit_cost,
        is_promotional."""
        return self._long(0, self.shape.days).assign(y=self.demand[~self.closed[:, : self.shape.days]])

    def future(self) -> pd.DataFrame:
        """What is planned for the `ahead` days after the last, closed days as well."""
        return self._long(self.shape.days, self.mean.shape[1], closed=True)[
            ["unique_id", "ds", *REGRESSORS.known_future]
        ]

    def _long(self, first: int, last: int, *, closed: bool = False) -> pd.DataFrame:
        days = pd.date_range(pd.Timestamp(self.shape.start), periods=self.mean.shape[1]).to_numpy()
        keep = np.ones((self.shape.series, last - first), dtype=bool) if closed else ~self.closed[:, first:last]
        series, day = np.nonzero(keep)
        price = self.price[:, first:last][keep]
        return pd.DataFrame(
            {
                "unique_id": series.astype("int64") + 1,
                "ds": days[first + day].astype("datetime64[ns]"),
                "unit_price": price,
                "unit_cost": np.round(0.6 * self.price[:, 0], 2)[series],
                "is_promotional": self.promotion[:, first:last][keep].astype("float64"),
            }
        )

    def panel(self) -> Panel:
        """The same as the engine sees it, through the one way that panels are built."""
        return build_panel(
            self.rows(),
            static=self.static,
            future=self.future() if self.shape.ahead else None,
            regressors=REGRESSORS,
            missing_days="closed",
            end=(pd.Timestamp(self.shape.start) + pd.Timedelta(days=self.shape.days - 1)).date(),
        )


def retail(shape: RetailShape | None = None) -> RetailTruth:
    """Draw a panel. The same shape gives the same numbers, whatever the machine's number of cores."""
    shape = shape or RetailShape()
    rng = np.random.default_rng(shape.seed)
    n, length = shape.series, shape.days + shape.ahead
    days = pd.date_range(pd.Timestamp(shape.start), periods=length)
    store, category = rng.integers(0, shape.stores, n), rng.integers(0, len(CATEGORIES), n)
    closed = _closed(rng, shape, days)[store]
    promotion = _promotions(rng, shape, length)
    base = np.round(np.exp(rng.normal(1.2, 0.5, n)), 2)[:, None]
    price = np.round(base * _price_steps(rng, n, length) * np.where(promotion, PROMO_PRICE, 1.0), 2)
    price = np.maximum(price, 0.01)
    elasticity, lift = rng.uniform(-2.0, -0.5, n)[:, None], rng.uniform(0.1, 0.6, n)[:, None]
    log_mean = (
        rng.normal(2.3, 0.9, n)[:, None]
        + rng.normal(0.0, 0.1, n)[:, None] * np.arange(length) / YEAR
        + _weekly(rng, n)[:, days.dayofweek.to_numpy()]
        + _yearly(rng, category, days)
        + elasticity * np.log(price / base)
        + lift * promotion
    )
    mean = np.exp(np.clip(log_mean, -3.0, 8.0))
    chance = np.where(rng.random(n) < shape.intermittent, rng.uniform(0.1, 0.6, n), 1.0)
    noise = shape.noise * np.where(rng.random(n) < shape.erratic, 4.0, 1.0)
    size, share = _negative_binomial(mean[:, : shape.days], noise)
    demand = rng.negative_binomial(size, share).astype("float64")
    demand *= rng.random(demand.shape) < chance[:, None]
    demand[closed[:, : shape.days]] = 0.0
    static = pd.DataFrame(
        {
            "unique_id": np.arange(1, n + 1, dtype="int64"),
            "store_id": [f"S{i:03d}" for i in store],
            "product_id": [f"P{i:05d}" for i in range(n)],
            "category": [CATEGORIES[i] for i in category],
        }
    )
    return RetailTruth(shape, mean, chance, noise, demand, price, promotion, closed, static)


def _negative_binomial(mean: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters n (series × 1) and p (as `mean`) with that mean and variance mean + (noise × mean)²."""
    size = 1.0 / noise[:, None] ** 2
    return size, size / (size + mean)


def _closed(rng: np.random.Generator, shape: RetailShape, days: pd.DatetimeIndex) -> np.ndarray:
    """Stores × days: Christmas for all, Sundays for some, and a fortnight's refit for one store in ten."""
    sundays = rng.random(shape.stores) < shape.sunday_closed
    out = sundays[:, None] & (days.dayofweek == 6)[None, :]
    out |= ((days.month == 12) & (days.day == 25))[None, :]
    begin = rng.integers(0, len(days), shape.stores)
    position = np.arange(len(days))[None, :]
    refit = (rng.random(shape.stores) < 0.1)[:, None]
    return np.asarray(out | (refit & (position >= begin[:, None]) & (position < begin[:, None] + 14)))


def _promotions(rng: np.random.Generator, shape: RetailShape, length: int) -> np.ndarray:
    """Series × days: whole weeks, drawn for each series."""
    weeks = rng.random((shape.series, -(-length // WEEK))) < shape.promotions
    return np.asarray(np.repeat(weeks, WEEK, axis=1)[:, :length])


def _price_steps(rng: np.random.Generator, n: int, length: int) -> np.ndarray:
    """Series × days: a list price that moves once a quarter by some percent."""
    steps = np.cumsum(rng.normal(0.005, 0.02, (n, -(-length // PRICE_STEP_DAYS))), axis=1)
    return np.asarray(np.exp(np.repeat(steps, PRICE_STEP_DAYS, axis=1)[:, :length]))


def _weekly(rng: np.random.Generator, n: int) -> np.ndarray:
    """Series × weekday, in logs: one rhythm for all, bent for each."""
    rhythm = np.array([-0.1, -0.1, -0.05, 0.0, 0.2, 0.35, -0.3])
    return np.asarray(rhythm * rng.uniform(0.4, 1.6, (n, 1)) + rng.normal(0, 0.05, (n, WEEK)))


def _yearly(rng: np.random.Generator, category: np.ndarray, days: pd.DatetimeIndex) -> np.ndarray:
    """Series × days, in logs: a wave for each category."""
    angle = 2 * np.pi * days.dayofyear.to_numpy() / YEAR
    height, phase = rng.uniform(0.05, 0.3, len(CATEGORIES)), rng.uniform(0, 2 * np.pi, len(CATEGORIES))
    return np.asarray((height[:, None] * np.sin(angle[None, :] - phase[:, None]))[category])
