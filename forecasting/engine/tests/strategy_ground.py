"""A small made-up backtest for the tests of the strategy cycle."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest
from forecasting.engine.business import BusinessPolicy
from forecasting.engine.types import ModelSpec

POLICY = BusinessPolicy()
NOISE = {"seasonal_naive": 0.5, "lightgbm": 0.25, "prophet": 0.25}


def made_backtest(
    *,
    series: int = 12,
    origins: int = 3,
    horizon: int = 7,
    noise: dict[str, float] | None = None,
    seed: int = 3,
    first: date = date(2026, 2, 10),
) -> tuple[Backtest, pd.Series]:
    """Random demand, families that forecast its mean with errors of their own, and the demand classes.

    noise: family -> spread of its error. prophet declines every third series; every fourth series is intermittent.
    """
    noise = noise or NOISE
    rng = np.random.default_rng(seed)
    days = [first + timedelta(days=k * horizon) for k in range(origins)]
    ids = np.repeat(np.arange(1, series + 1), origins * horizon)
    at = np.tile(np.repeat(np.arange(origins), horizon), series)
    h = np.tile(np.arange(1, horizon + 1), series * origins)
    start = pd.to_datetime(days).to_numpy().astype("datetime64[ns]")[at]
    mean = rng.uniform(5, 40, series)[ids - 1]
    table = {
        "unique_id": ids, "origin": start, "ds": start + h.astype("timedelta64[D]"), "h": h.astype("int64"),
        "y": rng.poisson(mean).astype("float64"), "censored": False, "closed": False,
    }  # fmt: skip
    frame = pd.DataFrame(table)
    for name, spread in noise.items():
        frame[name] = mean * rng.lognormal(0.0, spread, len(frame))
    if "prophet" in noise:
        frame.loc[ids % 3 == 0, "prophet"] = np.nan
    scales = frame[["unique_id", "origin"]].drop_duplicates().reset_index(drop=True)
    scales = scales.assign(rmsse_scale=30.0, mase_scale=4.0, weight=scales["unique_id"] / series**2)
    declined = pd.DataFrame(columns=["unique_id", "origin", "family", "reason"])
    classes = pd.Series(
        ["intermittent" if k % 4 == 0 else "smooth" for k in range(1, series + 1)],
        index=pd.Index(range(1, series + 1), name="unique_id"),
    )
    return Backtest(frame, scales, declined, tuple(noise), horizon, tuple(days)), classes


def base_spec(backtest: Backtest) -> ModelSpec:
    """The spec that holds all families of a backtest."""
    return ModelSpec(families=backtest.families, horizon=backtest.horizon)


def unit_values(backtest: Backtest, price: float | None = 3.0, cost: float | None = 2.0) -> pd.DataFrame:
    """The same price and cost for every series."""
    ids = sorted(backtest.frame["unique_id"].unique())
    table = {"unique_id": ids, "unit_price": price, "unit_cost": cost}
    return pd.DataFrame(table).astype({"unit_price": "float64", "unit_cost": "float64"})
