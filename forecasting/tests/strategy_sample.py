"""A small backtest, the report that a strategy cycle makes of it, and a cycle in the registry, for tests."""

from __future__ import annotations

import copy
import tempfile
import uuid
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from django.contrib.auth.models import User

from forecasting.engine.backtest import Backtest
from forecasting.engine.business import BusinessPolicy
from forecasting.engine.strategy import sweep
from forecasting.engine.strategy_choice import recommend
from forecasting.engine.types import ModelSpec, TrainingWindow
from forecasting.models import StrategyCycle
from forecasting.services.strategy import keep_cycle, report_of, write_files
from forecasting.tests.factories import AS_OF
from integrations.services.artifacts import keep_artifacts

FAMILIES = ("seasonal_naive", "lightgbm", "prophet")
POLICY = BusinessPolicy()


def made_backtest(
    *, series: int = 12, origins: int = 3, horizon: int = 7, noise: dict[str, float] | None = None, seed: int = 3
) -> tuple[Backtest, pd.Series]:
    """Random demand, and families that forecast its mean with errors of their own; prophet declines every third series.

    noise: family -> spread of its error. Demand classes: every fourth series is intermittent.
    """
    noise = noise or {"seasonal_naive": 0.5, "lightgbm": 0.25, "prophet": 0.25}
    rng = np.random.default_rng(seed)
    first = AS_OF - timedelta(days=28 + origins * horizon)
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
    scales = scales.assign(rmsse_scale=30.0, mase_scale=4.0, weight=1.0 / series)
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


@cache
def _report(price: float | None) -> dict[str, Any]:
    backtest, classes = made_backtest()
    found = sweep(backtest, base_spec(backtest), classes, unit_values(backtest, price, price), POLICY, resamples=200)
    window = TrainingWindow.plan(AS_OF - timedelta(days=119), AS_OF).with_fingerprint("f" * 64)
    asked = {"as_of": AS_OF.isoformat(), "horizon": 7, "origins": 3, "families": list(FAMILIES)}
    return report_of(asked, window, found, recommend(found), "EUR")


def sample_report(price: float | None = 3.0) -> dict[str, Any]:
    """A report of a real sweep of twelve made-up series; without a price it goes by WAPE."""
    return copy.deepcopy(_report(price))


def make_cycle(*, by: User | None = None, price: float | None = 3.0, as_of: date = AS_OF) -> StrategyCycle:
    """A cycle with its proposal and files in the current schema."""
    report, run_id = sample_report(price), uuid.uuid4()
    report["window"]["as_of"] = as_of.isoformat()
    name = by.get_username() if by is not None else "system"
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(report, Path(folder))
        with keep_artifacts(folder=f"strategy/{run_id}/1", paths=paths) as kept:
            files = [one.as_dict() for one in kept]
            return keep_cycle(run_id=run_id, report=report, files=files, actor=by, by=name)
