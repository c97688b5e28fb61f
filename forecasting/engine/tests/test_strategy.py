"""The sweep of a strategy cycle against the ordinary path, plain Python, and what it must not see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.backtest import Backtest
from forecasting.engine.business import BUSINESS_NAMES, business_scores
from forecasting.engine.combine import combine
from forecasting.engine.conformal import Calibration
from forecasting.engine.scores import SCORE_NAMES, Score, score_frame
from forecasting.engine.strategy import (
    FITTED_MIXTURE,
    FITTED_PAIR,
    STEPS,
    NothingToSweep,
    Sweep,
    SweepPoint,
    spec_families,
    sweep,
)
from forecasting.engine.strategy_figures import MEASURE_NAMES
from forecasting.engine.strategy_points import Ground, Point, judge
from forecasting.engine.tests.strategy_ground import POLICY, base_spec, made_backtest, unit_values
from forecasting.engine.types import ANY_CLASS, canonical_json

TWO = {"seasonal_naive": 0.5, "lightgbm": 0.25}
KEYS = ["unique_id", "origin", "ds", "h", "y", "censored", "closed"]


def swept(backtest: Backtest, classes: pd.Series, **options: Any) -> Sweep:
    """A sweep with one mixture for each pair, half and half, unless `steps` says otherwise."""
    values = options.pop("values", unit_values(backtest))
    return sweep(backtest, base_spec(backtest), classes, values, POLICY, **{"resamples": 200, "steps": 2, **options})


@pytest.fixture(scope="module")
def ground() -> tuple[Backtest, pd.Series]:
    """Twelve series and three origins; some rows are censored, and one series has no forecast of prophet."""
    backtest, classes = made_backtest()
    frame = backtest.frame.copy()
    frame.loc[frame.index % 17 == 0, "censored"] = True
    frame.loc[frame.index % 34 == 0, "closed"] = True
    return replace(backtest, frame=frame), classes


@pytest.fixture(scope="module")
def found(ground: tuple[Backtest, pd.Series]) -> Sweep:
    """Every pair in tenths, as a cycle has it."""
    return swept(*ground, steps=STEPS)


@pytest.fixture(scope="module")
def coarse(ground: tuple[Backtest, pd.Series]) -> Sweep:
    """The same with one mixture for each pair."""
    return swept(*ground)


def ordinary(
    backtest: Backtest, classes: pd.Series, point: SweepPoint
) -> tuple[Mapping[str, Score], list[dict[str, Any]]]:
    """The scores of a point by `score_frame` and its costs at each origin by `business_scores`, as an evaluation
    would make them: combined, calibrated on the other origins, scored."""
    rows, grids, costs = [], [], []
    for day in backtest.origins:
        weights = point.point.by_origin.get(day, point.point.weights)
        mixed = backtest.frame[KEYS].join(
            combine(backtest.frame[["unique_id", *point.point.families]], weights, classes)
        )
        mixed = mixed.assign(naive=backtest.frame["seasonal_naive"]).loc[mixed["yhat"].notna()]
        here = mixed["origin"] == pd.Timestamp(day)
        calibration = Calibration.fit(mixed.loc[~here], classes)
        costs.append(business_scores(mixed.loc[here], calibration, unit_values(backtest), POLICY).to_json())
        grids.append(calibration.quantiles(mixed.loc[here]))
        rows.append(calibration.apply(mixed.loc[here]))
    scores = score_frame(pd.concat(rows), backtest.scales, quantiles=pd.concat(grids))
    return scores.overall, costs


@pytest.mark.parametrize(
    "key", ["single:lightgbm", "single:prophet", "pair:lightgbm:prophet:0.7", FITTED_PAIR, FITTED_MIXTURE]
)
def test_point__every_figure__equals_the_ordinary_path(ground, found, key):
    point = found.get(key)
    backtest, classes = ground
    scores, costs = ordinary(backtest, classes, point)
    for name in SCORE_NAMES:
        assert point.figures[name].value == pytest.approx(scores[name].value), name
    for name in ("wape", "bias", "coverage80", "coverage95", "fva"):
        assert point.figures[name].n == scores[name].n, name
    for name in ("lost_sales_qty", "overstock_qty", "cost_stockout", "cost_overstock", "total_cost"):
        assert point.figures[name].value == pytest.approx(sum(one[name]["value"] for one in costs)), name
        assert point.figures[name].confidence == "measured"
    paths = sum(one["total_cost"]["n"] for one in costs)
    missed = sum(one["stockout_miss_rate"]["value"] * one["stockout_miss_rate"]["n"] for one in costs)
    ordered = sum(one["overstock_qty"]["value"] / one["overstock_rate"]["value"] for one in costs)
    assert point.figures["total_cost"].n == paths
    assert point.figures["stockout_miss_rate"].value == pytest.approx(missed / paths)
    assert point.figures["overstock_rate"].value == pytest.approx(point.figures["overstock_qty"].value / ordered)
    assert set(point.figures) == {*SCORE_NAMES, *BUSINESS_NAMES} == set(MEASURE_NAMES)


def test_interval__wape_and_cost__equal_a_bootstrap_in_plain_python(ground, found):
    backtest, _ = ground
    made = backtest.frame.loc[~backtest.frame["censored"]]
    error = [float((rows["y"] - rows["lightgbm"]).abs().sum()) for _, rows in made.groupby("unique_id")]
    actual = [float(rows["y"].sum()) for _, rows in made.groupby("unique_id")]
    cost = [float(one) for one in found.losses["total_cost"]["single:lightgbm"]]
    draws = np.random.default_rng(found.seed).multinomial(12, [1 / 12] * 12, size=found.resamples)
    wapes, costs = [], []
    for draw in draws.tolist():
        wapes.append(sum(n * e for n, e in zip(draw, error, strict=True)) /
                     sum(n * a for n, a in zip(draw, actual, strict=True)))  # fmt: skip
        costs.append(sum(n * c for n, c in zip(draw, cost, strict=True)))
    figures = found.get("single:lightgbm").figures
    for name, values in (("wape", wapes), ("total_cost", costs)):
        low, high = np.quantile(values, [0.025, 0.975])
        assert (figures[name].low, figures[name].high) == (pytest.approx(low), pytest.approx(high))
        assert figures[name].low < figures[name].value < figures[name].high


def test_sweep__every_pair__runs_in_tenths_from_one_alone_to_the_other(found):
    assert [(one, other) for one, other, _ in found.pairs] == [
        ("seasonal_naive", "lightgbm"), ("seasonal_naive", "prophet"), ("lightgbm", "prophet"),
    ]  # fmt: skip
    for one, other, keys in found.pairs:
        assert len(keys) == 11 and keys[0] == f"single:{one}" and keys[-1] == f"single:{other}"
        for tenth, key in enumerate(keys[1:-1], start=1):
            row = found.get(key).point.weights[ANY_CLASS]
            assert row == {one: pytest.approx(1 - tenth / 10), other: pytest.approx(tenth / 10)}
    assert len(found.points) == 3 + 3 * 9 + 2
    assert {point.spec.mode for point in found.points if point.point.kind == "pair"} == {"ensemble"}


def test_fitted_pair__each_origin__is_the_pair_with_the_least_error_on_the_others(ground, found):
    backtest, classes = ground
    candidates = [one for one in found.points if one.point.kind != "fitted"]
    for day, weights in found.get(FITTED_PAIR).point.by_origin.items():
        rest = backtest.frame.loc[(backtest.frame["origin"] != pd.Timestamp(day)) & ~backtest.frame["censored"]]
        errors = {}
        for one in candidates:
            made = combine(rest[["unique_id", *one.spec.families]], one.point.weights, classes)["yhat"]
            errors[canonical_json(one.point.weights)] = float((rest["y"] - made).abs().sum())
        assert errors[canonical_json(weights)] == pytest.approx(min(errors.values()))


def test_fitted__actuals_of_an_origin_poisoned__its_own_weights_stay(ground, coarse):
    backtest, classes = ground
    day = backtest.origins[1]
    frame = backtest.frame.copy()
    here = frame["origin"] == pd.Timestamp(day)
    rng = np.random.default_rng(8)
    frame.loc[here, "y"] = frame.loc[here, "seasonal_naive"] * rng.uniform(3, 9, int(here.sum()))
    poisoned = swept(replace(backtest, frame=frame), classes)
    for key in (FITTED_PAIR, FITTED_MIXTURE):
        before, after = coarse.get(key).point, poisoned.get(key).point
        assert after.by_origin[day] == before.by_origin[day]
    changed = [
        poisoned.get(key).point.by_origin[other] != coarse.get(key).point.by_origin[other]
        for key in (FITTED_PAIR, FITTED_MIXTURE)
        for other in backtest.origins
        if other != day
    ]
    assert any(changed)  # the poison was there


def test_judge__actuals_of_an_origin_poisoned__its_orders_and_bands_stay():
    backtest, classes = made_backtest(series=40, origins=2, noise=TWO)
    first = backtest.frame["origin"] == pd.Timestamp(backtest.origins[0])
    # Each series is in one origin only, so that the amounts of a series are those of its origin.
    own = (backtest.frame["unique_id"] <= 20) == first
    backtest = replace(backtest, frame=backtest.frame.loc[own].reset_index(drop=True))
    frame = backtest.frame.copy()
    frame.loc[frame["unique_id"] <= 20, "y"] *= 50
    point = Point("single:lightgbm", "single", ("lightgbm", "seasonal_naive"), {ANY_CLASS: {"lightgbm": 1.0}})
    clean, poisoned = (
        judge(Ground.of(one, classes, unit_values(backtest), POLICY, grain="D", week_steps=7), point)
        for one in (backtest, replace(backtest, frame=frame))
    )
    mine = np.arange(40) < 20
    np.testing.assert_array_equal(clean.amount("ordered")[mine], poisoned.amount("ordered")[mine])
    assert not np.allclose(clean.amount("ordered")[~mine], poisoned.amount("ordered")[~mine])


def test_sweep__executor_and_repetition__same_bytes_and_the_progress_ends(ground, coarse):
    said: list[tuple[int, int, str]] = []
    with ThreadPoolExecutor(2) as pool:
        again = swept(*ground, executor=pool, progress=lambda *step: said.append(step))
    assert canonical_json(again.to_json()) == canonical_json(coarse.to_json())
    assert said[-1][0] == said[-1][1] == 5 and [step[0] for step in said] == sorted(step[0] for step in said)


def test_spec_families__a_family_that_declines__brings_its_stand_in_and_the_floor(ground):
    backtest, _ = ground
    assert spec_families({ANY_CLASS: {"prophet": 1.0}}, backtest) == ("prophet", "lightgbm", "seasonal_naive")
    assert spec_families({ANY_CLASS: {"prophet": 0.5, "lightgbm": 0.5}}, backtest) == (
        "lightgbm", "prophet", "seasonal_naive",
    )  # fmt: skip


def test_sweep__family_that_declined_most_rows__is_no_single_and_its_stand_ins_are_counted():
    backtest, classes = made_backtest()
    frame = backtest.frame.copy()
    frame.loc[frame["unique_id"] > 4, "prophet"] = np.nan
    made = swept(replace(backtest, frame=frame), classes)
    point = made.get("single:prophet")
    assert "declined" in point.why_not and "single:prophet" not in made.modes
    assert point.stood_in == int(frame["prophet"].isna().sum())
    assert {"single:seasonal_naive", "single:lightgbm"} <= set(made.modes)


def test_sweep__family_that_declined_every_row__is_in_no_point():
    backtest, classes = made_backtest()
    made = swept(replace(backtest, frame=backtest.frame.assign(prophet=np.nan)), classes)
    assert made.absent == ("prophet",) and not any("prophet" in point.key for point in made.points)


def test_sweep__no_prices__costs_are_null_with_the_reason_and_quantities_stay():
    backtest, classes = made_backtest(noise=TWO)
    made = swept(backtest, classes, values=unit_values(backtest, None, None))
    for point in made.points:
        cost = point.figures["total_cost"]
        assert cost.value is None and cost.low is None and "unit_price" in (cost.reason or "")
        assert cost.confidence == "unavailable" and point.figures["lost_sales_qty"].value is not None
    json.dumps(made.to_json(), allow_nan=False)


def test_sweep__horizon_shorter_than_an_order_lasts__no_costs_and_says_why():
    backtest, classes = made_backtest(horizon=5, noise=TWO)
    figure = swept(backtest, classes).get("single:lightgbm").figures["total_cost"]
    assert figure.value is None and "protection interval" in (figure.reason or "")


def test_sweep__four_series__values_without_intervals_and_why():
    backtest, classes = made_backtest(series=4, noise=TWO)
    figure = swept(backtest, classes).get("single:lightgbm").figures["wape"]
    assert figure.value is not None and figure.low is None and "too few" in (figure.reason or "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"noise": {"lightgbm": 0.2}}, "only family"),
        ({"origins": 1}, "one origin only"),
    ],
)
def test_sweep__nothing_to_set_it_against__says_what_to_do(change, says):
    backtest, classes = made_backtest(**change)
    with pytest.raises(NothingToSweep, match=says):
        swept(backtest, classes)


def test_sweep__nothing_sold__says_so():
    backtest, classes = made_backtest()
    with pytest.raises(NothingToSweep, match="nothing was sold"):
        swept(replace(backtest, frame=backtest.frame.assign(y=0.0)), classes)
