"""Doors fix the day when something is asked for; the processes of a pool see the frozen window and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
from django.db import connection
from django.test import override_settings

from forecasting.engine.train import SearchConfig, compared
from forecasting.models import ModelVersion
from forecasting.services import chain
from forecasting.services.pool import training_pool
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from forecasting.tests.synthetic import DAYS, LAST, load, make_demand
from forecasting.tests.test_chain import work_off
from ledger.models import RunState
from tenants.models import Tenant


def later_days() -> None:
    """Ten days of demand that come in after something was asked for, wild ones."""
    more = make_demand(stores=1, products=3, days=DAYS + 10)
    last = [row for row, day in enumerate(more["date"].to_pylist()) if day > LAST]
    load(more.take(last), batch_id=2)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE forecasting_demand SET quantity = 1000 * quantity WHERE date > %s", [LAST])
        assert cursor.rowcount == 30


def test_chain__demand_comes_in_between_asking_and_working__is_not_in_it(alpha: Tenant) -> None:
    load(make_demand(stores=1, products=3))
    asked = chain.start_chain(actor=None, families=("seasonal_naive",))
    assert asked.inputs["as_of"] == LAST.isoformat() and asked.state == RunState.QUEUED
    later_days()
    for run in work_off(alpha):
        assert run.inputs["as_of"] == LAST.isoformat()
    version = ModelVersion.objects.get()
    assert version.as_of == LAST and version.serving_window["train_end"] == LAST.isoformat()
    for made in version.forecast_sets.all():
        assert made.origin_date == LAST
        assert max(max(path.yhat) for path in made.paths.all()) < 1000


def _compared() -> list[pd.DataFrame]:
    """The backtest of a frozen window, made by the processes of the pool around it."""
    config = SearchConfig(families=("seasonal_naive",), horizon=7, origins=2)
    with override_settings(SEGMENT_SERIES=2), demand_snapshot() as demand:
        assert demand.executor is not None
        source = demand.source(plan_window(as_of=LAST, mode="evaluation"))
        assert len(source.segments) == 2
        _, result, _ = compared(source, config, executor=demand.executor)
    return [result.frame, result.scales, pd.DataFrame({"fingerprint": [source.window.fingerprint]})]


def same(one: list[pd.DataFrame], other: list[pd.DataFrame]) -> bool:
    return all(a.equals(b) for a, b in zip(one, other, strict=True))


def test_processes_of_a_pool__rows_after_the_window_poisoned__see_nothing_of_it(throwaway: Any) -> None:
    load(make_demand(stores=1, products=3))
    sealed = [LAST - timedelta(days=28)]
    with override_settings(TRAIN_PROCESSES=2), training_pool():
        clean = _compared()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE forecasting_demand SET quantity = 1000 * quantity WHERE date > %s", sealed)
            assert cursor.rowcount == 3 * 28
        assert same(_compared(), clean)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE forecasting_demand SET quantity = 3 WHERE date = %s", sealed)
        assert not same(_compared(), clean)
