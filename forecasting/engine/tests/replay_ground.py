"""A small world for the tests of the replay: a dozen series whose demand rises halfway, and a walk through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.gates import GatePolicyBody
from forecasting.engine.replay.artifacts import files_of
from forecasting.engine.replay.config import Portfolio, ReplayConfig, ReviewRules
from forecasting.engine.replay.knowledge import Knowledge, Rows
from forecasting.engine.replay.outcome import Outcome, outcome_of
from forecasting.engine.replay.review import Decision, Reviewer
from forecasting.engine.replay.store import Store
from forecasting.engine.replay.walk import Walk

FIRST = date(2025, 1, 1)
DAYS, REPLAYED = 110, 10
RISES_AFTER = 4
END = FIRST + timedelta(days=DAYS - 1)
START = END - timedelta(days=REPLAYED - 1)
EASY = GatePolicyBody(
    bootstrap_resamples=200, coverage80_tolerance=0.5, stockout_rate_tolerance=1.0, overstock_rate_tolerance=1.0,
    max_cost_ratio=2.0, max_total_cost_ratio=2.0, max_total_cost_ratio_with_fewer_stockouts=2.0, max_winkler_ratio=2.0,
    min_p_lower=0.0, max_upper95_change=9.0, bias_tolerance=1.0, free_candidates_per_holdout=20,
)  # fmt: skip
"""Thresholds that let a better model of a small world pass."""
CONFIG = ReplayConfig(
    START, END, horizon=7, families=("seasonal_naive", "seasonal_average"), origins=2, currency="EUR", gates=EASY,
    portfolio=Portfolio.ON, review=ReviewRules(max_store_rise=9.0),
)  # fmt: skip


def demand(series: int = 8, *, days: int = DAYS, rise: float = 2.5, seed: int = 5) -> pd.DataFrame:
    """Poisson demand with a weekly shape; some days into the replay it is `rise` times as much."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(series):
        ds = pd.date_range(FIRST, periods=days)
        level = (6.0 + 2 * i) * (1 + 0.4 * np.sin(2 * np.pi * ds.dayofweek.to_numpy() / 7))
        level = np.where(ds >= pd.Timestamp(START) + pd.Timedelta(days=RISES_AFTER), level * rise, level)
        parts.append(pd.DataFrame({
            "unique_id": i + 1, "ds": ds, "y": rng.poisson(level).astype(float), "unit_price": 3.0 + i % 4,
            "unit_cost": 2.0 + i % 4 / 2,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def rows_of(frame: pd.DataFrame, **rules: Any) -> Rows:
    """The rows with stores and names."""
    ids = sorted(frame["unique_id"].unique())
    table = {"unique_id": ids, "store_id": [f"s{i % 2}" for i in ids], "product_id": [f"p{i}" for i in ids]}
    static = pd.DataFrame({**table, "category": "c"})
    names = {int(i): f"s{i % 2} · p{i}" for i in ids}
    return Rows(frame, static=static, names=names, **rules)


def walk(
    folder: Path,
    frame: pd.DataFrame | None = None,
    config: ReplayConfig = CONFIG,
    given: Mapping[str, Decision] | None = None,
) -> Walk:
    """A walk kept in `folder`, not begun or where it was left."""
    knowledge = Knowledge(rows_of(demand() if frame is None else frame), config)
    return Walk(knowledge, config, Store(folder), Reviewer(config, given or {}))


def outcome(made: Walk) -> Outcome:
    """What a finished walk comes to."""
    return outcome_of(made.state, made.store.lines(), made.knowledge, made.config)


def finished(folder: Path, *args: Any, **kwargs: Any) -> Outcome:
    """Walk to the end."""
    made = walk(folder, *args, **kwargs)
    made.run()
    return outcome(made)


def files(one: Outcome) -> dict[str, str]:
    """Its files."""
    return files_of(one, "Test")


def shorter(days: int, **changes: Any) -> ReplayConfig:
    """The configuration of only the first `days` days."""
    return replace(CONFIG, end=START + timedelta(days=days - 1), **changes)
