"""The partition contract: one door, a fingerprint of content, and nothing after train_end ever matters."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest
from django.db import connection
from django.test import override_settings

from forecasting.engine.types import TrainingWindow
from forecasting.errors import (
    AsOfOutsideData,
    HistoryShort,
    HoldoutBudgetSpent,
    NoDemandLoaded,
    PartitionBroken,
    SeriesUnusable,
)
from forecasting.models import Demand, HoldoutAccess, KnownFuture, ModelVersion, Series
from forecasting.services import loading, windows
from forecasting.services.artifacts import load_fit
from forecasting.services.loading import load_panel, load_series, load_training, open_holdout, window_fingerprint
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from forecasting.tests.synthetic import FIRST, LAST, activate, load, make_contract, make_demand, train
from ledger.models import AuditEvent

PROMO = {
    "field_map": {"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "a": "is_promotional"},
    "covariates": {"known_future": ["is_promotional"], "static": ["category"]},
}


def evaluation_side(version: ModelVersion) -> dict:
    """Everything that may depend on the training rows only."""
    window = TrainingWindow.from_json(version.evaluation_window)
    forecast = load_fit(version, "evaluation").forecast(load_panel(window), 14)
    return {
        "files": dict(version.artifacts.filter(role="evaluation").values_list("name", "sha256")),
        "spec": version.spec.sha256,
        "window": version.evaluation_window,
        "backtest": version.backtest,
        "forecast": pd.util.hash_pandas_object(forecast).tolist(),
    }


def test_training__rows_after_train_end_poisoned__evaluation_side_is_bit_identical(alpha, few_rounds):
    load(make_demand(stores=1, products=3))
    before = train(families=["lightgbm"])
    clean = evaluation_side(before)
    window = TrainingWindow.from_json(before.evaluation_window)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE forecasting_demand SET quantity = quantity * 1000, unit_price = unit_price * 1000,"
            " unit_cost = unit_cost * 1000 WHERE date > %s",
            [window.train_end],
        )
        assert cursor.rowcount == 3 * 28
    after = train(families=["lightgbm"])
    assert evaluation_side(after) == clean
    assert clean["window"]["fingerprint"] == window_fingerprint(window)
    # The poison was there: what serves has seen it.
    assert after.serving_window["fingerprint"] != before.serving_window["fingerprint"]
    assert set(after.artifacts.filter(role="serving").values_list("sha256", flat=True)) != set(
        before.artifacts.filter(role="serving").values_list("sha256", flat=True)
    )


def test_fingerprint__rows_rewritten_in_another_order_under_other_ids__is_the_same(alpha):
    load(make_demand(days=20))
    window = TrainingWindow.refit(FIRST, FIRST + timedelta(days=15))
    before = window_fingerprint(window)
    demand = list(Demand.objects.order_by("-date", "series_id").values())
    series = list(Series.objects.order_by("-pk").values())
    Demand.objects.all().delete()
    Series.objects.all().delete()
    for row in series:
        row["id"] = 5000 - row["id"]
    Series.objects.bulk_create(Series(**row) for row in series)
    Demand.objects.bulk_create(Demand(**{**row, "series_id": 5000 - row["series_id"]}) for row in demand)
    assert window_fingerprint(window) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE forecasting_demand SET quantity = quantity + 1e-9 WHERE date = '2017-01-03' AND quantity > 0",
        "UPDATE forecasting_demand SET unit_price = NULL, on_hand_qty = unit_price WHERE date = '2017-01-03'",
        "UPDATE forecasting_demand SET stocked_out = true WHERE date = '2017-01-03'",
        "DELETE FROM forecasting_demand WHERE date = '2017-01-03'",
        "UPDATE forecasting_series SET category = 'other' WHERE store_id = 'S0'",
    ],
)
def test_fingerprint__content_changed_inside_the_window__differs(alpha, change):
    load(make_demand(days=20))
    window = TrainingWindow.refit(FIRST, FIRST + timedelta(days=15))
    before = window_fingerprint(window)
    with connection.cursor() as cursor:
        cursor.execute(change)
        assert cursor.rowcount > 0
    assert window_fingerprint(window) != before


def known_future(window: TrainingWindow, ahead: int = 0) -> pd.DataFrame:
    future = load_panel(window, ahead=ahead).future
    assert future is not None
    return future


def test_load_training__window__panel_ends_at_train_end_and_known_future_too(alpha):
    contract = make_contract(**PROMO)
    activate(contract)
    day = LAST + timedelta(days=1)
    demand = make_demand(is_promotional=[0.0] * 8 * 150)
    load(demand, contract=contract)
    ids = Series.objects.values_list("pk", flat=True)
    KnownFuture.objects.bulk_create(
        KnownFuture(series_id=i, date=day, values={"is_promotional": 1.0}, batch_id=1) for i in ids
    )
    window = plan_window(as_of=LAST)
    loaded = load_training(window)
    assert loaded.panel.last_day == window.train_end == LAST - timedelta(days=28)
    assert known_future(window)["ds"].max() == pd.Timestamp(window.train_end)
    serving = plan_window(as_of=LAST, mode="serving")
    assert known_future(serving)["ds"].max() == pd.Timestamp(LAST)
    ahead = known_future(serving, ahead=1)
    assert ahead.loc[ahead["ds"] == pd.Timestamp(day), "is_promotional"].tolist() == [1.0] * 8


def test_load_panel__absent_covariate_with_a_fill_value__is_filled_where_the_file_reaches(alpha):
    contract = make_contract(**PROMO, null_policy={"is_promotional": {"fill_value": 0}})
    activate(contract)
    load(make_demand(stores=1, products=2, is_promotional=[0.0] * 300), contract=contract)
    one = Series.objects.earliest("pk")
    last = LAST + timedelta(days=5)
    KnownFuture.objects.create(series=one, date=last, values={"is_promotional": 1.0}, batch_id=1)
    future = known_future(plan_window(mode="serving"), ahead=14)
    ahead = future.loc[future["ds"] > pd.Timestamp(LAST)]
    assert len(ahead) == 10 and ahead["ds"].max() == pd.Timestamp(last)
    assert ahead["is_promotional"].sum() == 1.0


def segment_of(window: TrainingWindow, ahead: int) -> pd.DataFrame:
    with override_settings(SEGMENT_SERIES=1), demand_snapshot() as demand:
        source = demand.source(window, ahead=ahead)
        assert len(source.segments) == 2
        return source.panel(source.segments[1]).history


DOORS = {
    "training": lambda window, ahead: load_training(window, ahead=ahead),
    "one series": lambda window, ahead: load_series(window, Series.objects.earliest("pk").pk, ahead=ahead),
    "a segment": segment_of,
}


@pytest.mark.parametrize("door", DOORS)
def test_doors__filter_of_the_query_fails__assertion_on_the_frame_holds(alpha, monkeypatch, door):
    load(make_demand(stores=1, products=2))
    window = plan_window(as_of=LAST)
    real = loading._demand_rows
    monkeypatch.setattr(
        loading, "_demand_rows", lambda end, *given, **named: real(end + timedelta(days=1), *given, **named)
    )
    with pytest.raises(PartitionBroken, match=f"row.s. lie after the end of training .{window.train_end}"):
        DOORS[door](window, 0)


@pytest.mark.parametrize("ahead", [0, 7])
@pytest.mark.parametrize("door", DOORS)
def test_doors__filter_of_the_plans_fails__assertion_on_the_frame_holds(alpha, monkeypatch, door, ahead):
    contract = make_contract(**PROMO)
    activate(contract)
    load(make_demand(stores=1, products=2, is_promotional=[0.0] * 300), contract=contract)
    window = plan_window(as_of=LAST)
    for series in Series.objects.all():
        for day in range(12):
            date = window.train_end + timedelta(days=day)
            KnownFuture.objects.create(series=series, date=date, values={"is_promotional": 1.0}, batch_id=1)
    DOORS[door](window, ahead)
    real = loading._future_rows
    monkeypatch.setattr(
        loading, "_future_rows", lambda end, days, *given, **named: real(end, days + 1, *given, **named)
    )
    with pytest.raises(PartitionBroken, match=str(window.train_end + timedelta(days=ahead))):
        DOORS[door](window, ahead)


def test_plan_window__no_demand_or_day_outside__says_what_there_is(alpha):
    with pytest.raises(NoDemandLoaded, match="onboard"):
        plan_window()
    load(make_demand(stores=1, products=1))
    with pytest.raises(AsOfOutsideData, match=str(LAST)):
        plan_window(as_of=LAST + timedelta(days=1))
    with pytest.raises(AsOfOutsideData, match=str(FIRST)):
        plan_window(as_of=FIRST - timedelta(days=1))
    with pytest.raises(HistoryShort):
        plan_window(as_of=FIRST + timedelta(days=5))


def test_require_history__too_short__says_how_many_days_are_needed(alpha):
    load(make_demand(stores=1, products=1, days=60))
    with pytest.raises(HistoryShort) as caught:
        windows.require_history(as_of=None, horizon=14)
    assert caught.value.available == 60
    needed = caught.value.needed
    assert str(needed) in str(caught.value)
    load(make_demand(stores=1, products=1, days=needed), batch_id=2)
    assert windows.require_history(as_of=None, horizon=14) == (FIRST + timedelta(days=needed - 1), 14)
    with pytest.raises(HistoryShort):
        windows.require_history(as_of=FIRST + timedelta(days=needed - 2), horizon=14)


def test_load_panel__only_stocked_out_days__no_usable_series(alpha):
    load(make_demand(stores=1, products=1, days=40, on_hand_qty=[0.0] * 40))
    with pytest.raises(SeriesUnusable, match="0 usable series"):
        load_panel(plan_window(mode="serving"))


def test_open_holdout__second_opening__needs_a_reason_and_every_one_is_recorded(alpha):
    load(make_demand(stores=1, products=2))
    version = train()
    first = uuid.uuid4()
    opened = open_holdout(candidate=version, run_id=first, actor=None)
    assert load_panel(opened).last_day == LAST
    open_holdout(candidate=version, run_id=first, actor=None)
    assert HoldoutAccess.objects.count() == 1
    with pytest.raises(HoldoutBudgetSpent, match="1 time"):
        open_holdout(candidate=version, run_id=uuid.uuid4(), actor=None)
    open_holdout(candidate=version, run_id=uuid.uuid4(), actor=None, reason="the first run lost its report")
    assert HoldoutAccess.objects.count() == 2
    assert AuditEvent.objects.filter(event="holdout.opened").count() == 2


def test_window__with_fingerprint__survives_its_json(alpha):
    load(make_demand(stores=1, products=1))
    window = load_training(plan_window(as_of=LAST)).window
    assert TrainingWindow.from_json(window.to_json()) == window
    assert replace(window, fingerprint="").fingerprint != window.fingerprint
