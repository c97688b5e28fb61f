"""The one way to a tenant's rolling-origin forecasts: who compares, chooses or reconciles asks here, nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from forecasting.engine.backtest import Backtest, Progress
from forecasting.engine.business import unit_values
from forecasting.engine.train import SearchConfig, config_backtest
from forecasting.engine.types import ModelSpec, TrainingWindow
from forecasting.services.engine_errors import engine_errors
from forecasting.services.loading import load_training
from forecasting.services.pool import training_pool


@dataclass(frozen=True)
class BacktestOutcome:
    """A finished backtest, and what is needed to judge it.

    base: the spec that holds all families compared. classes: unique_id -> demand class (of the days before the first
    origin; for a series that began later, of all its days). static: unique_id, store_id, product_id, category and the
    declared static attributes. values: unit_price and unit_cost of each series (index unique_id) on the training side.
    window: with the fingerprint of the rows that were read.
    """

    base: ModelSpec
    backtest: Backtest
    classes: pd.Series
    static: pd.DataFrame
    values: pd.DataFrame
    window: TrainingWindow
    grain: str
    season_length: int


def run_backtest(*, window: TrainingWindow, config: SearchConfig, progress: Progress | None = None) -> BacktestOutcome:
    """Fit every family of `config` at its rolling origins inside `window` and forecast: what is sealed stays unread.

    It opens the processes that it needs itself. Raises NoDemandLoaded, SeriesUnusable, HistoryShort, TrainingRefused,
    PartitionBroken.
    """
    loaded = load_training(window)
    panel = loaded.panel
    with engine_errors(), training_pool() as executor:
        base, result, classes = config_backtest(panel, config, progress=progress, executor=executor)
    return BacktestOutcome(
        base=base,
        backtest=result,
        classes=classes,
        static=panel.static,
        values=unit_values(panel),
        window=loaded.window,
        grain=panel.grain,
        season_length=panel.season_length,
    )
