"""The direct family: no row sees past its origin, what is planned counts, what is saved predicts the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.backtest import backtest
from forecasting.engine.errors import MissingRegressor
from forecasting.engine.families import get_family
from forecasting.engine.families.lightgbm_direct import FittedDirect, training_rows
from forecasting.engine.features_direct import features, gather_facts
from forecasting.engine.features_known import steps_ahead
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.conftest import START, demand_rows, make_panel, statics
from forecasting.engine.types import ModelSpec, RegressorSet

HORIZON = 10
QUICK = {"lightgbm_direct": {"rounds": 30, "min_data_in_leaf": 10}}
SPEC = ModelSpec(("lightgbm_direct",), horizon=HORIZON, params=QUICK)
FAMILY = get_family("lightgbm_direct")
REGRESSORS = RegressorSet(
    known_future=("is_promotional", "unit_price"), historic_only=("stock",), static=("category", "store_id")
)


def full_rows(series: int = 8, days: int = 160) -> pd.DataFrame:
    """Demand with a promotion, a price that moves, stock, some censored days."""
    rows = demand_rows(series, days).rename(columns={"promo": "is_promotional"})
    number = np.arange(len(rows))
    return rows.assign(
        unit_price=rows["unit_price"] * (1 + 0.1 * np.sin(number / 9)),
        stock=50.0 + number % 17,
        censored=number % 53 == 0,
    )


def full_panel(rows: pd.DataFrame, last: pd.Timestamp) -> Panel:
    """History up to `last`; what is planned reaches over all rows."""
    plan = rows[["unique_id", "ds", "is_promotional", "unit_price"]]
    return build_panel(
        rows.loc[rows["ds"] <= last], static=statics(8), future=plan, regressors=REGRESSORS, country="US"
    )


LAST = START + pd.Timedelta(days=139)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return full_rows()


@pytest.fixture(scope="module")
def panel(rows: pd.DataFrame) -> Panel:
    return full_panel(rows, LAST)


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> FittedDirect:
    made = FAMILY.fit(panel, SPEC)
    assert isinstance(made, FittedDirect)
    return made


def test_features__sales_and_stock_after_each_rows_origin_changed__not_one_feature_changes(panel, fitted):
    """Each row is made again with everything after its own origin changed: y, its marks, what is only historic."""
    facts = gather_facts(panel, fitted.state, HORIZON)
    rows = training_rows(facts, HORIZON)
    before, names = features(facts, rows, HORIZON)
    assert {
        "sales_mean_28",
        "sales_same_weekday_4",
        "stock_at_origin",
        "unit_price_relative",
        "is_promotional_until",
    } <= {*names}
    back = ((panel.history["ds"].max() - panel.history["ds"]) // panel.step).to_numpy()
    column = facts.grid.width - 1 - back
    seen = 0
    for origin in (20, 45, 70, 111):
        history = panel.history.copy()
        later = column > origin
        history.loc[later, "y"] = history.loc[later, "y"] * 1000.0 + 7.0
        history.loc[later & (column % 3 == 0), "y"] = np.nan
        history.loc[later, "stock"] = -9.0
        history.loc[later, "closed"] = column[later] % 2 == 0
        made, _ = features(gather_facts(replace(panel, history=history), fitted.state, HORIZON), rows, HORIZON)
        of_origin = rows.origin <= origin
        assert np.array_equal(made[:, of_origin], before[:, of_origin], equal_nan=True)
        assert not np.array_equal(made[:, ~of_origin], before[:, ~of_origin], equal_nan=True)
        seen += int((rows.origin == origin).sum())
    assert seen > 0


def test_features__plan_after_the_horizon_changed__not_one_feature_changes(rows, panel, fitted):
    """What is planned later than the forecast reaches is not known at its origin, though the file may hold it."""
    far = rows["ds"] > LAST + pd.Timedelta(days=HORIZON)
    other = rows.assign(
        is_promotional=rows["is_promotional"].where(~far, 1.0), unit_price=rows["unit_price"].where(~far, 99.0)
    )
    assert far.any()
    one, two = (fitted.predict(p, HORIZON) for p in (panel, full_panel(other, LAST)))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    # A training row of origin o may use the plan up to o + horizon, and nothing behind it.
    facts = gather_facts(panel, fitted.state, HORIZON)
    learned = training_rows(facts, HORIZON)
    made, names = features(facts, learned, HORIZON)
    until = made[names.index("is_promotional_until")]
    planned = facts.until["is_promotional_until"][learned.series, learned.day]
    beyond = planned > HORIZON - learned.h
    assert beyond.any() and (until[beyond] == 28).all() and (until[~beyond] == planned[~beyond]).all()


@pytest.mark.parametrize("poison", [1000.0, np.nan, -3.0, 0.0], ids=["times 1000", "gone", "negative", "zero"])
def test_poison__everything_after_the_origin__models_and_forecasts_bit_identical(rows, panel, fitted, tmp_path, poison):
    late = rows["ds"] > LAST
    bad = rows.assign(
        y=rows["y"].where(~late, rows["y"] * poison), stock=rows["stock"].where(~late, rows["stock"] * poison)
    )
    known = full_panel(bad, rows["ds"].max()).upto(LAST)
    other = FAMILY.fit(known, SPEC)
    for part, name in ((fitted, "a"), (other, "b")):
        (tmp_path / name).mkdir()
        part.save(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    pd.testing.assert_frame_equal(other.predict(known, HORIZON), fitted.predict(panel, HORIZON), check_exact=True)


def test_historic_only__days_after_the_origin__never_asked_for(panel, fitted):
    assert "stock_at_origin" in fitted.state["features"] and "stock" not in fitted.state["features"]
    assert fitted.predict(panel, HORIZON)["yhat"].notna().all()


def test_known_future__missing_day__error_names_it(rows, panel, fitted):
    short = panel.future.loc[panel.future["ds"] <= LAST + pd.Timedelta(days=4)]
    with pytest.raises(MissingRegressor, match="is_promotional") as caught:
        fitted.predict(replace(panel, future=short), HORIZON)
    assert set(caught.value.names) == {"is_promotional", "unit_price"}
    assert caught.value.first_missing == (LAST + pd.Timedelta(days=5)).date()


def test_known_future__promotion_planned__raises_the_forecast(rows):
    made = []
    family_spec = replace(SPEC, params={"lightgbm_direct": {"rounds": 100, "min_data_in_leaf": 10}})
    model = FAMILY.fit(full_panel(rows, LAST), family_spec)
    for promo in (0.0, 1.0):
        plan = rows.assign(is_promotional=rows["is_promotional"].where(rows["ds"] <= LAST, promo))
        made.append(model.predict(full_panel(plan, LAST), HORIZON)["yhat"].sum())
    assert made[1] > 1.15 * made[0]


def test_save_and_load__also_after_rolling__bit_identical(rows, fitted, tmp_path):
    files = fitted.save(tmp_path)
    again = FAMILY.load(tmp_path)
    for days in (0, 5):
        known = full_panel(rows, LAST + pd.Timedelta(days=days))
        pd.testing.assert_frame_equal(again.predict(known, HORIZON), fitted.predict(known, HORIZON), check_exact=True)
    (tmp_path / "again").mkdir()
    assert again.save(tmp_path / "again") == files
    assert all((tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_predict__one_series_alone__same_bits_as_among_all(panel, fitted):
    whole = fitted.predict(panel, HORIZON)
    for series in (1, 4, 8):
        alone = fitted.predict(panel.subset([series]), HORIZON)
        pd.testing.assert_frame_equal(
            alone, whole.loc[whole["unique_id"] == series].reset_index(drop=True), check_exact=True
        )


def test_predict__history_that_began_earlier_elsewhere__same_bits(panel, fitted):
    """A long series beside it only adds empty columns before a short one."""
    young = panel.history["unique_id"].isin([2, 3])
    late = panel.history["ds"] > START + pd.Timedelta(days=60)
    known = replace(panel, history=panel.history.loc[~young | late].reset_index(drop=True))
    whole = fitted.predict(known, HORIZON)
    alone = fitted.predict(known.subset([2, 3]), HORIZON)
    pd.testing.assert_frame_equal(
        alone, whole.loc[whole["unique_id"].isin([2, 3])].reset_index(drop=True), check_exact=True
    )


def test_backtest__gap__days_between_are_not_seen_and_all_steps_are_there(panel):
    origin = (LAST - pd.Timedelta(days=HORIZON)).date()
    history = panel.history.copy()
    late = history["ds"] > pd.Timestamp(origin) - pd.Timedelta(days=4)
    history.loc[late & (history["ds"] <= pd.Timestamp(origin)), "y"] = 5000.0
    one, two = (
        backtest(p, SPEC, [origin], gap=4).frame["lightgbm_direct"] for p in (panel, replace(panel, history=history))
    )
    assert np.array_equal(one.to_numpy(), two.to_numpy()) and one.notna().all() and len(one) == 8 * HORIZON


def test_steps_ahead__each_horizon_equally_often_and_the_same_at_every_origin():
    ids, day = (m.ravel() for m in np.meshgrid(np.arange(1, 301), np.arange(19000, 19100)))
    h = steps_ahead(ids, day, 14)
    share = np.bincount(h, minlength=15)[1:] / len(h)
    assert h.min() == 1 and h.max() == 14 and np.abs(share - 1 / 14).max() < 0.005
    for weekday in range(7):  # no weekday is learned at some distances only
        assert len(set(h[(day % 7 == weekday) & (ids == 5)].tolist())) >= 7
    assert np.array_equal(steps_ahead(ids[:50], day[:50], 14), h[:50])


def test_weekly_grain__whole_path__works():
    daily = demand_rows(8, 800)
    weekly = daily.groupby(["unique_id", pd.Grouper(key="ds", freq="W-SUN")])["y"].sum().reset_index().query("y > 0")
    panel = build_panel(weekly, grain="W", country="US")
    spec = ModelSpec(("lightgbm_direct",), horizon=4, season_length=52, grain="W", params=QUICK)
    made = FAMILY.fit(panel, spec).predict(panel, 4)
    level = panel.history.groupby("unique_id")["y"].mean()
    assert len(made) == 32 and made["ds"].dt.dayofweek.eq(6).all()
    assert (made.groupby("unique_id")["yhat"].mean() / level).between(0.6, 1.6).all()


def test_closed_weekday__stays_closed_and_the_other_days_are_not_lowered():
    rows = demand_rows(6, 140)
    rows = rows.loc[rows["ds"].dt.dayofweek != 6]
    panel = make_panel(rows, missing_days="closed")
    made = FAMILY.fit(panel, SPEC).predict(panel, 14)
    sunday = made["ds"].dt.dayofweek == 6
    assert (made.loc[sunday, "yhat"] == 0).all()
    usual = rows.groupby("unique_id")["y"].mean().drop(4)  # the fourth sells now and then
    assert (made.loc[~sunday].groupby("unique_id")["yhat"].mean() / usual).dropna().between(0.8, 1.25).all()


def test_closed_fortnight__does_not_lower_what_comes_after():
    rows = demand_rows(6, 140)
    shut = rows["ds"] > rows["ds"].max() - pd.Timedelta(days=10)
    panel = make_panel(rows.loc[~shut], missing_days="closed", end=rows["ds"].max().date())
    fitted = FAMILY.fit(panel, SPEC)
    usual = rows.groupby("unique_id")["y"].mean().drop(4)
    assert (fitted.predict(panel, 14).groupby("unique_id")["yhat"].mean() / usual).dropna().between(0.8, 1.25).all()


def test_fit__nothing_to_learn_from__every_series_is_declined_and_so_it_is_stored(tmp_path):
    one_day = make_panel(demand_rows(3, 1).assign(y=4.0))
    made = FAMILY.fit(one_day, SPEC)
    assert made.save(tmp_path) == ["lightgbm_direct.json"]
    for one in (made, FAMILY.load(tmp_path)):
        assert one.declined["unique_id"].tolist() == [1, 2, 3] and not len(one.predict(one_day, 14))


def test_predict__plan_with_other_values_than_0_and_1__has_the_features_of_the_fit():
    rows = demand_rows(4, 90)
    ahead = pd.date_range(rows["ds"].max() + pd.Timedelta(days=1), periods=14)
    plan = pd.DataFrame({"unique_id": np.repeat(np.arange(1, 5), 14), "ds": np.tile(ahead, 4), "promo": 0.5})
    panel = make_panel(rows, promo=True, future=plan)
    made = FAMILY.fit(panel, SPEC)
    assert made.describe()["events"] == ["promo"]
    assert np.isfinite(made.predict(panel, 14)["yhat"]).all()
