"""The one way to a tenant's rolling-origin forecasts: who compares, chooses or reconciles asks here, nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from forecasting.engine.backtest import Backtest, Progress
from forecasting.engine.train import SearchConfig, compared
from forecasting.engine.types import ModelSpec, TrainingWindow
from forecasting.services.engine_errors import engine_errors
from forecasting.services.snapshots import demand_snapshot


@dataclass(frozen=True)
class BacktestOutcome:
    """A finished backtest, and what is needed to judge it.

    base: the spec that holds all families compared. classes: unique_id -> demand class (of the days before the first
    origin; for a series that began later, of all its days). static: unique_id, store_id, product_id, category and the
    declared static attributes. values: unique_id, unit_price, unit_cost on the training side (`unit_values`).
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

    It opens the processes that it needs itself, and all of them see one state of the demand. Raises NoDemandLoaded,
    SeriesUnusable, HistoryShort, TrainingRefused, PartitionBroken, SchedulerUnreachable.
    """
    with engine_errors(), demand_snapshot() as demand:
        source = demand.source(window)
        base, result, facts = compared(source, config, progress=progress, executor=demand.executor)
    return BacktestOutcome(
        base=base,
        backtest=result,
        classes=facts.early,
        static=facts.static,
        values=facts.values,
        window=source.window,
        grain=source.grain,
        season_length=source.season_length,
    )
