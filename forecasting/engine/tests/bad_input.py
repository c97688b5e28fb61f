"""Histories as they come in: one series of each kind of trouble, all in one panel; and small panels to be spoilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.types import RegressorSet

FIRST, DAYS = pd.Timestamp("2023-11-20"), 112  # over New Year and a leap day
QUICK: dict[str, dict[str, Any]] = {
    name: {"rounds": 12, "min_data_in_leaf": 5, "num_threads": 1} for name in ("lightgbm", "lightgbm_direct")
}
NAN = np.nan
PROMO = RegressorSet(known_future=("promo",))


def wave(level: float = 20.0, seed: int = 5) -> np.ndarray:
    """A weekly rhythm with a little noise."""
    day = np.arange(DAYS)
    noise = np.random.default_rng(seed).normal(0, 0.1, DAYS)
    return np.asarray(np.maximum(level * (1 + 0.3 * np.sin(2 * np.pi * day / 7) + noise), 0.0))


def _with(values: np.ndarray, **changes: float) -> np.ndarray:
    """d5=7 puts 7 on the sixth day; z1=7 on the last."""
    out = values.copy()
    for key, value in changes.items():
        out[int(key[1:]) if key[0] == "d" else -int(key[1:])] = value
    return out


_day = np.arange(DAYS)
KINDS: dict[str, np.ndarray] = {
    "calm": wave(),
    "constant": np.full(DAYS, 7.0),
    "zeros": np.zeros(DAYS),
    "one_observation": np.where(_day == DAYS - 1, 5.0, NAN),
    "one_sale_long_ago": np.where(_day == 0, 5.0, 0.0),
    "gaps": np.where(np.random.default_rng(3).random(DAYS) < 0.4, NAN, wave()),
    "leading_zeros": np.where(_day < 90, 0.0, wave()),
    "level_shift_up": np.where(_day < 80, wave(5), wave(200)),
    "level_shift_down": np.where(_day < 80, wave(200), wave(5)),
    "shift_in_the_last_days": np.where(_day < DAYS - 4, wave(5), wave(300)),
    "outlier_long_ago": _with(wave(), d60=1e6),
    "outlier_last_week": _with(wave(), z4=1e6),
    "outlier_last_day": _with(wave(), z1=1e6),
    "two_outliers": _with(wave(), z20=1e6, z1=1e6),
    "negative_net_sales": _with(wave(), d10=-50.0, z1=-400.0),
    "only_returns": -wave(),
    "starts_inside_the_backtest": np.where(_day < DAYS - 10, NAN, wave()),
    "one_weekday_only": np.where(_day % 7 == 2, 30.0, 0.0),
    "tiny": wave(1e-9),
    "huge": wave(1e12),
    "stopped_selling": np.where(_day < 70, wave(), 0.0),
    "every_other_day": np.where(_day % 2 == 0, 1000.0, 0.0),
    "doubling": 2.0 ** (_day / 8),
    "halving": 2.0 ** ((DAYS - _day) / 8),
    "falling_to_nothing": np.maximum(220.0 - 2.0 * _day, 0.0),
    "last_month_stocked_out": wave(),
    "always_stocked_out": wave(),
    "stocked_out_but_for_one_day": wave(),
}
_STOCKED_OUT = {
    "last_month_stocked_out": _day >= DAYS - 30,
    "always_stocked_out": _day >= 0,
    "stocked_out_but_for_one_day": _day != 50,
}
OUTLIERS = ("outlier_long_ago", "outlier_last_week", "outlier_last_day", "two_outliers")
NOTHING_SOLD = ("zeros", "only_returns")
ID_OF = {kind: number for number, kind in enumerate(KINDS, start=1)}


def troubled_rows() -> pd.DataFrame:
    """Sparse rows of all kinds."""
    days = pd.date_range(FIRST, periods=DAYS)
    parts = [
        pd.DataFrame({"unique_id": ID_OF[kind], "ds": days, "y": values,
                      "censored": _STOCKED_OUT.get(kind, np.zeros(DAYS, dtype=bool))}).dropna(subset="y")
        for kind, values in KINDS.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def troubled_panel() -> Panel:
    """All kinds in one panel."""
    return build_panel(troubled_rows(), country="US")


def plain_rows(series: int = 3, days: int = 70, **columns: Callable[[np.random.Generator, int], Any]) -> pd.DataFrame:
    """Well-behaved rows; columns: what else they carry, made from (generator, days)."""
    rng = np.random.default_rng(1)
    parts = [
        pd.DataFrame({
            "unique_id": number + 1,
            "ds": pd.date_range(FIRST, periods=days),
            "y": np.maximum(20 * (1 + 0.3 * np.sin(2 * np.pi * np.arange(days) / 7)) + rng.normal(0, 2, days), 0),
            **{name: make(rng, days) for name, make in columns.items()},
        })
        for number in range(series)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def plan(rows: pd.DataFrame, value: Any = 1.0, *, name: str = "promo", days: int = 14) -> pd.DataFrame:
    """The same value of a regressor for each series on the days after the last."""
    ahead = pd.date_range(rows["ds"].max() + pd.Timedelta(days=1), periods=days)
    ids = rows["unique_id"].drop_duplicates()
    grid = pd.MultiIndex.from_product([ids, ahead], names=["unique_id", "ds"]).to_frame(index=False)
    return grid.assign(**{name: value})


def promo(rng: np.random.Generator, days: int) -> np.ndarray:
    """On promotion on every fifth day or so."""
    return np.asarray((rng.random(days) < 0.2).astype(float))


def every(value: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """The same value on all days."""
    return lambda rng, days: np.full(days, value)


def some(value: float, other: float = 1.0) -> Callable[[np.random.Generator, int], np.ndarray]:
    """`value` on a third of the days, `other` on the rest."""
    return lambda rng, days: np.where(rng.random(days) < 0.3, value, other)
