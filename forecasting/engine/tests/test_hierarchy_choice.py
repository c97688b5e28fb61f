"""Bottom-up or MinT: chosen by what was not used to make it, stored with the fit, the same wherever it forecasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import hierarchy_choice
from forecasting.engine.backtest import rolling_origins
from forecasting.engine.families import lightgbm
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.hierarchy import Tree
from forecasting.engine.hierarchy_choice import (
    NodeBacktest,
    compare,
    cross_fitted,
    node_backtest,
    why_no_mint,
)
from forecasting.engine.panel import Panel
from forecasting.engine.synthetic import RetailShape, retail
from forecasting.engine.train import SearchConfig, evaluate, evaluate_beside, search
from forecasting.engine.types import BOTTOM_UP, MINT, ModelSpec

ORIGINS = pd.to_datetime(["2024-03-01", "2024-03-15", "2024-03-29", "2024-04-12"])
DAYS = [day.date() for day in ORIGINS]


def case(seed: int, *, series_noise: float, node_noise: float) -> tuple[pd.DataFrame, NodeBacktest, pd.DataFrame]:
    """Rolling-origin rows whose series and nodes err independently by so much; scales of one."""
    rng = np.random.default_rng(seed)
    ids = range(1, 13)
    static = pd.DataFrame({"unique_id": ids, "store_id": [f"s{k % 3}" for k in ids],
                           "category": [f"c{k % 2}" for k in ids]})  # fmt: skip
    tree = Tree.of(static)
    index = pd.MultiIndex.from_product([ids, ORIGINS, range(1, 15)], names=["unique_id", "origin", "h"])
    frame = index.to_frame(index=False)
    frame["ds"] = frame["origin"] + pd.to_timedelta(frame["h"], unit="D")
    frame["y"] = rng.poisson(20.0, len(frame)).astype("float64")
    frame["yhat"] = np.maximum(frame["y"] + rng.normal(0, series_noise, len(frame)), 0.0)
    frame = frame.assign(censored=False, closed=False)
    joined = frame.merge(tree.members, on="unique_id").groupby(["node", "origin", "ds", "h"])[["y"]].sum()
    own = joined.reset_index().rename(columns={"node": "unique_id"})
    own["yhat"] = np.maximum(own["y"] + rng.normal(0, node_noise, len(own)), 0.0)
    scales = [
        pd.DataFrame({"unique_id": k, "origin": ORIGINS, "rmsse_scale": 1.0, "mase_scale": 1.0, "weight": 1.0})
        for k in ids
    ]
    of_all = pd.concat(scales, ignore_index=True)
    nodes = NodeBacktest(tree, "lightgbm", own.drop(columns="y"), of_all.loc[of_all["unique_id"] <= len(tree.nodes)])
    return frame, nodes, of_all


def test_compare__nodes_know_better__mint_and_every_level_is_better():
    frame, nodes, scales = case(1, series_noise=8.0, node_noise=1.0)
    found = compare(frame, cross_fitted(frame, nodes)[0], nodes, scales, seed=1, week_steps=7)
    assert found.chosen == MINT and found.p_lower is not None and found.p_lower >= 0.9 and found.levels is not None
    assert list(found.levels) == ["total", "store", "category", "series"]
    for both in found.levels.values():
        for score in ("wape", "rmsse"):
            mint, plain = both[MINT][score], both[BOTTOM_UP][score]
            assert mint is not None and plain is not None and mint < plain


def test_compare__nodes_know_nothing__bottom_up_with_the_reason():
    frame, nodes, scales = case(2, series_noise=1.0, node_noise=400.0)
    wrong = nodes.frame.assign(yhat=nodes.frame["yhat"] * 3)
    found = compare(frame, cross_fitted(frame, replace(nodes, frame=wrong))[0], nodes, scales, seed=1, week_steps=7)
    assert found.chosen == BOTTOM_UP and "MinT" in found.reason


def test_compare__too_few_weeks_to_be_sure__bottom_up():
    frame, nodes, scales = case(1, series_noise=8.0, node_noise=1.0)
    frame = frame.loc[frame["h"] <= 7].reset_index(drop=True)
    found = compare(frame, cross_fitted(frame, nodes)[0], nodes, scales, seed=1, week_steps=7)
    assert (found.chosen, found.p_lower) == (BOTTOM_UP, None) and "beyond noise" in found.reason


def test_compare__wape_of_each_level__as_by_loops():
    frame, nodes, scales = case(3, series_noise=4.0, node_noise=4.0)
    mint = cross_fitted(frame, nodes)[0]
    found = compare(frame, mint, nodes, scales, seed=1, week_steps=7)
    assert found.levels is not None
    stores = {k: f"s{k % 3}" for k in range(1, 13)}
    sums: dict[tuple[str, pd.Timestamp], list[float]] = {}
    for key, ds, y, value in zip(
        *(frame[name].tolist() for name in ("unique_id", "ds", "y")), mint.tolist(), strict=True
    ):
        one = sums.setdefault((stores[key], ds), [0.0, 0.0])
        one[0] += y
        one[1] += value
    expected = sum(abs(y - yhat) for y, yhat in sums.values()) / sum(y for y, _ in sums.values())
    assert found.levels["store"][MINT]["wape"] == pytest.approx(expected, rel=1e-9)


def test_cross_fitted__actuals_of_an_origin_multiplied__its_own_forecasts_stay_to_the_bit():
    frame, nodes, _ = case(4, series_noise=4.0, node_noise=4.0)
    here = frame["origin"] == ORIGINS[1]
    poisoned = frame.assign(y=frame["y"].where(~here, frame["y"] * 1000))
    one, other = cross_fitted(frame, nodes)[0], cross_fitted(poisoned, nodes)[0]
    assert one[here].equals(other[here])
    assert not one[~here].equals(other[~here]), "the others are weighed by it"


def test_cross_fitted__a_row_without_a_forecast__stays_without():
    frame, nodes, _ = case(5, series_noise=4.0, node_noise=4.0)
    frame.loc[3, "yhat"] = np.nan
    made = cross_fitted(frame, nodes)[0]
    assert np.isnan(made[3]) and made.drop(index=3).notna().all()


@pytest.fixture(scope="module")
def panel() -> Panel:
    return retail(RetailShape(series=24, days=150, stores=4, seed=3)).panel()


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lightgbm.DEFAULTS, "rounds", 15)


MINTED = ModelSpec(("lightgbm", "seasonal_naive"), horizon=7, reconciliation=MINT)


def test_why_no_mint__too_many_series_or_no_family_or_one_origin__says_so(panel: Panel, monkeypatch):
    assert why_no_mint(panel, MINTED.families, DAYS) is None
    assert "one origin" in str(why_no_mint(panel, MINTED.families, DAYS[:1]))
    assert "no family" in str(why_no_mint(panel, ("seasonal_naive",), DAYS))
    assert "no stores" in str(why_no_mint(replace(panel, static=panel.static[["unique_id"]]), MINTED.families, DAYS))
    monkeypatch.setattr(hierarchy_choice, "MOST_SERIES", 23)
    assert "up to 23 series; there are 24" in str(why_no_mint(panel, MINTED.families, DAYS))


def test_node_backtest__days_after_an_origin_multiplied__its_forecasts_stay_to_the_bit(panel: Panel, few_rounds):
    origins = rolling_origins(panel.last_day, 7, 2)
    poisoned = panel.history.assign(
        y=panel.history["y"].where(panel.history["ds"] <= pd.Timestamp(origins[0]), panel.history["y"] * 1000)
    )
    one, other = (node_backtest(replace(panel, history=h), MINTED, origins) for h in (panel.history, poisoned))
    first = one.frame["origin"] == pd.Timestamp(origins[0])
    pd.testing.assert_frame_equal(one.frame[first], other.frame[first], check_exact=True)


def test_search__both_ways_compared__the_spec_says_which_and_its_evaluation_is_of_it(panel: Panel, few_rounds):
    found = search(panel, SearchConfig(families=("seasonal_naive", "lightgbm"), horizon=7, origins=3))
    assert found.reconciliation is not None and found.reconciliation.levels is not None
    assert found.spec.reconciliation == found.reconciliation.chosen
    assert found.evaluation.hierarchy is not None
    assert (found.evaluation.hierarchy.variances is not None) == (found.spec.reconciliation == MINT)
    assert found.evaluation.scores.get("wape").value == pytest.approx(
        found.reconciliation.levels["series"][found.spec.reconciliation]["wape"], rel=1e-12
    )


def test_fit__mint__forecasts_agree_with_the_nodes_and_come_back_bit_identical(panel: Panel, few_rounds, tmp_path):
    evaluation = evaluate(panel, MINTED, origins=3)
    fitted = fit(panel, MINTED, evaluation.calibration, hierarchy=evaluation.hierarchy)
    plain = fit(panel, replace(MINTED, reconciliation=BOTTOM_UP), evaluation.calibration, hierarchy=None)
    made, sums = fitted.forecast(panel, 7), plain.forecast(panel, 7)
    assert not np.allclose(made["yhat"], sums["yhat"]) and (made["yhat"] >= 0).all()
    ordered = made[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()
    fitted.save(tmp_path)
    again = FittedModel.load(tmp_path)
    pd.testing.assert_frame_equal(again.forecast(panel, 7), made, check_exact=True)
    assert again.hierarchy is not None
    nodes = again.hierarchy.forecast(made, panel.static)
    total = nodes.loc[nodes["level"] == "total", "yhat"].to_numpy()
    assert total == pytest.approx(made.groupby("h")["yhat"].sum().to_numpy(), rel=1e-12)


@pytest.mark.parametrize("way", [BOTTOM_UP, MINT])
def test_evaluate__without_the_levels__same_scores_and_same_forecasts_of_series(panel: Panel, few_rounds, way: str):
    spec = replace(MINTED, reconciliation=way)
    whole, lean = (evaluate_beside(panel, spec, origins=3, beside=(), levels=levels)[0] for levels in (True, False))
    assert whole.hierarchy is not None and lean.hierarchy is None
    assert lean.scores == whole.scores and lean.calibration == whole.calibration
    made, other = (
        fit(panel, spec, one.calibration, hierarchy=one.hierarchy).forecast(panel, 7) for one in (whole, lean)
    )
    assert made.equals(other) == (way == BOTTOM_UP), "the levels matter to the series under MinT alone"


def test_spec__bottom_up__keeps_the_identity_it_had_and_mint_has_another():
    plain = ModelSpec(("lightgbm",))
    assert "reconciliation" not in plain.to_json() and plain == ModelSpec.from_json(plain.to_json())
    mint = replace(plain, reconciliation=MINT)
    assert mint.sha256 != plain.sha256 and ModelSpec.from_json(mint.to_json()) == mint
    with pytest.raises(ValueError, match="bottom_up or mint"):
        replace(plain, reconciliation="top_down")
