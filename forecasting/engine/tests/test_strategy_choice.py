"""Which mode a cycle proposes, and whether its sentence says what the figures say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.bootstrap import paired_bootstrap
from forecasting.engine.strategy import FITTED_MIXTURE, FITTED_PAIR, STEPS, Sweep, sweep
from forecasting.engine.strategy_choice import Recommendation, plain_name, recommend, shares_text
from forecasting.engine.tests.strategy_ground import POLICY, base_spec, made_backtest, unit_values


def swept(price: float | None = 3.0, steps: int = 2, **options) -> Sweep:
    backtest, classes = made_backtest(**{"origins": 2, **options})
    cost = None if price is None else 2.0
    values = unit_values(backtest, price, cost)
    return sweep(backtest, base_spec(backtest), classes, values, POLICY, resamples=200, steps=steps)


@pytest.fixture(scope="module")
def two_good() -> Sweep:
    """Two families whose errors know nothing of each other: their mean errs by a third less."""
    return swept(series=40, seed=5, origins=3, noise={"seasonal_naive": 0.9, "lightgbm": 0.5, "seasonal_average": 0.5})


@pytest.fixture(scope="module")
def one_good() -> Sweep:
    """One family that is nearly right, and one that is far off."""
    return swept(series=40, noise={"seasonal_naive": 0.9, "lightgbm": 0.1})


def test_recommend__one_family_far_better__that_single(one_good):
    choice = recommend(one_good)
    assert (choice.key, choice.measure, choice.measure_why) == ("single:lightgbm", "total_cost", "")
    assert choice.sentence.startswith("One model, lightgbm, is enough: ")


def test_recommend__two_independent_families__the_mixture_with_its_gain(two_good):
    choice = recommend(two_good)
    assert choice.key == FITTED_PAIR
    weights = two_good.get(choice.key).point.weights["*"]
    assert set(weights) == {"lightgbm", "seasonal_average"}
    gain = choice.mixture_against_single
    assert gain is not None and gain.change is not None and gain.high is not None and gain.high < 0
    assert f"costs {-gain.change:.1%} less (95%: {-gain.high:.1%} to " in choice.sentence
    assert choice.sentence.startswith("A mixture, lightgbm 0.5 and seasonal average 0.5, costs ")
    assert choice.sentence.endswith("than the best single, lightgbm.")


def test_recommend__contenders__are_told_as_a_bootstrap_of_their_series_says(two_good):
    choice = recommend(two_good)
    losses = two_good.losses["total_cost"]
    totals = {key: float(losses[key].sum()) for key in two_good.modes}
    assert choice.best == min(totals, key=lambda key: totals[key])
    for one in choice.contenders:
        assert one.value == pytest.approx(totals[one.key])
        draws = np.random.default_rng(two_good.seed).multinomial(40, [1 / 40] * 40, size=2000)
        change = (draws @ losses[one.key]) / (draws @ losses[choice.best]) - 1
        low = float(np.quantile(change, 0.025))
        if one.key != choice.best:
            assert one.against_best.low == pytest.approx(low)
            assert one.within_noise == (low <= 0 or one.value <= totals[choice.best])
    within = [one.key for one in choice.contenders if one.within_noise]
    assert choice.key in within


def test_recommend__mixture_within_the_noise__the_single_and_says_so():
    """Two families that err alike: a mixture gains nothing that could be told from luck."""
    backtest, classes = made_backtest(series=12, origins=2, noise={"seasonal_naive": 0.9, "lightgbm": 0.3})
    frame = backtest.frame
    rng = np.random.default_rng(5)
    twin = frame["lightgbm"] * rng.lognormal(0.0, 0.04, len(frame))
    backtest = replace(
        backtest, frame=frame.assign(seasonal_average=twin), families=(*backtest.families, "seasonal_average")
    )
    made = sweep(backtest, base_spec(backtest), classes, unit_values(backtest), POLICY, resamples=200, steps=2)
    choice = recommend(made)
    assert choice.key.startswith("single:") and choice.key == choice.single
    assert "is enough" in choice.sentence


def test_recommend__no_prices__goes_by_wape_and_says_so():
    choice = recommend(swept(price=None, steps=STEPS, noise={"seasonal_naive": 0.9, "lightgbm": 0.5}))
    assert choice.measure == "wape" and "unit_price" in choice.measure_why
    assert "Costs are not known" in choice.sentence and "by the error (WAPE) alone" in choice.sentence
    assert " errs " in choice.sentence and " costs " not in choice.sentence


def test_recommend__too_few_series_to_tell__the_best_single():
    made = swept(series=4, noise={"seasonal_naive": 0.9, "lightgbm": 0.5, "seasonal_average": 0.5})
    choice = recommend(made)
    singles = [made.get(key) for key in made.modes if key.startswith("single:")]
    least = min(singles, key=lambda one: one.figures["total_cost"].value or 0.0)
    assert choice.key == least.key
    assert choice.mixture is None or "cannot be told" in choice.sentence
    assert all(one.low is None for one in choice.beside_single.values())


def test_recommend__beside_single__is_the_paired_change_of_every_point(two_good):
    choice = recommend(two_good)
    assert set(choice.beside_single) == {point.key for point in two_good.points}
    assert choice.beside_single[choice.single].change == 0.0
    losses = two_good.losses["total_cost"]
    for key in ("pair:lightgbm:seasonal_average:0.5", FITTED_MIXTURE):
        wanted = paired_bootstrap(pd.Series(losses[choice.single]), pd.Series(losses[key]), seed=two_good.seed)
        got = choice.beside_single[key]
        assert got.change == pytest.approx(wanted.change)
        assert got.low == pytest.approx(wanted.low)
        assert got.high == pytest.approx(wanted.high)


def test_recommend__lowest_point__is_the_least_of_the_whole_sweep(two_good):
    choice = recommend(two_good)
    values = {point.key: point.figures["total_cost"].value or 0.0 for point in two_good.points}
    assert values[choice.lowest] == pytest.approx(min(values.values()))


def test_recommend__again__is_the_same(two_good):
    first, second = recommend(two_good), recommend(two_good)
    assert isinstance(first, Recommendation) and first.to_json() == second.to_json()


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"lightgbm": 1.0}, "lightgbm"),
        ({"prophet": 0.3, "lightgbm": 0.7}, "lightgbm 0.7 and prophet 0.3"),
        ({"b": 0.25, "a": 0.25, "seasonal_naive": 0.5}, "seasonal naive 0.5, a 0.25 and b 0.25"),
    ],
)
def test_shares__row_of_weights__reads_as_words(row, text):
    assert shares_text(row) == text


def test_name__weights_of_classes_of_their_own__says_per_demand_class(two_good):
    point = two_good.get(FITTED_PAIR)
    weights = {"*": {"lightgbm": 1.0}, "smooth": {"seasonal_average": 1.0}}
    assert plain_name(replace(point, point=replace(point.point, weights=weights))) == "weights per demand class"
