"""The synthetic retail panel: the same for a seed, and as it says of itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.panel import classify
from forecasting.engine.synthetic import RetailShape, RetailTruth, retail

SHAPE = RetailShape(series=120, days=730, stores=8)


@pytest.fixture(scope="module")
def truth() -> RetailTruth:
    return retail(SHAPE)


def test_retail__same_seed__same_numbers_and_another_seed_others(truth):
    again = retail(SHAPE)
    for name in ("mean", "chance", "noise", "demand", "price", "promotion", "closed"):
        assert np.array_equal(getattr(again, name), getattr(truth, name)), name
    pd.testing.assert_frame_equal(again.panel().history, truth.panel().history, check_exact=True)
    other = retail(RetailShape(series=120, days=730, stores=8, seed=1))
    assert not np.array_equal(other.demand, truth.demand)


def test_retail__nothing_planned_ahead__plan_ends_with_the_history():
    short = retail(RetailShape(series=3, days=30, stores=1, ahead=0))
    assert short.demand.shape == short.mean.shape == (3, 30)
    panel = short.panel()
    assert panel.future is not None and panel.days == 30
    assert panel.future["ds"].max() == panel.history["ds"].max()  # the plan of past days only


def test_retail__demand__has_the_mean_and_the_spread_it_was_drawn_from(truth):
    dense = truth.chance == 1
    mean = truth.mean[dense][:, : SHAPE.days]
    open_days = ~truth.closed[dense][:, : SHAPE.days]
    error = (truth.demand[dense] - mean)[open_days]
    variance = (mean + (truth.noise[dense][:, None] * mean) ** 2)[open_days]
    n = open_days.sum()
    assert abs(error.sum()) < 4 * np.sqrt(variance.sum())
    assert (error**2 / variance).mean() == pytest.approx(1.0, abs=12 / np.sqrt(n) + 0.02)
    assert truth.demand[truth.closed[:, : SHAPE.days]].sum() == 0


@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9])
def test_quantile__share_of_days_at_or_below__is_the_probability(truth, probability):
    quantile = truth.quantile(probability, 300, 500)
    open_days = ~truth.closed[:, 300:500]
    sold = truth.demand[:, 300:500]
    at_or_below = (sold <= quantile)[open_days].mean()
    below = (sold < quantile)[open_days].mean()
    # A count's quantile is the least value whose share reaches the probability: it lies between the two shares.
    assert below - 0.01 <= probability <= at_or_below + 0.01


def test_panel__regular_grid__with_closures_promotions_prices_and_every_demand_class(truth):
    panel = truth.panel()
    history = panel.history
    assert len(panel.ids) == 120 and panel.days == 730 and panel.last_day.isoformat() == "2023-12-31"
    assert history.loc[history["closed"], "y"].sum() == 0 and 0.02 < history["closed"].mean() < 0.2
    christmas = history.loc[(history["ds"].dt.month == 12) & (history["ds"].dt.day == 25)]
    assert christmas["closed"].all()
    assert {"smooth", "intermittent", "erratic", "lumpy"} == set(classify(panel))
    assert panel.future is not None
    ahead = panel.future.loc[panel.future["ds"] > history["ds"].max()]
    assert len(ahead) == 120 * SHAPE.ahead and ahead.notna().all(axis=None)


def test_promotion__same_series__sells_more_at_a_lower_price(truth):
    dense = truth.chance == 1
    promoted = truth.promotion[dense][:, : SHAPE.days] & ~truth.closed[dense][:, : SHAPE.days]
    plain = ~truth.promotion[dense][:, : SHAPE.days] & ~truth.closed[dense][:, : SHAPE.days]
    base = truth.demand[dense].mean(axis=1, keepdims=True)
    assert (truth.demand[dense] / base)[promoted].mean() > 1.3 * (truth.demand[dense] / base)[plain].mean()
    price = truth.price[dense][:, : SHAPE.days] / truth.price[dense][:, : SHAPE.days].mean(axis=1, keepdims=True)
    assert price[promoted].mean() < 0.9 * price[plain].mean()


@pytest.mark.parametrize("wrong", [{"series": 0}, {"days": 0}, {"noise": 0.0}, {"promotions": 1.5}, {"ahead": -1}])
def test_shape__cannot_be_made__is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        RetailShape(**wrong)
