"""The recursive family and the boosters of both: no row sees its own day or a later one; transforms; what is saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.errors import MissingRegressor
from forecasting.engine.families import get_family, lightgbm_rows
from forecasting.engine.families import lightgbm_boosters as boosters
from forecasting.engine.families.lightgbm import LightGBM
from forecasting.engine.families.lightgbm_boosters import FREQUENT, LOG, SPARSE, TWEEDIE, Lesson, fit_boosters
from forecasting.engine.features_grid import Grid
from forecasting.engine.features_known import feature_state
from forecasting.engine.features_rolled import Sales, sales_names
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.conftest import START, demand_rows, make_panel, statics
from forecasting.engine.tests.test_lightgbm_direct import HORIZON, LAST, QUICK, full_panel, full_rows
from forecasting.engine.types import ModelSpec, RegressorSet

SPEC = ModelSpec(("lightgbm",), horizon=HORIZON, params={"lightgbm": QUICK["lightgbm_direct"]})
FAMILY = get_family("lightgbm")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return full_rows()


@pytest.fixture(scope="module")
def panel(rows: pd.DataFrame) -> Panel:
    return full_panel(rows, LAST)


def lesson(panel: Panel) -> Lesson:
    """What the family learns from, with every row that it could learn from."""
    grid = Grid.of(panel)
    state = {**feature_state(panel, grid, horizon=HORIZON, season=7), "longest": panel.days}
    return LightGBM._lesson(panel, grid, state, np.ones(len(panel.history), dtype=bool))


def test_features__the_days_own_sale_and_all_later_changed__not_one_feature_changes(panel):
    """historic_only values are changed from the day's last `HORIZON` steps on: they enter only as a lag that long."""
    before, names = lesson(panel), lesson(panel).names
    assert {"lag1", "lag7", "stock_lag10", "sales_trend_7_28", "is_promotional_since", "closed_share"} <= set(names)
    column = Grid.of(panel).col
    for first in (25, 60, 100):
        history = panel.history.copy()
        late = column >= first
        history.loc[late, "y"] = history.loc[late, "y"] * 1000.0 + 7.0
        history.loc[late & (column % 3 == 0), "y"] = np.nan
        history.loc[column > first - HORIZON, "stock"] = -9.0
        later = column > first
        history.loc[later, "closed"] = column[later] % 2 == 0
        made = lesson(replace(panel, history=history))
        one, two = before.x[:, before.day <= first], made.x[:, made.day <= first]
        assert one.shape[1] > 100 and np.array_equal(one, two, equal_nan=True)
        size = names.index("sales_level")
        assert made.x[size, made.day > first].max() > before.x[size, before.day > first].max() + 1.0


@pytest.mark.parametrize("poison", [1000.0, np.nan, 0.0], ids=["times 1000", "gone", "zero"])
def test_poison__everything_after_the_origin__models_and_forecasts_bit_identical(rows, panel, tmp_path, poison):
    late = rows["ds"] > LAST
    bad = rows.assign(
        y=rows["y"].where(~late, rows["y"] * poison), stock=rows["stock"].where(~late, rows["stock"] * poison)
    )
    known = full_panel(bad, rows["ds"].max()).upto(LAST)
    fits = [FAMILY.fit(p, SPEC) for p in (panel, known)]
    for part, name in zip(fits, "ab", strict=True):
        (tmp_path / name).mkdir()
        part.save(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    one, two = (part.predict(p, HORIZON) for part, p in zip(fits, (panel, known), strict=True))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_plan__after_the_horizon_changed_or_a_day_missing__forecast_stays_or_error_names_it(rows, panel):
    far = rows["ds"] > LAST + pd.Timedelta(days=HORIZON)
    other = rows.assign(is_promotional=rows["is_promotional"].where(~far, 1.0))
    fitted = FAMILY.fit(panel, SPEC)
    one, two = (fitted.predict(p, HORIZON) for p in (panel, full_panel(other, LAST)))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert panel.future is not None
    short = panel.future.loc[panel.future["ds"] <= LAST + pd.Timedelta(days=4)]
    with pytest.raises(MissingRegressor, match="is_promotional"):
        fitted.predict(replace(panel, future=short), HORIZON)


def test_save_and_load__also_after_rolling_and_one_series_alone__bit_identical(rows, panel, tmp_path):
    fitted = FAMILY.fit(panel, SPEC)
    fitted.save(tmp_path)
    again = FAMILY.load(tmp_path)
    for days in (0, 5):
        known = full_panel(rows, LAST + pd.Timedelta(days=days))
        whole = fitted.predict(known, HORIZON)
        pd.testing.assert_frame_equal(again.predict(known, HORIZON), whole, check_exact=True)
        alone = again.predict(known.subset([4]), HORIZON)
        expected = whole.loc[whole["unique_id"] == 4].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected, check_exact=True)


def test_closed_weekday__stays_closed_and_the_other_days_are_not_lowered():
    rows = demand_rows(6, 140)
    rows = rows.loc[rows["ds"].dt.dayofweek != 6]
    panel = make_panel(rows, missing_days="closed")
    made = FAMILY.fit(panel, SPEC).predict(panel, 14)
    sunday = made["ds"].dt.dayofweek == 6
    assert (made.loc[sunday, "yhat"] == 0).all()
    usual = rows.groupby("unique_id")["y"].mean().drop(4)
    assert (made.loc[~sunday].groupby("unique_id")["yhat"].mean() / usual).dropna().between(0.8, 1.25).all()


@pytest.mark.parametrize("last", [25, 139], ids=["short", "long"])
def test_sales__lags_and_statistics__those_of_mlforecast(last):
    """Also of the steps after the history, after values were put in for the steps before them."""
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd, SeasonalRollingMean

    rows = demand_rows(5, last + 1).sort_values(["unique_id", "ds"])
    rows = rows.loc[(rows["unique_id"] != 2) | (rows["ds"] > START + pd.Timedelta(days=9))]
    state = {"grain": "D", "season": 7, "longest": last}
    known = make_panel(rows)
    grid, names, ahead = Grid.of(known), sales_names(state), 3
    cut = grid.width - ahead
    matrix = grid.matrix(known.history["y"], 0.0)
    sales = Sales.of(matrix[:, :cut], np.minimum(grid.first, cut), ahead)
    for column in range(cut, grid.width):
        sales.put(column, matrix[:, column])
    made = sales.at(grid.row, grid.col, names)
    shown: Any = MLForecast(
        models={},
        freq="D",
        lags=[int(name[3:]) for name in names if name.startswith("lag")],
        lag_transforms={
            1: [*(RollingMean(w, min_samples=1) for w in (7, 28, 91, 182)), RollingStd(28, min_samples=2)],
            7: [SeasonalRollingMean(7, w, min_samples=1) for w in (4, 8)],
        },
    ).preprocess(known.history[["unique_id", "ds", "y"]], static_features=[], dropna=False)
    assert list(made) == names and set(names) == set(shown.columns) - {"unique_id", "ds", "y"}
    for name in names:
        np.testing.assert_allclose(made[name], shown[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_rows__more_than_a_booster_needs__recent_ones_stay_and_each_age_keeps_its_weight(monkeypatch):
    monkeypatch.setattr(lightgbm_rows, "MOST_ROWS", 6000)
    ids, day = (m.ravel() for m in np.meshgrid(np.arange(60), 19000 + np.arange(400), indexing="ij"))
    group = np.where(ids < 55, FREQUENT, SPARSE)
    kept, counts = lightgbm_rows.chosen_rows(ids, day, group, "D")
    often = group[kept] == FREQUENT
    assert (~often).sum() == 5 * 400 and (counts[~often] == 1.0).all()
    assert abs(often.sum() - 6000) < 300 and abs(counts[often].sum() - 55 * 400) < 1500
    age = 19399 - day[kept]
    shares = [np.bincount(age[often], minlength=400)[a : a + 50].sum() / (55 * 50) for a in (0, 100, 350)]
    assert shares[0] > 1.5 * shares[1] > 2 * shares[2] > 0
    some = ids < 30  # what is kept of a series is decided by its own days, and by how many rows there are beside it
    alone, _ = lightgbm_rows.chosen_rows(ids[some], day[some], group[some], "D")
    assert set(kept[ids[kept] < 30].tolist()) <= set(np.flatnonzero(some)[alone].tolist())


def made_up(noise: float, zeros: float, seed: int = 3) -> Lesson:
    """Rows whose target is skewed around a mean that one feature tells; days 0 to 99."""
    rng = np.random.default_rng(seed)
    count = 12_000
    feature = rng.normal(size=(3, count)).astype("float32")
    mean = np.exp(0.3 * feature[0])
    target = mean * np.exp(rng.normal(-(noise**2) / 2, noise, count)) * (rng.random(count) >= zeros) / (1 - zeros)
    group = np.where(np.arange(count) % 2 == 0, FREQUENT, SPARSE)
    return Lesson(feature, ["a", "b", "c"], target, np.full(count, 10.0), np.arange(count) % 100, group, np.ones(count))


def test_log_transform__skewed_demand__total_is_not_biased():
    """Without the smearing the answer is near the geometric mean, here some 30% too low."""
    rows = made_up(1.0, 0.0)
    part = boosters._fit(rows, boosters.DEFAULTS, LOG, 1, [])
    plain = np.expm1(part.booster.predict(rows.x.T)).sum() / rows.target.sum()
    assert plain < 0.85 and part.predict(rows.x.T).sum() / rows.target.sum() == pytest.approx(1.0, abs=0.01)


def test_transform__steady_demand__tweedie_and_groups_are_fitted_apart():
    rows = made_up(0.2, 0.0)
    fitted = fit_boosters(rows, {}, seed=1, categorical=[], trial_steps=20)
    assert sorted(fitted.parts) == [FREQUENT, SPARSE]
    assert {part.transform for part in fitted.parts.values()} == {TWEEDIE}
    asked = fit_boosters(rows, {"objective": "regression_l1"}, seed=1, categorical=[], trial_steps=20)
    assert {part.transform for part in asked.parts.values()} == {"regression_l1"}


def test_transform__trial__does_not_see_the_days_it_is_judged_on(monkeypatch):
    learned = []
    own = boosters._fit

    def watched(lesson: Lesson, *given: object) -> object:
        learned.append(int(lesson.day.max()))
        return own(lesson, *given)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(boosters, "_fit", watched)
    boosters._choose(made_up(0.5, 0.3), boosters.DEFAULTS, 1, [], 20)
    assert learned == [79, 79]


def test_feature_never_unknown_in_training__unknown_later__read_as_usual_not_as_zero():
    rows = made_up(0.2, 0.0)
    raised = rows.x + np.float32(10.0)
    fitted = fit_boosters(replace(rows, x=raised), {}, seed=1, categorical=[], trial_steps=20)
    gap = np.full((1, 3), np.nan, dtype="float32")
    usual = np.median(raised, axis=1)[None, :].astype("float32")
    level, group = np.ones(1), np.array([FREQUENT])
    assert fitted.predict(gap, level, group) == pytest.approx(fitted.predict(usual, level, group), rel=0.05)


def test_price__history_of_other_products__relative_to_its_category():
    rows = demand_rows(6, 120)
    rows["unit_price"] = rows["unique_id"].map({1: 2.0, 2: 3.0, 3: 4.0, 4: 6.0, 5: 3.0, 6: 4.0})
    panel = build_panel(
        rows, static=statics(6), regressors=RegressorSet(historic_only=("unit_price",), static=("category",))
    )
    found = lesson(panel)
    column = found.x[found.names.index("price_against_category")]
    ids = Grid.of(panel).ids[np.searchsorted(np.unique(panel.history["unique_id"]), panel.history["unique_id"])]
    assert len(column) <= len(ids)
    # Categories hold the series 1 and 4, 2 and 5, 3 and 6: their median prices are 4, 3 and 4.
    assert set(np.round(column[np.isfinite(column)], 4).tolist()) == {0.5, 1.0, 1.5}
