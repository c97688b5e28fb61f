"""The levels above the series: they add up, whatever comes in, and their intervals are their own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.engine.backtest import backtest, rolling_origins
from forecasting.engine.conformal import Calibration
from forecasting.engine.hierarchy import LEVELS, Node, Tree, node_errors, node_forecasts, node_panel
from forecasting.engine.hierarchy_model import NODE_COLUMNS, Hierarchy
from forecasting.engine.panel import build_panel
from forecasting.engine.synthetic import RetailShape, retail
from forecasting.engine.types import ModelSpec

STATIC = pd.DataFrame(
    {"unique_id": [1, 2, 3, 4], "store_id": ["b", "a", "a", "b"], "category": ["x", "y", "x", None], "more": 1}
)
KEYS = st.sampled_from(["a", "b", "Zürich-Süd", "仓库 7", "=1+1", "a'b\"c", ""])


def paths(values: dict[int, list[float]], origin: str = "2024-01-31") -> pd.DataFrame:
    """Forecast rows of series from one origin."""
    start = pd.Timestamp(origin)
    return pd.DataFrame(
        [
            {"unique_id": key, "origin": start, "ds": start + pd.Timedelta(days=h), "h": h, "yhat": value}
            for key, row in values.items()
            for h, value in enumerate(row, start=1)
        ]
    )


def slow_sums(frame: pd.DataFrame, static: pd.DataFrame) -> dict[tuple[str, str, int], float]:
    """(level, key, h) -> sum of yhat, by plain loops."""
    out: dict[tuple[str, str, int], float] = {}
    facts = {row["unique_id"]: row for row in static.to_dict("records")}
    for row in frame.to_dict("records"):
        one = facts[row["unique_id"]]
        for level, key in (("total", ""), ("store", one["store_id"]), ("category", one["category"] or "")):
            out[level, key, row["h"]] = out.get((level, key, row["h"]), 0.0) + row["yhat"]
    return out


def test_tree__stores_and_categories__nodes_in_order_and_the_rest_under_no_key():
    tree = Tree.of(STATIC)
    assert tree.nodes == (
        Node("total", ""), Node("store", "a"), Node("store", "b"), Node("category", ""), Node("category", "x"),
        Node("category", "y"),
    )  # fmt: skip
    members = tree.members.groupby("node")["unique_id"].agg(list).to_dict()
    assert members == {1: [1, 2, 3, 4], 2: [2, 3], 3: [1, 4], 4: [4], 5: [1, 3], 6: [2]}


def test_tree__known_nodes__keep_their_numbers_and_new_ones_follow():
    known = Tree.of(STATIC.loc[STATIC["unique_id"] <= 2]).nodes
    tree = Tree.of(STATIC, known)
    assert tree.nodes[: len(known)] == known
    assert tree.nodes[len(known) :] == (Node("category", ""),)
    of_first = {tree.nodes[number - 1] for number in Tree.of(STATIC.iloc[:1], tree.nodes).members["node"]}
    assert of_first == {Node("total", ""), Node("store", "b"), Node("category", "x")}


@pytest.mark.parametrize("category", [None, "", np.nan], ids=["none", "empty", "nan"])
def test_tree__no_series_has_a_category__that_level_is_left_out(category):
    assert {node.level for node in Tree.of(STATIC.assign(category=category)).nodes} == {"total", "store"}
    assert {node.level for node in Tree.of(STATIC[["unique_id"]]).nodes} == {"total"}


def test_tree__one_store_and_one_category__each_level_is_the_total():
    tree = Tree.of(STATIC.assign(store_id="only", category="all"))
    found = node_forecasts(paths({1: [1.5], 2: [2.5], 3: [0.0], 4: [4.0]}), tree)
    assert found["yhat"].tolist() == [8.0, 8.0, 8.0]


def test_tree__a_series_twice__refused():
    with pytest.raises(ValueError, match="twice"):
        Tree.of(pd.concat([STATIC, STATIC.iloc[:1]]))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(KEYS, KEYS, st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=3, max_size=3)), min_size=1,
        max_size=12,
    )
)  # fmt: skip
def test_node_forecasts__any_series__every_level_adds_up_and_is_the_plain_sum(rows):
    static = pd.DataFrame([(k + 1, store, category) for k, (store, category, _) in enumerate(rows)],
                          columns=["unique_id", "store_id", "category"])  # fmt: skip
    frame = paths({k + 1: values for k, (_, _, values) in enumerate(rows)})
    tree = Tree.of(static)
    found = node_forecasts(frame.sample(frac=1.0, random_state=1), tree)
    expected = slow_sums(frame, static)
    for row in found.to_dict("records"):
        node = tree.nodes[row["unique_id"] - 1]
        assert row["yhat"] == pytest.approx(expected[node.level, node.key, row["h"]], rel=1e-12, abs=1e-12)
    level = found["unique_id"].map(tree.levels)
    by_level = found.groupby([level, "h"])["yhat"].sum().unstack(0)
    for name in by_level:
        assert by_level[name].to_numpy() == pytest.approx(by_level["total"].to_numpy(), rel=1e-12)
    members = found.groupby([level, "h"])["members"].sum()
    assert (members == len(rows)).all()


def test_node_forecasts__rows_in_another_order__the_same_bits():
    frame = paths({k: [0.1 * k, 1e6 / k, 1 / 3] for k in range(1, 60)})
    static = pd.DataFrame({"unique_id": range(1, 60), "store_id": [f"s{k % 7}" for k in range(1, 60)]})
    one = node_forecasts(frame, Tree.of(static))
    other = node_forecasts(frame.sample(frac=1.0, random_state=3), Tree.of(static.sample(frac=1.0, random_state=4)))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def beside(values: dict[int, tuple[float, float, bool, bool]]) -> pd.DataFrame:
    """One day of each series: (y, yhat, censored, closed)."""
    frame = paths({key: [row[1]] for key, row in values.items()})
    columns = {"y": 0, "censored": 2, "closed": 3}
    return frame.assign(**{name: [row[k] for row in values.values()] for name, k in columns.items()})


def total_row(frame: pd.DataFrame) -> pd.Series:
    out = node_errors(frame, Tree.of(STATIC))
    return out.loc[out["unique_id"] == 1].iloc[0]


def test_node_errors__all_known__sums_of_both_sides():
    row = total_row(beside({k: (k * 1.0, 2.0 * k, False, False) for k in range(1, 5)}))
    assert (row["y"], row["yhat"], row["censored"]) == (10.0, 20.0, False)


def test_node_errors__a_small_member_stocked_out__left_out_of_both_sides():
    row = total_row(beside({1: (50.0, 60.0, False, False), 2: (30.0, 35.0, False, False), 3: (np.nan, 5.0, True, False),
                            4: (0.0, 0.0, False, False)}))  # fmt: skip
    assert (row["y"], row["yhat"], row["censored"]) == (80.0, 95.0, False)


def test_node_errors__a_large_member_stocked_out__the_nodes_day_is_unknown():
    frame = beside({1: (50.0, 60.0, False, False), 2: (30.0, 35.0, False, False), 3: (np.nan, 11.0, True, False),
                    4: (0.0, 0.0, False, False)})  # fmt: skip
    row = total_row(frame)
    assert row["censored"] and np.isnan(row["y"])
    nodes = node_errors(frame, Tree.of(STATIC)).set_index("unique_id")
    assert not nodes.loc[3, "censored"], "the store without that member is known all the same"
    assert nodes.loc[2, "censored"]


def test_node_errors__a_member_is_closed__it_is_known_to_have_sold_nothing():
    row = total_row(beside({1: (0.0, 6.0, True, True), 2: (30.0, 35.0, False, False), 3: (1.0, 1.0, False, False),
                            4: (0.0, 0.0, False, False)}))  # fmt: skip
    assert (row["y"], row["yhat"], row["censored"]) == (31.0, 42.0, False)


def test_node_errors__every_member_closed__the_day_says_nothing():
    assert total_row(beside({k: (0.0, 3.0, True, True) for k in range(1, 5)}))["censored"]


def test_node_errors__nothing_forecast__members_are_counted():
    rows = {k: (0.0, 0.0, False, False) for k in range(1, 4)}
    assert not total_row(beside(rows))["censored"]
    assert total_row(beside({**rows, 4: (np.nan, 0.0, True, False)}))["censored"]


def slow_errors(frame: pd.DataFrame, static: pd.DataFrame) -> dict[tuple[object, ...], tuple[float, float, bool]]:
    """(level, key, origin, ds) -> y, yhat, censored of the node, by plain loops over the rows."""
    facts = {row["unique_id"]: row for row in static.to_dict("records")}
    groups: dict[tuple[object, ...], list[dict[Any, Any]]] = {}
    for row in frame.to_dict("records"):
        one = facts.get(row["unique_id"])
        if one is None:
            continue
        for level, key in (("total", ""), ("store", one["store_id"]), ("category", one["category"] or "")):
            groups.setdefault((level, key, row["origin"], row["ds"]), []).append(row)
    out = {}
    for name, rows in groups.items():
        known = [
            row for row in rows
            if (row["closed"] or not row["censored"]) and not np.isnan(row["y"]) and not np.isnan(row["yhat"])
        ]  # fmt: skip
        whole = sum(row["yhat"] for row in rows if not np.isnan(row["yhat"]))
        yhat = sum(row["yhat"] for row in known)
        share = yhat / whole if whole > 0 else len(known) / len(rows)
        censored = share < 0.9 or all(row["closed"] for row in known)
        out[name] = (float("nan") if censored else sum(row["y"] for row in known), yhat, censored)
    return out


def test_node_errors__random_rows_in_any_order__as_by_loops():
    rng, count = np.random.default_rng(7), 23
    ids = np.arange(1, count + 1) * 3
    static = pd.DataFrame({"unique_id": ids, "store_id": [f"s{k % 4}" for k in ids],
                           "category": [None if k % 5 == 0 else f"c{k % 3}" for k in ids]})  # fmt: skip
    frame = pd.concat(
        [paths({k: [0.0] * 9 for k in [*ids, 1000]}, origin) for origin in ("2024-01-31", "2024-02-07", "2024-02-14")],
        ignore_index=True,
    )
    n = len(frame)
    frame["yhat"], frame["y"] = rng.gamma(2.0, 3.0, n), rng.poisson(5, n).astype("float64")
    frame["censored"], frame["closed"] = rng.random(n) < 0.06, rng.random(n) < 0.1
    frame.loc[rng.random(n) < 0.02, "y"] = np.nan
    frame.loc[rng.random(n) < 0.02, "yhat"] = np.nan
    frame = frame.loc[rng.random(n) < 0.9].sample(frac=1.0, random_state=5)
    tree = Tree.of(static)
    found, expected = node_errors(frame, tree), slow_errors(frame, static)
    assert len(found) == len(expected)
    assert 0 < found["censored"].sum() < len(found), "both known and unknown days"
    for row in found.to_dict("records"):
        y, yhat, censored = expected[*tree.nodes[row["unique_id"] - 1], row["origin"], row["ds"]]
        assert row["censored"] == censored
        assert (row["y"], row["yhat"]) == pytest.approx((y, yhat), rel=1e-12, nan_ok=True)
    pd.testing.assert_frame_equal(found, node_errors(frame.sort_index(), tree), check_exact=True)


def test_node_panel__unknown_and_closed_days_and_a_late_store__as_by_loops():
    days = pd.date_range("2024-01-01", periods=21)
    rows = [{"unique_id": k, "ds": day, "y": 10.0 * k + day.day, "censored": False, "promo": float(k == 1)}
            for k in (1, 2, 3) for day in days if not (k == 3 and day < days[14])]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.loc[(frame["unique_id"] == 1) & (frame["ds"] == days[9]), "censored"] = True
    frame = frame.loc[frame["ds"] != days[11]]
    static = pd.DataFrame({"unique_id": [1, 2, 3], "store_id": ["a", "a", "late"]})
    tree = Tree.of(static)
    made = node_panel(build_panel(frame, static=static, missing_days="closed"), tree)
    total = made.history.loc[made.history["unique_id"] == 1].set_index("ds")
    assert total.loc[days[0], "y"] == 10 + 20 + 2 * 1
    assert total.loc[days[9], "y"] == (10 + days[2].day) + (20 + days[9].day), "the same day of the week before"
    assert total.loc[days[15], "y"] == 60 + 3 * days[15].day
    assert total["closed"].tolist() == [day == days[11] for day in days]
    assert made.history.loc[made.history["unique_id"] == 3, "ds"].min() == days[14]
    assert not made.history["censored"].any() and made.history["y"].notna().all()


def test_node_panel__later_days_multiplied__earlier_days_stay_to_the_bit():
    panel = retail(RetailShape(series=12, days=80, stores=3)).panel()
    tree, cut = Tree.of(panel.static), panel.history["ds"].max() - pd.Timedelta(days=20)
    poisoned = panel.history.assign(y=panel.history["y"].where(panel.history["ds"] <= cut, panel.history["y"] * 1000))
    one, other = (node_panel(replace(panel, history=h), tree).upto(cut) for h in (panel.history, poisoned))
    pd.testing.assert_frame_equal(one.history, other.history, check_exact=True)


@pytest.fixture(scope="module")
def rolled() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Eighteen weekly origins of seasonal_average on a panel of known noise; its static attributes."""
    panel = retail(RetailShape(series=150, days=420, stores=12, sunday_closed=0.2, seed=5)).panel()
    spec = ModelSpec(("seasonal_average",), horizon=7)
    made = backtest(panel, spec, rolling_origins(panel.last_day, 7, 18))
    return made.frame.rename(columns={"seasonal_average": "yhat"}), panel.static


@pytest.mark.parametrize("held_out", [0, 1, 2])
def test_intervals__origins_that_were_not_calibrated_on__near_nominal_on_every_level(rolled, held_out: int):
    frame, static = rolled
    origins = np.sort(frame["origin"].unique())
    late = frame["origin"].isin(origins[held_out::3])
    fitted = Hierarchy.fit(frame.loc[~late], static)
    assert fitted is not None
    tree = Tree.of(static, fitted.nodes)
    truth = node_errors(frame.loc[late], tree)
    made = fitted.calibration.apply(truth)
    made = made.loc[~made["censored"]]
    inside = made["y"].between(made["lo80"], made["hi80"])
    assert inside.mean() == pytest.approx(0.80, abs=0.05)
    level = made["unique_id"].map(tree.levels)
    for name in ("store", "category"):
        assert inside[level == name].mean() == pytest.approx(0.80, abs=0.08)
    assert made["y"].between(made["lo95"], made["hi95"]).mean() == pytest.approx(0.95, abs=0.03)


def test_intervals__of_the_total__far_narrower_than_the_sum_of_the_members_bounds(rolled):
    frame, static = rolled
    fitted = Hierarchy.fit(frame, static)
    assert fitted is not None
    last = frame.loc[frame["origin"] == frame["origin"].max(), ["unique_id", "ds", "h", "yhat"]]
    own = Calibration.fit(frame, pd.Series("*", index=static["unique_id"])).apply(last)
    total = fitted.forecast(last, static)
    total = total.loc[total["level"] == "total"]
    summed = own.groupby("h")[["lo80", "hi80"]].sum()
    assert ((total["hi80"] - total["lo80"]).to_numpy() < 0.6 * (summed["hi80"] - summed["lo80"]).to_numpy()).all()


def test_forecast__a_store_that_opened_since__has_a_node_with_a_wider_interval(rolled):
    frame, static = rolled
    newest = frame.loc[frame["origin"] == frame["origin"].max(), ["unique_id", "ds", "h", "yhat"]]
    store = static["store_id"].iloc[0]
    before = static.loc[static["store_id"] != store]
    fitted = Hierarchy.fit(frame.loc[frame["unique_id"].isin(before["unique_id"])], static)
    assert fitted is not None and Node("store", store) not in fitted.nodes
    made = fitted.forecast(newest, static)
    of_all = Hierarchy.fit(frame, static)
    assert of_all is not None
    whole = of_all.forecast(newest, static)
    new, known = (table.loc[(table["level"] == "store") & (table["key"] == store)] for table in (made, whole))
    assert new["yhat"].tolist() == known["yhat"].tolist()
    assert (new["hi95"] - new["lo95"]).mean() > (known["hi95"] - known["lo95"]).mean()


def test_forecast__a_store_that_closed__has_no_node_any_more(rolled):
    frame, static = rolled
    fitted = Hierarchy.fit(frame, static)
    assert fitted is not None
    store = static["store_id"].iloc[0]
    left = static.loc[static["store_id"] != store]
    newest = frame.loc[frame["origin"] == frame["origin"].max(), ["unique_id", "ds", "h", "yhat"]]
    made = fitted.forecast(newest.loc[newest["unique_id"].isin(left["unique_id"])], left)
    assert store not in set(made.loc[made["level"] == "store", "key"])
    total = made.loc[made["level"] == "total", "yhat"].sum()
    assert total == pytest.approx(made.loc[made["level"] == "store", "yhat"].sum(), rel=1e-12)


def test_forecast__any_set__columns_ordered_bounds_and_levels_in_order(rolled):
    frame, static = rolled
    fitted = Hierarchy.fit(frame, static)
    assert fitted is not None
    newest = frame.loc[frame["origin"] == frame["origin"].max(), ["unique_id", "ds", "h", "yhat"]]
    made = fitted.forecast(newest.assign(yhat=newest["yhat"] * 0.01), static)
    assert tuple(made.columns) == NODE_COLUMNS
    values = made[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert np.isfinite(values).all() and (values >= 0).all() and (np.diff(values, axis=1) >= 0).all()
    assert made["level"].drop_duplicates().tolist() == list(LEVELS)
    assert made.groupby(["level", "key"], sort=False)["h"].agg(list).map(lambda h: h == list(range(1, 8))).all()


def test_hierarchy__as_json_and_back__forecasts_the_same_bits(rolled):
    frame, static = rolled
    fitted = Hierarchy.fit(frame, static)
    assert fitted is not None
    newest = frame.loc[frame["origin"] == frame["origin"].max(), ["unique_id", "ds", "h", "yhat"]]
    again = Hierarchy.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
    pd.testing.assert_frame_equal(again.forecast(newest, static), fitted.forecast(newest, static), check_exact=True)


def test_fit__no_known_day__nothing_to_calibrate_on():
    assert Hierarchy.fit(beside({k: (np.nan, 3.0, True, False) for k in range(1, 5)}), STATIC) is None
