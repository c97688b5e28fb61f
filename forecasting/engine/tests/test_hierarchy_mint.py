"""MinT against the textbook's formula and an independent solver."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from forecasting.engine.hierarchy import Node, Tree, node_forecasts
from forecasting.engine.hierarchy_mint import MIN_VARIANCE, Variances, reconcile


def case(seed: int, series: int = 9, horizon: int = 5) -> tuple[pd.DataFrame, pd.DataFrame, Tree, Variances]:
    """Base forecasts of series and nodes that disagree, with variances."""
    rng = np.random.default_rng(seed)
    ids = range(1, series + 1)
    static = pd.DataFrame({"unique_id": ids, "store_id": [f"s{k % 3}" for k in ids],
                           "category": [f"c{k % 2}" for k in ids]})  # fmt: skip
    tree = Tree.of(static)
    days = pd.date_range("2024-02-01", periods=horizon)
    index = pd.MultiIndex.from_product([ids, days], names=["unique_id", "ds"]).to_frame(index=False)
    frame = index.assign(yhat=20.0 + rng.gamma(2.0, 4.0, len(index)), h=index.groupby("unique_id").cumcount() + 1)
    nodes = node_forecasts(frame, tree)
    nodes["yhat"] = nodes["yhat"] * rng.uniform(0.7, 1.3, len(nodes))
    variances = Variances(
        {k: float(rng.uniform(1, 9)) for k in ids}, {n: float(rng.uniform(5, 50)) for n in tree.nodes}
    )
    return frame, nodes, tree, variances


def matrices(frame: pd.DataFrame, nodes: pd.DataFrame, tree: Tree, variances: Variances):
    """S by plain loops, base forecasts (rows × days) and the weights, nodes first."""
    ids, days = sorted(frame["unique_id"].unique()), sorted(frame["ds"].unique())
    pairs = set(zip(tree.members["unique_id"], tree.members["node"], strict=True))
    summing = [[float((i, k + 1) in pairs) for i in ids] for k in range(len(tree.nodes))]
    summing += [[float(i == j) for j in ids] for i in ids]
    base = [[nodes.set_index(["unique_id", "ds"])["yhat"][k + 1, day] for day in days] for k in range(len(tree.nodes))]
    base += [[frame.set_index(["unique_id", "ds"])["yhat"][i, day] for day in days] for i in ids]
    weight = [1 / variances.nodes[n] for n in tree.nodes] + [1 / variances.series[i] for i in ids]
    return np.array(summing), np.array(base), np.array(weight)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_reconcile__disagreeing_forecasts__the_generalised_least_squares_of_the_paper(seed: int):
    frame, nodes, tree, variances = case(seed)
    made = frame.assign(yhat=reconcile(frame, nodes, tree, variances))
    summing, base, weight = matrices(frame, nodes, tree, variances)
    expected = np.linalg.solve(summing.T @ np.diag(weight) @ summing, summing.T @ np.diag(weight) @ base)
    assert (expected > 0).all(), "the case is one without a bound"
    assert made.pivot(index="unique_id", columns="ds", values="yhat").to_numpy() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("seed", [4, 5])
def test_reconcile__nodes_far_below_their_members__never_negative_and_the_best_of_what_is_not(seed: int):
    frame, nodes, tree, variances = case(seed)
    nodes["yhat"] *= 0.2
    made = frame.assign(yhat=reconcile(frame, nodes, tree, variances))
    assert (made["yhat"] >= 0).all()
    summing, base, weight = matrices(frame, nodes, tree, variances)
    root = np.sqrt(weight)
    expected = np.column_stack([nnls(root[:, None] * summing, root * base[:, d])[0] for d in range(base.shape[1])])
    free = np.linalg.solve(summing.T @ np.diag(weight) @ summing, summing.T @ np.diag(weight) @ base)
    assert (free < 0).any(), "the case is one where the bound matters"
    assert made.pivot(index="unique_id", columns="ds", values="yhat").to_numpy() == pytest.approx(expected, abs=1e-3)


def test_reconcile__agreeing_forecasts__nothing_changes():
    frame, _, tree, variances = case(6)
    made = reconcile(frame, node_forecasts(frame, tree), tree, variances)
    assert made.to_numpy() == pytest.approx(frame["yhat"].to_numpy(), rel=1e-10)


def test_reconcile__a_certain_total__is_met_by_the_sum():
    frame, nodes, tree, variances = case(7)
    sure = Variances(variances.series, {Node("total", ""): MIN_VARIANCE})
    made = frame.assign(yhat=reconcile(frame, nodes, tree, sure))
    total = nodes.loc[nodes["unique_id"] == 1].set_index("ds")["yhat"]
    assert made.groupby("ds")["yhat"].sum().to_numpy() == pytest.approx(total.to_numpy(), rel=1e-5)


def test_reconcile__rows_in_another_order__the_same_bits():
    frame, nodes, tree, variances = case(8)
    mixed = frame.sample(frac=1.0, random_state=2)
    one = reconcile(frame, nodes, tree, variances)
    other = reconcile(mixed, nodes.sample(frac=1.0, random_state=3), tree, variances)
    pd.testing.assert_series_equal(other.sort_index(), one, check_exact=True)


def test_reconcile__a_new_series_and_a_node_without_a_variance__still_finite():
    frame, nodes, tree, variances = case(9)
    partial = Variances({k: v for k, v in variances.series.items() if k > 2},
                        {n: v for n, v in variances.nodes.items() if n.key != "s1"})  # fmt: skip
    made = reconcile(frame, nodes, tree, partial)
    assert np.isfinite(made).all() and (made >= 0).all() and not np.allclose(made, frame["yhat"])


def test_reconcile__no_node_takes_part__the_series_stay():
    frame, nodes, tree, variances = case(10)
    assert reconcile(frame, nodes.iloc[:0], tree, variances).equals(frame["yhat"])
    assert reconcile(frame, nodes, tree, Variances(variances.series, {})).equals(frame["yhat"])


def test_reconcile__a_series_without_a_day__refused():
    frame, nodes, tree, variances = case(11)
    with pytest.raises(ValueError, match="missing"):
        reconcile(frame.iloc[1:], nodes, tree, variances)


def test_variances__of_rows__mean_squares_and_unknown_rows_left_out():
    tree = Tree.of(pd.DataFrame({"unique_id": [4, 9]}))
    series = pd.DataFrame({"unique_id": [4, 4, 4, 9], "y": [1.0, np.nan, 3.0, 5.0], "yhat": [2.0, 9.0, 6.0, 5.0]})
    nodes = pd.DataFrame({"unique_id": [1, 1], "y": [10.0, 20.0], "yhat": [12.0, 26.0]})
    found = Variances.of(series, nodes, tree)
    assert found.series == {4: 5.0, 9: MIN_VARIANCE} and found.nodes == {Node("total", ""): 20.0}
    assert Variances.from_json(json.loads(json.dumps(found.to_json()))) == found
