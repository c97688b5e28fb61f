"""The grid, the policies for missing days, and the demand classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.errors import DuplicateDays, NoUsableSeries
from forecasting.engine.panel import absent_regressors, build_panel, classify, revenue_weights
from forecasting.engine.tests.conftest import demand_rows, make_panel
from forecasting.engine.types import RegressorSet


def rows(*triples: tuple[int, str, float]) -> pd.DataFrame:
    return pd.DataFrame(triples, columns=["unique_id", "ds", "y"]).assign(ds=lambda f: pd.to_datetime(f["ds"]))


SPARSE = rows((1, "2022-01-05", 3), (1, "2022-01-02", 2), (2, "2022-01-03", 0), (2, "2022-01-04", 5))


def test_build_panel__sparse_rows__regular_sorted_grid_from_the_first_sale():
    history = build_panel(SPARSE).history
    assert history.groupby("unique_id")["ds"].agg(["min", "max", "size"]).to_numpy().tolist() == [
        [pd.Timestamp("2022-01-02"), pd.Timestamp("2022-01-05"), 4],
        [pd.Timestamp("2022-01-04"), pd.Timestamp("2022-01-05"), 2],
    ]
    assert history["y"].tolist() == [2, 0, 0, 3, 5, 0]
    assert not history["censored"].any()


@pytest.mark.parametrize(
    ("policy", "y", "censored", "closed"),
    [("zero", 0.0, False, False), ("closed", 0.0, False, True), ("unknown", np.nan, True, False)],
)
def test_build_panel__missing_day__follows_the_policy(policy: str, y: float, censored: bool, closed: bool):
    gap = build_panel(SPARSE, missing_days=policy).history.iloc[1]
    assert (gap["censored"], gap["closed"]) == (censored, closed)
    assert gap["y"] == y or (np.isnan(gap["y"]) and np.isnan(y))


def test_build_panel__rows_out_of_order__same_panel():
    mixed = demand_rows(4, 60).sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(make_panel(mixed).history, make_panel(demand_rows(4, 60)).history)


def test_build_panel__stocked_out_day__censored_without_a_value():
    panel = build_panel(SPARSE.assign(censored=[True, False, False, False]))
    assert panel.history.loc[panel.history["censored"], "y"].isna().all()
    assert panel.history["censored"].sum() == 1


def test_build_panel__negative_net_sales__counted_as_zero():
    assert build_panel(rows((1, "2022-01-01", 4), (1, "2022-01-02", -3))).history["y"].tolist() == [4, 0]


def test_build_panel__duplicate_day__error_names_it():
    with pytest.raises(DuplicateDays) as caught:
        build_panel(pd.concat([SPARSE, SPARSE.iloc[:1]]))
    assert caught.value.rows == 1 and caught.value.example[0] == 1


@pytest.mark.parametrize("bad", [SPARSE.iloc[:0], SPARSE.assign(y=np.nan)])
def test_build_panel__nothing_usable__clear_error(bad: pd.DataFrame):
    with pytest.raises(NoUsableSeries):
        build_panel(bad)


def test_build_panel__price_between_sales__carried_forward_never_backward():
    priced = SPARSE.assign(unit_price=[7.0, np.nan, 2.0, 3.0])
    history = build_panel(priced).history
    assert np.isnan(history["unit_price"].iloc[0])
    assert history["unit_price"].iloc[3:5].tolist() == [7.0, 3.0]


def test_build_panel__weekly__steps_of_seven_days_in_one_phase():
    weekly = rows((1, "2022-01-09", 3), (1, "2022-01-30", 2), (2, "2022-01-16", 1))
    panel = build_panel(weekly, grain="W")
    assert panel.history["ds"].dt.dayofweek.eq(6).all() and len(panel.history) == 7
    assert (panel.days, panel.season_length) == (4, 52)


def test_upto__a_day__cuts_history_and_drops_later_series_but_keeps_the_known_future():
    panel = make_panel(demand_rows(4, 60), promo=True)
    late = rows((9, "2022-02-20", 3)).assign(promo=0.0, unit_price=1.0)
    panel = build_panel(
        pd.concat([demand_rows(4, 60), late]), regressors=RegressorSet(known_future=("promo",)), end=panel.last_day
    )
    cut = panel.upto(panel.first_day + pd.Timedelta(days=29))
    assert set(cut.ids) == {1, 2, 3, 4} and cut.days == 30
    assert cut.future is not None and cut.future["ds"].max() == pd.Timestamp(panel.last_day)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5, 6, 5, 6] * 10, "smooth"),
        ([5, 0, 0, 5] * 10, "intermittent"),
        ([1, 30, 2, 1] * 10, "erratic"),
        ([1, 0, 0, 40] * 10, "lumpy"),
        ([0] * 40, "intermittent"),
    ],
)
def test_classify__textbook_series__its_class(values: list[int], expected: str):
    ds = pd.date_range("2022-01-01", periods=len(values))
    panel = build_panel(pd.DataFrame({"unique_id": 1, "ds": ds, "y": values}))
    assert classify(panel).tolist() == [expected]


def test_revenue_weights__prices__share_of_the_last_28_days():
    frame = demand_rows(3, 60)
    weights = revenue_weights(make_panel(frame))
    recent = frame.loc[frame["ds"] > frame["ds"].max() - pd.Timedelta(days=28)]
    value = (recent["y"] * recent["unit_price"]).groupby(recent["unique_id"]).sum()
    assert weights.to_numpy() == pytest.approx((value / value.sum()).to_numpy())


def test_build_panel__plan_in_a_file_of_its_own__stands_in_the_history_too():
    rows = demand_rows(2, 60)[["unique_id", "ds", "y"]]
    days = pd.date_range(rows["ds"].min(), periods=80, freq="D")
    future = pd.DataFrame([(i, day, float(day.day % 5 == 0)) for i in rows["unique_id"].unique() for day in days])
    future.columns = ["unique_id", "ds", "promo"]
    panel = build_panel(rows, future=future, regressors=RegressorSet(known_future=("promo",)))
    assert (panel.history["promo"] == (panel.history["ds"].dt.day % 5 == 0)).all()
    assert absent_regressors(panel) == []


def test_build_panel__plan_that_was_never_given__is_named_as_absent():
    rows = demand_rows(2, 60)[["unique_id", "ds", "y"]]
    panel = build_panel(rows, regressors=RegressorSet(known_future=("promo",)))
    assert absent_regressors(panel) == ["promo"]
