"""Segments: a plan that is bounded and the same every time; models, files and forecasts of several of them."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.engine import errors
from forecasting.engine.backtest import backtest, rolling_origins, stacked
from forecasting.engine.conformal import Calibration
from forecasting.engine.facts import recent_sales, weights_of
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.holdout import Holdout, joined
from forecasting.engine.outlook import forecast_all
from forecasting.engine.panel import Panel, revenue_weights
from forecasting.engine.ranking import shares_of_top
from forecasting.engine.segments import Segment, plan_segments, with_new_series
from forecasting.engine.source import HeldPanel
from forecasting.engine.train import evaluate
from forecasting.engine.types import ModelSpec

ids = st.sets(st.integers(1, 10**9), max_size=60)
SPEC = ModelSpec(("lightgbm", "seasonal_naive"), horizon=7, params={"lightgbm": {"rounds": 10}})


@given(ids, st.integers(1, 20))
def test_plan__any_series__holds_each_once_within_the_bound_and_evenly(series: set[int], size: int) -> None:
    plan = plan_segments(series, size)
    sizes = [len(one.ids) for one in plan]
    assert [i for one in plan for i in one.ids] == sorted(series)
    assert len(plan) == -(-len(series) // size) and [one.number for one in plan] == list(range(len(plan)))
    assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1)
    assert plan == plan_segments(sorted(series, reverse=True), size)


@given(ids, ids, st.integers(1, 20))
def test_new_series__any__each_is_in_one_segment_and_old_ones_stay(old: set[int], now: set[int], size: int) -> None:
    plan = plan_segments(old | {1}, size)
    after = with_new_series(plan, now)
    assert sorted(i for one in after for i in one.ids) == sorted(now)
    home = {i: one.number for one in plan for i in one.ids}
    assert all(home.get(i, one.number) == one.number for one in after for i in one.ids)


def test_weights__of_segments_together__are_those_of_the_whole_panel(panel: Panel) -> None:
    source = HeldPanel.of(panel, 2)
    parts = pd.concat([recent_sales(source.panel(one)) for one in source.segments], ignore_index=True)
    found = pd.Series(weights_of(parts).to_numpy(), index=parts["unique_id"])
    pd.testing.assert_series_equal(found, revenue_weights(panel), check_names=False, rtol=1e-12)


def test_top_by_revenue__several_segments__is_that_of_the_tenant(panel: Panel) -> None:
    spec = ModelSpec(("prophet",), prophet_top_n=2)
    source = HeldPanel.of(panel, 2)
    shares = shares_of_top(source, spec, [panel.last_day])
    from forecasting.engine.families.prophet import ProphetFamily

    chosen = set(panel.ids.tolist()) - set(ProphetFamily._declines(panel, spec))
    expected = {(one.number, panel.last_day): len(chosen & set(one.ids)) for one in source.segments}
    assert shares == expected and sum(shares.values()) == 2


@pytest.fixture(scope="module")
def calibration(panel: Panel) -> Calibration:
    return evaluate(panel, ModelSpec(("seasonal_naive",), horizon=7), origins=2).calibration


def test_pool__several_segments__same_bytes_as_one_process(
    panel: Panel, calibration: Calibration, tmp_path: Path
) -> None:
    source = HeldPanel.of(panel, 8)
    days = rolling_origins(panel.last_day, 7, 2)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = [
            (backtest(source, SPEC, days, executor=e), fit(source, SPEC, calibration, executor=e)) for e in (None, pool)
        ]
    (alone, one), (together, other) = made
    for name in ("frame", "scales", "declined"):
        pd.testing.assert_frame_equal(getattr(alone, name), getattr(together, name), check_exact=True)
    for model, folder in ((one, "one"), (other, "other")):
        model.save(tmp_path / folder)
    files = {f.name: f.read_bytes() for f in (tmp_path / "one").iterdir()}
    assert files == {f.name: f.read_bytes() for f in (tmp_path / "other").iterdir()}
    assert sum(name.endswith("lightgbm.txt") for name in files) == len(source.segments) == 3


def test_backtest__one_segment_or_several__same_rows_and_same_scales(panel: Panel) -> None:
    spec, days = ModelSpec(("seasonal_naive",), horizon=7), rolling_origins(panel.last_day, 7, 2)
    whole, parts = backtest(panel, spec, days), backtest(HeldPanel.of(panel, 8), spec, days)
    pd.testing.assert_frame_equal(whole.frame, parts.frame, check_exact=True)
    pd.testing.assert_frame_equal(whole.scales, parts.scales, rtol=1e-12)


def test_backtest__a_segment_that_had_not_begun__the_others_are_judged(panel: Panel) -> None:
    late = panel.ids[-2:].tolist()
    history = panel.history
    begun = history["ds"] > history["ds"].max() - pd.Timedelta(days=5)
    kept = history.loc[~history["unique_id"].isin(late) | begun].reset_index(drop=True)
    cut = replace(panel, history=kept)
    rest = tuple(int(i) for i in panel.ids[:-2])
    source = HeldPanel(cut, (Segment(0, rest), Segment(1, tuple(late))))
    made = backtest(source, SPEC, rolling_origins(panel.last_day, 7, 2))
    assert set(made.frame["unique_id"]) == set(rest)


def test_model__of_several_segments__forecasts_the_same_after_a_round_trip(
    panel: Panel, calibration: Calibration, tmp_path: Path
) -> None:
    source = HeldPanel.of(panel, 8)
    model = fit(source, SPEC, calibration)
    model.save(tmp_path)
    again = FittedModel.load(tmp_path)
    made = model.forecast(panel, 7)
    pd.testing.assert_frame_equal(made, again.forecast(panel, 7), check_exact=True)
    pd.testing.assert_frame_equal(made, forecast_all(source, again, 7)[0], check_exact=True)
    (tmp_path / "segment00001_lightgbm.txt").write_text("other")
    with pytest.raises(errors.ArtifactCorrupt, match="segment00001_lightgbm"):
        FittedModel.load(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        errors.PartitionViolation(3, date(2020, 1, 2), date(2020, 1, 1)),
        errors.HistoryTooShort(3, 9, "weeks"),
        errors.MissingRegressor(["promo"], date(2020, 1, 1), 4),
        errors.UnknownFamily("arima", ["prophet"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error__from_another_process__keeps_its_facts_and_message(error: errors.EngineError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


def test_stacked__frames_of_all_segments__as_concatenated_and_let_go():
    frames = [
        pd.DataFrame({"unique_id": ids, "ds": pd.to_datetime(["2024-01-01"] * len(ids)), "y": 1.5, "closed": False})
        for ids in ([1, 2], [], [3])
    ]
    frames[0]["y"] = [2, 3]  # whole numbers among others
    expected = pd.concat([frames[0], frames[2]], ignore_index=True)
    made = stacked([frames[0], frames[1].astype(frames[2].dtypes), frames[2]])
    pd.testing.assert_frame_equal(made, expected)
    left = [frames[0], frames[2]]
    stacked(left)
    assert left == []
    with pytest.raises(ValueError, match="same columns"):
        stacked([frames[0], frames[2].assign(more=1)])


def test_joined__segments_whose_ids_lie_between__rows_by_origin_and_series():
    def part(ids: list[int]) -> Holdout:
        keys = pd.MultiIndex.from_product([pd.to_datetime(["2024-01-31", "2024-02-07"]), ids, [1, 2]],
                                          names=["origin", "unique_id", "h"])  # fmt: skip
        frame = keys.to_frame(index=False)
        frame["yhat"] = frame["unique_id"] * 10.0 + frame["h"]
        scales = pd.DataFrame({"unique_id": ids, "rmsse_scale": 1.0, "mase_scale": 1.0, "units": 1.0, "revenue": 1.0,
                               "origin": pd.Timestamp("2024-01-31")})  # fmt: skip
        facts = pd.DataFrame({"unique_id": ids})
        return Holdout(frame, scales, facts, facts)

    parts = [part([1, 4]), part([2, 3])]
    whole = joined(parts)
    assert parts == []
    pd.testing.assert_frame_equal(whole.frame, part([1, 2, 3, 4]).frame)
    assert sorted(whole.static["unique_id"]) == [1, 2, 3, 4]
