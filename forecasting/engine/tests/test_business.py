"""The newsvendor against an oracle, its confidence, and the paired bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.bootstrap import paired_bootstrap
from forecasting.engine.business import BusinessPolicy, BusinessScores, business_scores, unit_economics
from forecasting.engine.conformal import Calibration
from forecasting.engine.tests.test_conformal import CLASSES, noisy

IDS = list(range(1, 61))


def values(price: float | None = 10.0, cost: float | None = 6.0) -> pd.DataFrame:
    table = {"unique_id": IDS, "unit_price": price, "unit_cost": cost}
    return pd.DataFrame(table).astype({"unit_price": float, "unit_cost": float})


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(noisy(1), CLASSES)


def test_business_scores__random_rows__equal_the_oracle(calibration: Calibration):
    frame, policy = noisy(2), BusinessPolicy()
    found = business_scores(frame, calibration, values(), policy)
    cu, co = 10.0 - 6.0, 6.0 * policy.default_holding_rate
    orders = calibration.protection_quantile(frame, 7, cu / (cu + co)).set_index(["unique_id", "origin"])["quantity"]
    by_path: dict[Any, float] = dict(zip(orders.index, orders.to_numpy(), strict=True))
    lost = over = ordered = missed = 0.0
    for key, path in frame.loc[frame["h"] <= 7].groupby(["unique_id", "origin"]):
        demand, quantity = path["y"].sum(), by_path[key]
        lost += max(demand - quantity, 0)
        over += max(quantity - demand, 0)
        ordered += quantity
        missed += demand > quantity
    assert found.lost_sales_qty.value == pytest.approx(lost)
    assert found.overstock_qty.value == pytest.approx(over)
    assert found.overstock_rate.value == pytest.approx(over / ordered)
    assert found.stockout_miss_rate.value == pytest.approx(missed / len(orders))
    assert found.cost_stockout.value == pytest.approx(cu * lost)
    assert found.cost_overstock.value == pytest.approx(co * over)
    assert found.total_cost.value == pytest.approx(cu * lost + co * over)
    assert found.series_cost is not None and found.series_cost.sum() == pytest.approx(found.total_cost.value)
    parts = found.series_parts
    assert parts is not None and parts["lost_sales_qty"].sum() == pytest.approx(found.lost_sales_qty.value)
    assert parts[["cost_stockout", "cost_overstock"]].sum(axis=1).to_numpy() == pytest.approx(found.series_cost)


@pytest.mark.parametrize(
    ("price", "cost", "costs", "quantities"),
    [
        (10.0, 6.0, "measured", "measured"),
        (10.0, None, "estimated", "estimated"),
        (None, 6.0, "estimated", "estimated"),
        (None, None, "unavailable", "estimated"),
    ],
)
def test_confidence__what_the_tenant_supplied__named(calibration: Calibration, price, cost, costs, quantities):
    found = business_scores(noisy(2), calibration, values(price, cost), BusinessPolicy())
    assert (found.total_cost.confidence, found.lost_sales_qty.confidence) == (costs, quantities)
    assert (found.total_cost.value is None) == (costs == "unavailable")
    assert found.stockout_miss_rate.value is not None


def test_business_scores__one_series_without_a_price__costs_unavailable(calibration: Calibration):
    table = values()
    table.loc[0, ["unit_price", "unit_cost"]] = np.nan
    assert business_scores(noisy(2), calibration, table, BusinessPolicy()).cost_stockout.confidence == "unavailable"


def test_business_scores__censored_day_in_the_interval__path_left_out(calibration: Calibration):
    frame = noisy(2)
    hidden = frame.assign(censored=(frame["h"] == 3) & (frame["unique_id"] <= 30))
    found = business_scores(hidden, calibration, values(), BusinessPolicy())
    assert found.stockout_miss_rate.score.n == 30 * 4


def test_business_scores__closed_day_in_the_interval__counts_as_no_demand(calibration: Calibration):
    frame = noisy(2)
    sunday = frame["h"] == 3
    shut = frame.assign(censored=sunday, closed=sunday, y=frame["y"].where(~sunday, 0.0))
    found = business_scores(shut, calibration, values(), BusinessPolicy())
    known = business_scores(shut.assign(censored=False), calibration, values(), BusinessPolicy())
    assert found.to_json() == known.to_json() and found.total_cost.score.n == 60 * 4


def test_business_scores__no_path_covers_the_interval__none_with_a_reason(calibration: Calibration):
    found = business_scores(noisy(2, horizon=5), calibration, values(), BusinessPolicy())
    assert found.total_cost.value is None and "protection interval" in (found.total_cost.score.reason or "")
    assert BusinessScores.from_json(found.to_json()).total_cost == found.total_cost


def test_unit_economics__sold_at_a_loss__no_margin_to_lose():
    table = unit_economics(values(5.0, 6.0), BusinessPolicy())
    assert (table["cu"] == 0).all() and (table["critical_ratio"] == 0.01).all()


def test_policy__nonsense__refused():
    with pytest.raises(ValueError, match="lead time"):
        BusinessPolicy(lead_time_days=0, review_period_days=0)
    with pytest.raises(ValueError, match="margin"):
        BusinessPolicy(default_margin_rate=1.0)


def test_bootstrap__candidate_clearly_cheaper__sure_and_repeatable():
    rng = np.random.default_rng(1)
    champion = pd.Series(rng.uniform(5, 15, 60))
    candidate = champion * rng.uniform(0.8, 0.95, 60)
    one, two = (paired_bootstrap(champion, candidate, seed=4) for _ in range(2))
    assert one == two and one.p_lower == 1.0 and one.upper95 is not None and one.upper95 < 0
    assert one.change == pytest.approx(candidate.sum() / champion.sum() - 1)
    assert one.low is not None and one.change is not None and one.high is not None
    assert one.low <= one.change <= one.high


def test_bootstrap__against_a_plain_loop__same_distribution():
    rng = np.random.default_rng(2)
    champion, candidate = pd.Series(rng.uniform(5, 15, 40)), pd.Series(rng.uniform(4.8, 15, 40))
    found = paired_bootstrap(champion, candidate)
    draws = [rng.integers(0, 40, 40) for _ in range(2000)]
    loop = [candidate.to_numpy()[d].sum() / champion.to_numpy()[d].sum() - 1 for d in draws]
    assert found.p_lower == pytest.approx(np.mean(np.array(loop) < 0), abs=0.04)
    assert found.upper95 == pytest.approx(np.quantile(loop, 0.95), abs=0.02)


def test_bootstrap__same_costs__even_odds():
    cost = pd.Series(np.arange(1.0, 21))
    found = paired_bootstrap(cost, cost)
    assert (found.p_lower, found.change, found.upper95) == (0.5, 0.0, 0.0)


@pytest.mark.parametrize(
    ("champion", "candidate"),
    [
        (pd.Series([1.0] * 4), pd.Series([1.0] * 4)),
        (pd.Series([1.0] * 9), pd.Series([1.0] * 8)),
        (pd.Series([0.0] * 9), pd.Series([1.0] * 9)),
        (pd.Series([1.0] * 9), pd.Series([np.nan] * 9)),
    ],
)
def test_bootstrap__cannot_tell__no_evidence_with_a_reason(champion: pd.Series, candidate: pd.Series):
    found = paired_bootstrap(champion, candidate)
    assert found.p_lower is None and found.upper95 is None and found.reason
