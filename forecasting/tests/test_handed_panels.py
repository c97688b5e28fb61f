"""A panel handed to the run's own processes: the same one, without the database, and gone with the run."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest
from django.db import DatabaseError
from django.test import override_settings

from forecasting.engine.errors import PartitionViolation
from forecasting.engine.panel import Panel
from forecasting.engine.types import TrainingWindow
from forecasting.services.database_source import DatabaseSource
from forecasting.services.handed_panels import Handed, hand, take_back
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from forecasting.tests.test_executors import shop, trained  # noqa: F401  # a fixture
from tenants.models import Tenant


def seen(source: DatabaseSource) -> pd.DataFrame:
    """In another process: the history that a task would work on."""
    return source.panel(source.segments[0]).history


def test_pool__all_series_in_one_segment__same_bytes_as_in_one_process(shop: Tenant) -> None:  # noqa: F811
    with override_settings(TRAIN_PROCESSES=1):
        alone = trained()
    with override_settings(TRAIN_PROCESSES=2):
        assert trained() == alone


def test_task__panel_is_handed_on__its_process_asks_no_database_and_keeps_to_the_window(shop: Tenant) -> None:  # noqa: F811
    with override_settings(TRAIN_PROCESSES=2), demand_snapshot() as demand:
        source, executor = demand.source(plan_window(mode="evaluation")), demand.executor
        assert executor is not None
        task = source.narrow(source.segments[0])
        blind = replace(task, snapshot="00000000-00000000-1")  # whoever reads the database with it is refused
        assert executor.submit(seen, blind).result().equals(source.panel(source.segments[0]).history)
        with pytest.raises(DatabaseError):
            executor.submit(seen, replace(blind, handed=None, token="another")).result()
        narrower = TrainingWindow.refit(source.window.train_start, source.window.train_end - timedelta(days=3))
        with pytest.raises(PartitionViolation):
            executor.submit(seen, replace(blind, window=narrower, token="a third")).result()
    assert task.handed is not None and task.handed.panel() is None


def test_parent__has_read_another_window_since__takes_its_own_up_again_without_the_database(shop: Tenant) -> None:  # noqa: F811
    with override_settings(TRAIN_PROCESSES=2), demand_snapshot() as demand:
        sealed, whole = (demand.source(plan_window(mode=mode)) for mode in ("evaluation", "serving"))
        first = sealed.panel(sealed.segments[0])
        sealed.narrow(sealed.segments[0])
        assert whole.panel(whole.segments[0]).last_day > first.last_day
        blind = replace(sealed, snapshot="00000000-00000000-1")  # whoever reads the database with it is refused
        again = blind.panel(blind.segments[0])
        assert again is not first and again.history.equals(first.history) and again.static.equals(first.static)
        assert blind.over(blind.segments) is blind
    with demand_snapshot() as demand, pytest.raises(DatabaseError):
        blind.panel(blind.segments[0])


def test_task__of_one_of_several_segments__reads_its_own(shop: Tenant) -> None:  # noqa: F811
    with override_settings(TRAIN_PROCESSES=2, SEGMENT_SERIES=2), demand_snapshot() as demand:
        source = demand.source(plan_window(mode="evaluation"))
        assert [source.narrow(one).handed for one in source.segments] == [None, None]


def test_handed__elsewhere_gone_or_something_else__is_none() -> None:
    days = pd.date_range("2026-01-01", periods=9)
    panel = Panel(pd.DataFrame({"unique_id": 1, "ds": days, "y": 2.0}), pd.DataFrame({"unique_id": [1]}))
    here = hand("a token", panel)
    assert hand("a token", panel) == here
    found = here.panel()
    assert found is not None and found.history.equals(panel.history)
    assert replace(here, host="another machine").panel() is None
    assert Handed(here.host, os.getpid(), 999_999).panel() is None
    take_back()
    assert here.panel() is None
