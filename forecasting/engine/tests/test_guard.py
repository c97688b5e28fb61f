"""The guard, against slow and plain reckonings of the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import guard
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.bad_input import ID_OF, troubled_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return troubled_panel()


def values_of(panel: Panel, series: int) -> np.ndarray:
    return panel.history.loc[panel.history["unique_id"] == series, "y"].to_numpy()


def test_limits__each_series__ten_times_the_third_largest_day(panel: Panel) -> None:
    limits = guard.limits(panel)
    for series in panel.ids:
        sold = sorted((y for y in values_of(panel, series) if y > 0), reverse=True)
        expected = 10 * sold[2] if len(sold) > 2 else 10 * sold[0] if sold else np.inf
        assert limits[series] == expected


def test_limits__two_wrong_days__do_not_move_it_and_three_do() -> None:
    y = np.full(60, 20.0)
    for wrong, expected in ((1, 200.0), (2, 200.0), (3, 1e7)):
        y[:wrong] = 1e6
        rows = pd.DataFrame({"unique_id": 1, "ds": pd.date_range("2024-01-01", periods=60), "y": y})
        assert guard.limits(build_panel(rows))[1] == expected


def test_plausible__growth_and_lowest__as_reckoned_one_by_one(panel: Panel) -> None:
    known = guard.plausible(panel, 14)
    for series in panel.ids:
        y = np.minimum(values_of(panel, series), known.limit[series])
        late, before = y[-28:], y[-56:-28]
        late, before = late[np.isfinite(late)], before[np.isfinite(before)]
        ratio = late.mean() / before.mean() if len(late) and len(before) and before.mean() > 0 else 1.0
        assert known.growth[series] == pytest.approx(min(max(ratio, 1.0), 4.0), rel=1e-9)
        windows = [y[k : k + 14] for k in range(len(y) - 13) if np.isfinite(y[: k + 1]).any()]
        means = [np.nanmean(w) for w in windows if np.isfinite(w).sum() >= 7]
        assert known.lowest[series] == pytest.approx(min(means) if means else np.nan, rel=1e-9, abs=1e-12, nan_ok=True)


def test_remarkable__above_and_below_all_that_was_seen__are_told_and_what_is_usual_is_not(panel: Panel) -> None:
    known = guard.plausible(panel, 14)
    calm = ID_OF["calm"]
    for level, expected in ((20.0, (False, False)), (60.0, (True, False)), (0.5, (False, True))):
        frame = pd.DataFrame({"unique_id": calm, "h": np.arange(1, 15), "yhat": level})
        above, below = guard.remarkable(frame, known)
        assert above.tolist() == [expected[0]] * 14 and below.tolist() == [expected[1]] * 14
    stopped = pd.DataFrame({"unique_id": ID_OF["stopped_selling"], "h": np.arange(1, 15), "yhat": 0.0})
    assert not guard.remarkable(stopped, known)[1].any(), "it has sold nothing for weeks before"


def test_remarkable__growth_that_the_series_shows__explains_more_than_its_largest_day(panel: Panel) -> None:
    known, doubling = guard.plausible(panel, 14), ID_OF["doubling"]
    largest = values_of(panel, doubling).max()
    frame = pd.DataFrame({"unique_id": doubling, "h": [1, 14], "yhat": [1.3 * largest, 2.0 * largest]})
    assert guard.remarkable(frame, known)[0].tolist() == [False, False]
    assert guard.remarkable(frame.assign(yhat=3.0 * largest), known)[0].tolist() == [True, True]


def test_cut__not_finite__is_left_to_the_other_families() -> None:
    limit = pd.Series([10.0, np.inf], index=[1, 2])
    made = pd.DataFrame({"unique_id": [1, 1, 1, 2, 2], "yhat": [-1.0, 99.0, np.nan, np.inf, 1e9]})
    values = guard.cut(made, limit)["yhat"].to_numpy()
    assert values[:2].tolist() == [0.0, 10.0] and np.isnan(values[2:4]).all() and values[4] == 1e9


def test_made_by_cut__only_rows_that_the_cut_family_made() -> None:
    family = pd.Series(["lightgbm", "lightgbm_direct", "lightgbm+prophet", "prophet"])
    over = {"lightgbm": np.array([True, True, False, True]), "prophet": np.array([False, False, True, False])}
    assert guard.made_by_cut(family, over).tolist() == [True, False, True, False]


def test_within__bounds_beyond_the_limit__are_cut_to_it_or_to_the_forecast_and_flagged() -> None:
    frame = pd.DataFrame({"yhat": [5.0, 5.0], "hi80": [8.0, 50.0], "hi95": [9.0, 90.0], "flags": ["", "cold_start"]})
    made = guard.within(frame, np.array([10.0, 10.0]))
    assert made[["hi80", "hi95"]].to_numpy().tolist() == [[8.0, 9.0], [10.0, 10.0]]
    assert made["flags"].tolist() == ["", "cold_start,bounds_capped"]


def test_plausible__series_alone_or_among_others__is_the_same_to_the_last_bit(panel: Panel) -> None:
    among = guard.plausible(panel, 14)
    for series in panel.ids:
        alone = guard.plausible(panel.subset([series]), 14)
        for name in ("limit", "top", "growth", "lowest"):
            assert np.array_equal(getattr(alone, name).to_numpy(), [getattr(among, name)[series]], equal_nan=True), name
