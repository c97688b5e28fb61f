"""Ensembles: weights, declines, fallbacks, and a choice that is never far from the best single."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import combine as combine_module
from forecasting.engine.backtest import Backtest
from forecasting.engine.combine import choose_spec, class_weights, combine, combined, pair_sweep, series_errors
from forecasting.engine.types import ANY_CLASS, ModelSpec

FRAME = pd.DataFrame(
    {
        "unique_id": [1, 1, 2, 3],
        "lightgbm": [10.0, 10.0, 10.0, np.nan],
        "prophet": [20.0, np.nan, 20.0, np.nan],
        "seasonal_naive": [1.0, 2.0, 3.0, 4.0],
    }
)
CLASSES = pd.Series({1: "smooth", 2: "lumpy", 3: "smooth"})


def noisy_backtest(spread: dict[str, float], series: int = 40, seed: int = 1, **columns: float) -> Backtest:
    """Families with independent errors of given size around demand."""
    rng = np.random.default_rng(seed)
    origins = [pd.Timestamp("2022-03-01") + pd.Timedelta(days=14 * i) for i in range(4)]
    index = pd.MultiIndex.from_product([range(1, series + 1), origins, range(1, 15)])
    frame = index.to_frame(index=False, name=["unique_id", "origin", "h"])
    frame["ds"] = frame["origin"] + pd.to_timedelta(frame["h"], unit="D")
    frame["y"] = rng.poisson(30, len(frame)).astype(float)
    for name, size in spread.items():
        frame[name] = np.maximum(frame["y"] + size * rng.standard_normal(len(frame)), 0)
    declined = pd.DataFrame(columns=["unique_id", "origin", "family", "reason"])
    days = tuple(o.date() for o in origins)
    return Backtest(frame.assign(censored=False), pd.DataFrame(), declined, tuple(spread), 14, days)


ALL_SMOOTH = pd.Series("smooth", index=range(1, 41))


def test_combine__weights__renormalised_over_the_families_that_made_it():
    made = combine(FRAME, {ANY_CLASS: {"lightgbm": 0.7, "prophet": 0.3}}, CLASSES)
    assert made["yhat"].tolist() == pytest.approx([13.0, 10.0, 13.0, 4.0])
    assert made["family"].tolist() == ["lightgbm+prophet", "lightgbm", "lightgbm+prophet", "seasonal_naive"]
    assert made["flags"].tolist() == ["", "declined:prophet", "", "fallback,declined:lightgbm,declined:prophet"]


def test_combine__class_with_its_own_weights__uses_them():
    weights = {ANY_CLASS: {"lightgbm": 1.0}, "lumpy": {"seasonal_naive": 1.0}}
    assert combine(FRAME, weights, CLASSES)["yhat"].tolist() == pytest.approx([10, 10, 3, 4])


def test_choose_spec__independent_errors__ensemble_and_never_worse_than_the_best_single():
    result = noisy_backtest({"seasonal_naive": 9.0, "lightgbm": 6.0, "prophet": 6.0})
    spec, _, reason = choose_spec(result, ModelSpec(result.families), ALL_SMOOTH)
    assert spec.mode == "ensemble" and "beat" in reason
    error = series_errors(result, spec.weights, ALL_SMOOTH)["error"].sum()
    for family in result.families:
        assert error <= series_errors(result, {ANY_CLASS: {family: 1.0}}, ALL_SMOOTH)["error"].sum()


def test_choose_spec__one_family_far_better__single():
    result = noisy_backtest({"seasonal_naive": 20.0, "lightgbm": 1.0, "prophet": 25.0})
    spec, _, _ = choose_spec(result, ModelSpec(result.families), ALL_SMOOTH)
    assert spec.mode == "single_lightgbm"
    assert spec.families == ("lightgbm", "seasonal_naive")


def test_choose_spec__family_that_declines_most__is_not_chosen_alone():
    result = noisy_backtest({"seasonal_naive": 9.0, "lightgbm": 6.0, "prophet": 1.0})
    frame = result.frame.assign(prophet=result.frame["prophet"].where(result.frame["unique_id"] <= 2))
    spec, _, _ = choose_spec(replace(result, frame=frame), ModelSpec(result.families), ALL_SMOOTH)
    assert spec.mode != "single_prophet"


def test_choose_spec__only_one_family__that_one():
    result = noisy_backtest({"seasonal_naive": 9.0})
    spec, sweep, reason = choose_spec(result, ModelSpec(result.families), ALL_SMOOTH)
    assert (spec.mode, sweep) == ("single_seasonal_naive", []) and "only" in reason


def test_class_weights__classes_differ__each_gets_its_better_family():
    one = noisy_backtest({"lightgbm": 1.0, "seasonal_naive": 20.0}, series=20)
    two = noisy_backtest({"lightgbm": 20.0, "seasonal_naive": 1.0}, series=20, seed=2)
    frame = pd.concat([one.frame, two.frame.assign(unique_id=two.frame["unique_id"] + 20)], ignore_index=True)
    classes = pd.Series(["smooth"] * 20 + ["lumpy"] * 20, index=range(1, 41))
    weights = class_weights(replace(one, frame=frame), classes)
    assert weights["smooth"].get("lightgbm", 0) >= 0.9 and weights["lumpy"].get("seasonal_naive", 0) >= 0.9


def test_pair_sweep__three_families__eleven_points_a_pair_with_intervals():
    result = noisy_backtest({"seasonal_naive": 9.0, "lightgbm": 6.0, "prophet": 6.0})
    sweep = pair_sweep(result, ALL_SMOOTH, 1)
    assert len(sweep) == 33
    for point in sweep:
        assert point.low is not None and point.wape is not None and point.high is not None
        assert point.low <= point.wape <= point.high
    first = [p for p in sweep if set(p.weights[ANY_CLASS]) == {"lightgbm", "prophet"}]
    alone = series_errors(result, {ANY_CLASS: {"lightgbm": 1.0}}, ALL_SMOOTH)
    assert first[0].wape == pytest.approx(alone["error"].sum() / alone["actual"].sum())


@pytest.mark.parametrize("most", [1, 3, 100_000])
@pytest.mark.parametrize(
    "weights",
    [{ANY_CLASS: {"lightgbm": 1.0}}, {ANY_CLASS: {"lightgbm": 0.5, "prophet": 0.5}, "lumpy": {"prophet": 1.0}}],
    ids=["single", "mixture"],
)
def test_combined__pieces_of_any_size__is_the_yhat_of_combine(monkeypatch: pytest.MonkeyPatch, most: int, weights):
    monkeypatch.setattr(combine_module, "MOST_ROWS", most)
    unknown = FRAME.assign(unique_id=FRAME["unique_id"] + 1)  # series 4 has no class
    for frame in (FRAME, unknown, FRAME.iloc[:0], FRAME.drop(columns="seasonal_naive")):
        made = combined(frame, weights, CLASSES)
        np.testing.assert_array_equal(made, combine(frame, weights, CLASSES)["yhat"].to_numpy(dtype="float64"))


def test_combine__no_weights_for_all_classes__an_error():
    with pytest.raises(KeyError):
        combine(FRAME, {"lumpy": {"prophet": 1.0}}, CLASSES)
