"""Small synthetic panels, seeded; and one search with its fitted model, made once."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import train
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.types import RegressorSet, TrainingWindow

FAST = {"lightgbm": {"rounds": 40, "min_data_in_leaf": 10, "num_threads": 1}}
START = pd.Timestamp("2022-01-01")


def demand_rows(series: int = 24, days: int = 200, seed: int = 7, base: float = 20.0) -> pd.DataFrame:
    """Poisson demand with a weekly shape, a promotion effect and, for each fourth series, many zeros."""
    rng = np.random.default_rng(seed)
    ds = pd.date_range(START, periods=days)
    parts = []
    for i in range(series):
        promo = (rng.random(days) < 0.1).astype(float)
        level = base * (0.5 + rng.random())
        shape = 1.0 + 0.4 * np.sin(2 * np.pi * (ds.dayofweek.to_numpy() + i % 3) / 7)
        y = rng.poisson(level * shape * (1 + 0.6 * promo)).astype(float)
        if i % 4 == 3:
            y *= rng.random(days) < 0.3
        price = 2.0 + i % 5
        parts.append(pd.DataFrame({"unique_id": i + 1, "ds": ds, "y": y, "promo": promo, "unit_price": price}))
    return pd.concat(parts, ignore_index=True)


def statics(series: int) -> pd.DataFrame:
    """Attributes: two stores, three categories."""
    ids = np.arange(1, series + 1)
    category = [f"c{i % 3}" for i in ids]
    table = {"unique_id": ids, "store_id": [f"s{i % 2}" for i in ids], "product_id": "p", "category": category}
    return pd.DataFrame(table)


def make_panel(rows: pd.DataFrame | None = None, *, promo: bool = False, **options: Any) -> Panel:
    """A panel from `demand_rows`; promo=True declares the promotion as known in the future."""
    rows = demand_rows() if rows is None else rows
    regressors = RegressorSet(known_future=("promo",) if promo else (), static=("category",))
    return build_panel(
        rows, static=statics(int(rows["unique_id"].max())), regressors=regressors, country="US", **options
    )


@pytest.fixture(scope="session")
def panel() -> Panel:
    """24 series, 200 days, no future regressors."""
    return make_panel()


@pytest.fixture(scope="session")
def window(panel: Panel) -> TrainingWindow:
    """The sealed window of the panel."""
    return TrainingWindow.plan(panel.first_day, panel.last_day)


@pytest.fixture(scope="session")
def config() -> train.SearchConfig:
    """A quick search without prophet."""
    return train.SearchConfig(families=("seasonal_naive", "lightgbm"), params=FAST)


@pytest.fixture(scope="session")
def outcome(panel: Panel, window: TrainingWindow, config: train.SearchConfig) -> train.SearchOutcome:
    """A search on the training side of the panel."""
    return train.search(panel.upto(window.train_end), config)


@pytest.fixture(scope="session")
def model(panel: Panel, window: TrainingWindow, outcome: train.SearchOutcome) -> FittedModel:
    """The chosen spec fitted up to the holdout."""
    return fit(panel.upto(window.train_end), outcome.spec, outcome.evaluation.calibration, window=window)


@pytest.fixture(scope="session")
def holdout(panel: Panel, window: TrainingWindow, model: FittedModel) -> pd.DataFrame:
    """Its forecasts of the sealed holdout beside the actuals."""
    return train.holdout_forecasts(panel, model, window)


def day(offset: int) -> date:
    """The day `offset` days after the panels start."""
    return (START + pd.Timedelta(days=offset)).date()
