"""Explanations add up to the forecast, speak of the features it used, and stay silent where there is nothing to say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.conformal import Calibration
from forecasting.engine.explain import Explanation, Member, NotExplainable, explain
from forecasting.engine.explain_lightgbm import recording
from forecasting.engine.explain_words import feature_words
from forecasting.engine.families import get_family, lightgbm_boosters
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.conftest import FAST, START, demand_rows, statics
from forecasting.engine.train import evaluate
from forecasting.engine.types import ModelSpec, RegressorSet

HORIZON = 10
BOTH_FAST = {**FAST, "lightgbm_direct": FAST["lightgbm"]}
WEIGHTS = {"*": {"lightgbm": 0.6, "prophet": 0.4}}


def promoted_panel(series: int = 6, days: int = 130) -> Panel:
    """Demand with promotions and a price, the last steps of both only planned; two stores, a country with holidays."""
    rows = demand_rows(series, days + HORIZON).rename(columns={"promo": "is_promotional"})
    last = START + pd.Timedelta(days=days - 1)
    plan = rows[["unique_id", "ds", "is_promotional", "unit_price"]]
    regressors = RegressorSet(known_future=("is_promotional", "unit_price"), static=("category",))
    return build_panel(
        rows.loc[rows["ds"] <= last], static=statics(series), future=plan, regressors=regressors, country="US"
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    return promoted_panel()


@pytest.fixture(scope="module")
def calibration(panel: Panel) -> Calibration:
    """Any calibration: intervals are not what is explained."""
    return evaluate(panel, ModelSpec(("seasonal_naive",), horizon=HORIZON), origins=2).calibration


def fitted(panel: Panel, calibration: Calibration, **changes: object) -> FittedModel:
    body = {"families": ("lightgbm", "prophet", "seasonal_naive"), "weights": WEIGHTS, "horizon": HORIZON}
    return fit(panel, ModelSpec(**{**body, "params": BOTH_FAST, **changes}), calibration)  # type: ignore[arg-type]  # keys of two kinds


@pytest.fixture(scope="module")
def model(panel: Panel, calibration: Calibration) -> FittedModel:
    return fitted(panel, calibration)


@pytest.fixture(scope="module")
def whole(model: FittedModel, panel: Panel) -> pd.DataFrame:
    """The forecast of all series at once, as it is published."""
    return model.forecast(panel, HORIZON)


@pytest.fixture(scope="module")
def told(model: FittedModel, panel: Panel) -> dict[tuple[int, int], Explanation]:
    return {(i, h): explain(model, panel, i, h) for i in (1, 2, 4) for h in (1, 8, HORIZON)}


def rebuilt(member: Member) -> float:
    """The model's answer out of base and single contributions."""
    effects = sum(one.effect for group in member.groups for one in group.contributions)
    assert member.base is not None
    return member.base * math.exp(effects) if member.scale == "factor" else member.base + effects


def test_explain__one_series_alone__recomputes_the_published_path_to_the_last_bit(told, whole):
    for (series, h), one in told.items():
        path = whole.loc[whole["unique_id"] == series]
        assert one.path == tuple(path["yhat"]) and one.yhat == path["yhat"].iloc[h - 1]
        assert pd.Timestamp(one.day) == path["ds"].iloc[h - 1]


def test_explain__base_and_contributions__add_up_to_the_raw_answer(told):
    seen = set()
    for one in told.values():
        for member in one.members:
            assert rebuilt(member) == pytest.approx(member.raw, rel=1e-6)
            assert member.raw == pytest.approx(member.yhat, rel=1e-6) and member.note == ""
            for group in member.groups:
                assert group.effect == pytest.approx(sum(c.effect for c in group.contributions))
            seen.add((member.family, member.scale))
    assert seen == {("lightgbm", "factor"), ("prophet", "units")}


def test_explain__ensemble__members_times_weights_are_the_forecast_and_a_declined_one_has_none(told):
    for (series, _), one in told.items():
        assert sum(m.weight * m.yhat for m in one.members) == pytest.approx(one.yhat)
        weights = {m.family: m.weight for m in one.members}
        # Each fourth series sells now and then: prophet declines it, and the whole weight is lightgbm's.
        assert weights == ({"lightgbm": 1.0} if series == 4 else {"lightgbm": 0.6, "prophet": 0.4})
        assert one.note == ""


def test_explain__lightgbm_features__are_those_of_the_recursion(model, panel, whole):
    """Lag 1 of the first step is the last day sold; of the second, the first forecast."""
    own = panel.subset([1])
    part = recording(model.parts["lightgbm"])
    made = part.predict(own, HORIZON)["yhat"].to_numpy()
    names, asked = part.state["features"], part.boosters.rows  # type: ignore[union-attr]  # a recorder
    sold = own.history["y"].to_numpy()
    past = np.concatenate([sold, made])
    for h, (row, level, _) in enumerate(asked, start=1):
        now = len(sold) + h - 1
        usual = (28 * past[now - 28 : now].mean() + 7 * past[:now][-182:].mean()) / 35
        assert level == pytest.approx(usual)
        for lag in (1, 2, 7, 14):
            assert row[0, names.index(f"lag{lag}")] * level == pytest.approx(past[now - lag], rel=1e-5)
        week = row[0, names.index("rolling_mean_lag1_window_size7_min_samples1")] * level
        assert week == pytest.approx(past[now - 7 : now].mean(), rel=1e-5)
        assert row[0, names.index("sales_trend_7_28")] == pytest.approx(week / past[now - 28 : now].mean(), rel=1e-5)
        day = START + pd.Timedelta(days=now)
        assert row[0, names.index("weekday")] == day.dayofweek
    assert panel.future is not None and len(asked) == HORIZON
    plan = panel.future.loc[(panel.future["unique_id"] == 1)].tail(HORIZON)
    promoted = [row[0, names.index("is_promotional")] for row, _, _ in asked]
    assert np.array_equal(promoted, plan["is_promotional"].to_numpy())


def test_explain__direct_family__recomputed_path_and_parts_that_add_up(panel, calibration):
    model = fitted(panel, calibration, families=("lightgbm_direct",), weights={})
    published = model.forecast(panel, HORIZON)
    labels = set()
    for series, h in ((1, 1), (2, 6), (4, HORIZON)):
        one = explain(model, panel, series, h)
        path = published.loc[published["unique_id"] == series, "yhat"]
        assert one.path == tuple(path)
        (member,) = one.members
        assert member.scale == "factor" and rebuilt(member) == pytest.approx(member.raw, rel=1e-6)
        assert member.raw == pytest.approx(one.yhat, rel=1e-6)
        labels |= {c.label for g in member.groups for c in g.contributions}
        assert all("_" not in label for label in labels)
    assert {"Average of the last 28 days", "Days ahead", "On promotion"} <= labels


@pytest.mark.parametrize("family", ["lightgbm", "lightgbm_direct"])
def test_explain__log_transform__effects_are_units_that_add_up(panel, calibration, monkeypatch, family):
    monkeypatch.setattr(lightgbm_boosters, "_choose", lambda *given: lightgbm_boosters.LOG)
    model = fitted(panel, calibration, families=(family,), weights={})
    published = model.forecast(panel, HORIZON)
    one = explain(model, panel, 2, 4)
    (member,) = one.members
    assert member.scale == "units" and rebuilt(member) == pytest.approx(member.raw, rel=1e-6)
    assert one.yhat == published.loc[published["unique_id"] == 2, "yhat"].iloc[3]
    assert member.raw == pytest.approx(one.yhat, rel=1e-6)


def test_explain__closed_weekday__says_so_instead_of_bars(calibration):
    rows = demand_rows(3, 150)
    rows = rows.loc[rows["ds"].dt.dayofweek != 6]
    known = build_panel(rows, missing_days="closed", end=rows["ds"].max().date())
    for family in ("lightgbm", "lightgbm_direct"):
        model = fitted(known, calibration, families=(family,), weights={})
        said = [explain(model, known, 1, h).members[0] for h in range(1, 8)]
        sundays = [m for m in said if m.yhat == 0.0]
        assert len(sundays) == 1 and "closed" in sundays[0].note and sundays[0].groups == ()


def test_explain__promotion__lifts_on_the_days_that_have_one_and_not_on_others(model, panel):
    assert panel.future is not None
    ahead = panel.future.loc[panel.future["ds"] > panel.history["ds"].max()]
    effects: dict[bool, list[float]] = {True: [], False: []}
    ahead = ahead.loc[ahead["unique_id"].isin([1, 2, 3, 5])]
    with_one = ahead["is_promotional"] > 0
    for row in pd.concat([ahead.loc[with_one], ahead.loc[~with_one].iloc[::6]]).itertuples():
        h = (row.ds - panel.history["ds"].max()).days
        for member in explain(model, panel, row.unique_id, h).members:
            groups = {g.name: g for g in member.groups}
            if "promotion" in groups:
                effects[bool(row.is_promotional)].append(groups["promotion"].effect)
                assert groups["promotion"].contributions[0].value == ("yes" if row.is_promotional else "no")
    assert effects[True] and min(effects[True]) > 0 > max([*effects[False], -1.0])


def test_explain__groups__are_in_words_and_the_strongest_comes_first(told):
    names = set()
    for one in told.values():
        for member in one.members:
            strength = [abs(g.effect) for g in member.groups]
            assert strength == sorted(strength, reverse=True) and all(s >= 0 for s in strength)
            for group in member.groups:
                names.add(group.label)
                assert all("_" not in c.label and c.label for c in group.contributions)
                assert all(c.effect != 0 for c in group.contributions)
    assert {"Recent sales", "Same weekday in the weeks before", "Day of the week", "Promotion"} <= names


def test_explain__identity_objective__effects_are_in_units(panel, calibration):
    params = {"lightgbm": {**FAST["lightgbm"], "objective": "regression_l1"}}
    model = fitted(panel, calibration, families=("lightgbm",), weights={}, params=params)
    one = explain(model, panel, 1, 3)
    (member,) = one.members
    assert member.scale == "units" and rebuilt(member) == pytest.approx(member.yhat, rel=1e-6)
    assert one.yhat == model.forecast(panel, HORIZON)["yhat"].iloc[2]


def test_explain__family_of_means__has_nothing_to_take_apart(panel, calibration):
    model = fitted(panel, calibration, families=("seasonal_naive", "seasonal_average"), weights={})
    (member,) = explain(model, panel, 2, 5).members
    assert (member.family, member.weight, member.scale, member.base, member.groups) == (
        "seasonal_naive", 1.0, None, None, (),
    )  # fmt: skip


def test_explain__sparse_series__rate_and_weekday_add_up_and_a_decline_is_told_with_its_reason(panel, calibration):
    weights = {"*": {"intermittent": 0.5, "seasonal_naive": 0.5}}
    model = fitted(panel, calibration, families=("intermittent", "seasonal_naive"), weights=weights)
    sparse, smooth = explain(model, panel, 4, 3), explain(model, panel, 1, 3)
    (member,) = [one for one in sparse.members if one.family == "intermittent"]
    assert member.scale == "units" and rebuilt(member) == pytest.approx(member.yhat, rel=1e-9) and member.note == ""
    assert [group.label for group in member.groups] in ([], ["Day of the week"])
    assert sparse.declined == () and smooth.declined == (("intermittent", "demand is smooth"),)
    assert [one.family for one in smooth.members] == ["seasonal_naive"]
    later = promoted_panel(7)
    assert explain(model, later, 7, 3).declined == (("intermittent", "it came after the model was fitted"),)


def test_explain__every_family_declines__the_one_that_stood_in_is_explained(panel, calibration):
    families = ("prophet", "lightgbm", "seasonal_naive")
    model = fitted(panel, calibration, families=families, weights={"*": {"prophet": 1.0}}, prophet_top_n=0)
    one = explain(model, panel, 1, 2)
    assert [(m.family, m.weight, m.scale) for m in one.members] == [("lightgbm", 1.0, "factor")]
    assert model.forecast(panel, HORIZON)["family"].unique().tolist() == ["lightgbm"]


def test_explain__nothing_sold_for_half_a_year__says_so_instead_of_bars(calibration):
    rows = demand_rows(3, 320)
    rows.loc[(rows["unique_id"] == 2) & (rows["ds"] >= START + pd.Timedelta(days=60)), "y"] = 0.0
    panel = build_panel(rows, static=statics(3), regressors=RegressorSet())
    model = fitted(panel, calibration, families=("lightgbm",), weights={})
    (member,) = explain(model, panel, 2, 1).members
    assert member.yhat == 0.0 and member.groups == () and "has not sold" in member.note
    assert explain(model, panel, 1, 1).members[0].groups


def test_explain__answer_beyond_the_history__is_told_as_kept_within(model, panel):
    small = replace(panel, history=panel.history.assign(y=panel.history["y"] / 1000.0))
    one = explain(model, small, 1, 2)
    prophet = next(m for m in one.members if m.family == "prophet")
    assert rebuilt(prophet) == pytest.approx(prophet.raw, rel=1e-6) and "makes plausible" in one.note
    assert one.yhat == model.forecast(small, HORIZON)["yhat"].iloc[1]
    state = {**model.parts["prophet"].state, "ceilings": {str(i): 1.0 for i in range(1, 7)}}
    low = model.with_parts({**model.parts, "prophet": replace(model.parts["prophet"], state=state)})
    cut = next(m for m in explain(low, panel, 1, 2).members if m.family == "prophet")
    assert cut.yhat == 1.0 and cut.raw is not None and cut.raw > 1.0 and "kept within" in cut.note


def test_explain__step_or_series_that_is_not_there__says_so(model, panel):
    for h in (0, HORIZON + 1):
        with pytest.raises(NotExplainable, match=f"steps 1 to {HORIZON}"):
            explain(model, panel, 1, h)
    with pytest.raises(NotExplainable, match="Series 99"):
        explain(model, panel, 99, 1)


def test_prophet__declines_every_series__predicts_no_rows(panel):
    part = get_family("prophet").fit(panel, ModelSpec(("prophet",), prophet_top_n=0))
    assert len(part.declined) == 6 and part.predict(panel, HORIZON).empty


@pytest.mark.parametrize(
    ("name", "value", "lead", "said"),
    [
        ("lag1", 0.5, 1, ("Recent sales", "Sales 1 day before", "5 units")),
        ("lag1", 0.1, 2, ("Recent sales", "Sales 1 day before", "1 unit, itself forecast")),
        ("lag14", 0.55, 1, ("Same weekday in the weeks before", "Sales 2 weeks before", "5.50 units")),
        ("lag7", math.nan, 1, ("Same weekday in the weeks before", "Sales 1 week before", "not known")),
        ("rolling_mean_lag1_window_size28_min_samples1", 2.0, 1,
         ("Recent sales", "Average of the last 28 days", "20 units")),
        ("rolling_std_lag1_window_size28_min_samples2", 2.0, 9,
         ("Recent sales", "Ups and downs of the last 28 days", "20 units, partly forecast")),
        ("seasonal_rolling_mean_lag7_season_length7_window_size4_min_samples1", 1.0, 7,
         ("Same weekday in the weeks before", "Average of the same weekday over 4 weeks", "10 units")),
        ("weekday", 5.0, 1, ("Day of the week", "Day of the week", "Saturday")),
        ("monthday", 31.0, 1, ("Time of the month and year", "Day of the month", "31")),
        ("holiday", 1.0, 1, ("Holidays", "A public holiday", "yes")),
        ("days_to_holiday", 7.0, 1, ("Holidays", "Days until the next holiday", "7 or more")),
        ("unit_price_relative", 0.8, 1, ("Price", "Price", "80% of its average")),
        ("unit_price_at_origin", 0.8, 1, ("Price", "Price, last known", "80% of its average")),
        ("unit_price_lag14", 0.8, 1, ("Price", "Price, 14 days before", "80% of its average")),
        ("price_against_category", 1.2, 1, ("Price", "Price against its category", "120%")),
        ("is_promotional_since", 3.0, 1, ("Promotion", "On promotion: days since the last time", "3")),
        ("is_promotional_until", 28.0, 1,
         ("Promotion", "On promotion: days until the next time", "28 or more, or not known")),
        ("is_promotional_share", 0.25, 1, ("Promotion", "On promotion: share of the four weeks before", "25%")),
        ("on_hand_qty_at_origin", 120.0, 1, ("On hand qty", "On hand qty, last known", "120")),
        ("sales_mean_28", 2.0, 9, ("Recent sales", "Average of the last 28 days", "20 units")),
        ("sales_spread_28", 2.0, 9, ("Recent sales", "Ups and downs of the last 28 days", "20 units")),
        ("sales_trend_7_28", 1.5, 9, ("Recent sales", "Last 7 days against the last 28", "150%")),
        ("sales_zero_share_91", 0.5, 9, ("Recent sales", "Share of the last 91 days without a sale", "50%")),
        ("sales_last", 0.1, 9, ("Recent sales", "Last sales known", "1 unit")),
        ("sales_steps_since", 4.0, 9, ("Recent sales", "Days since the last sale", "4")),
        ("sales_level", 2.4, 9, ("Recent sales", "Usual sales a day", "10")),
        ("sales_same_weekday_8", 1.0, 9,
         ("Same weekday in the weeks before", "Average of the same weekday over 8 weeks", "10 units")),
        ("sales_same_weekday_1", 1.0, 9,
         ("Same weekday in the weeks before", "Sales on the last same weekday", "10 units")),
        ("sales_year_ratio", 1.1, 9, ("Time of the month and year",
         "The same weeks a year before, against those before them", "110%")),
        ("closed_share", 1.0, 9, ("Day of the week", "Closed on the same weekday before", "100%")),
        ("steps_ahead", 9.0, 9, ("How far ahead", "Days ahead", "9")),
        ("is_promotional", 0.0, 1, ("Promotion", "On promotion", "no")),
        ("promo_depth", 0.25, 1, ("Promotion", "Promo depth", "0.25")),
        ("temperature", 21.5, 1, ("Temperature", "Temperature", "21.5")),
        ("on_hand_qty_lag14", 120.0, 1, ("On hand qty", "On hand qty, 14 days before", "120")),
        ("category", 1.0, 1, ("Store and product", "Category", "Dairy")),
        ("category", math.nan, 1, ("Store and product", "Category", "new")),
        ("store_id", 0.0, 1, ("Store and product", "Store", "S1")),
    ],
)  # fmt: skip
def test_words__each_kind_of_feature__as_a_shop_owner_says_it(name, value, lead, said):
    codes = {"category": ["Bakery", "Dairy"], "store_id": ["S1"]}
    words = feature_words(name, value, grain="D", level=10.0, codes=codes, lead=lead)
    assert (words.group_label, words.label, words.value) == said


def test_words__weekly_grain__speaks_of_weeks():
    words = feature_words("lag13", 1.0, grain="W", level=2.0, codes={}, lead=1)
    assert (words.group_label, words.label) == ("Recent sales", "Sales 13 weeks before")
    assert feature_words("week_of_month", 0.0, grain="W", level=2.0, codes={}, lead=1).value == "1"
