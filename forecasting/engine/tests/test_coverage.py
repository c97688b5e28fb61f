"""Coverage by class and week, against plain counting; and our intervals beside Prophet's own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.coverage import coverage_table, interval_scores

CLASSES = pd.Series({i: "smooth" if i <= 12 else "lumpy" for i in range(1, 16)})


def banded(seed: int = 1, series: int = 15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(1, series + 1), range(1, 15)])
    frame = index.to_frame(index=False, name=["unique_id", "h"])
    frame["origin"] = pd.Timestamp("2022-03-01")
    frame["y"] = rng.normal(10, 3, len(frame)) + rng.normal(0, 1, series)[frame["unique_id"] - 1]
    frame["censored"] = rng.random(len(frame)) < 0.1
    return frame.assign(lo80=6.2, hi80=13.8, lo95=4.1, hi95=15.9)


def test_coverage__each_cell__is_plain_counting():
    frame = banded()
    cells = {(cell.level, cell.demand_class, cell.week): cell for cell in coverage_table(frame, CLASSES)}
    assert len(cells) == 2 * 3 * 3
    records: list[Any] = list(frame.itertuples())
    for (level, name, week), cell in cells.items():
        inside = under = over = n = 0
        for row in records:
            if row.censored or (name != "*" and CLASSES[row.unique_id] != name):
                continue
            if week != "*" and (row.h - 1) // 7 + 1 != int(week):
                continue
            low, high = getattr(row, f"lo{level}"), getattr(row, f"hi{level}")
            n, under, over = n + 1, under + (row.y < low), over + (row.y > high)
            inside += low <= row.y <= high
        assert cell.n == n and cell.share == pytest.approx(inside / n)
        assert cell.below == pytest.approx(under / n) and cell.above == pytest.approx(over / n)


def test_coverage__band__holds_the_share_and_narrows_with_more_series():
    few, many = (coverage_table(banded(series=n), pd.Series("smooth", index=range(1, n + 1))) for n in (10, 200))
    width = []
    for cells in (few, many):
        cell = next(c for c in cells if (c.level, c.demand_class, c.week) == (80, "*", "*"))
        assert cell.low is not None and cell.high is not None and cell.share is not None
        assert cell.low <= cell.share <= cell.high
        width.append(cell.high - cell.low)
    assert width[1] < width[0] / 2


def test_coverage__three_series__a_share_without_a_band_and_why():
    cells = coverage_table(banded(), CLASSES)
    lumpy = next(cell for cell in cells if cell.demand_class == "lumpy")
    assert lumpy.share is not None and lumpy.low is None and "too few" in (lumpy.reason or "")
    json.dumps([cell.to_json() for cell in cells], allow_nan=False)


def test_coverage__no_intervals_or_nothing_known__no_invented_number():
    assert coverage_table(banded().drop(columns=["lo80"]), CLASSES) == ()
    empty = coverage_table(banded().assign(censored=True), CLASSES)
    assert empty and all(cell.share is None and cell.reason for cell in empty)


def test_coverage__same_rows_in_another_order__same_cells():
    frame = banded()
    assert coverage_table(frame.sample(frac=1, random_state=2), CLASSES) == coverage_table(frame, CLASSES)


def test_interval_scores__by_hand__winkler_and_coverage():
    rows = banded().loc[lambda f: ~f["censored"]]
    ids = sorted(set(rows["unique_id"]))
    scales = pd.DataFrame({"unique_id": ids, "origin": pd.Timestamp("2022-03-01"), "mase_scale": 2.0})
    scales.loc[0, "mase_scale"] = 0.0
    found = interval_scores(rows, scales)
    total, inside, n = 0.0, 0, 0
    records: list[Any] = list(rows.itertuples())
    for row in records:
        if row.unique_id == ids[0]:
            continue
        width = row.hi80 - row.lo80
        width += 10 * (row.lo80 - row.y) if row.y < row.lo80 else 0
        width += 10 * (row.y - row.hi80) if row.y > row.hi80 else 0
        total, inside, n = total + width / 2.0, inside + (row.lo80 <= row.y <= row.hi80), n + 1
    assert found["winkler80"] == pytest.approx(total / n) and found["coverage80"] == pytest.approx(inside / n)
    assert interval_scores(rows, scales.assign(mase_scale=0.0)) == {"winkler80": None, "coverage80": None}


def test_prophet_bands__two_series__prophets_own_interval_of_the_same_fit_scored_on_the_same_rows():
    from forecasting.engine.evaluate import table_of
    from forecasting.engine.prophet_bands import prophet_bands, winkler_against_prophet
    from forecasting.engine.tests.conftest import demand_rows, make_panel
    from forecasting.engine.train import SearchConfig, config_backtest

    panel = make_panel(demand_rows(6, 90))
    config = SearchConfig(families=("seasonal_naive", "prophet"), horizon=7, origins=2, prophet_top_n=2)
    base, result, classes = config_backtest(panel, config)
    own = prophet_bands(panel, base, result, samples=60)
    forecast = result.frame.merge(own, on=["unique_id", "origin", "ds"])
    assert len(own) == len(forecast) == int(result.frame["prophet"].notna().sum()) == 28
    assert (own["lo80"] >= 0).all() and (forecast["lo80"] <= forecast["prophet"] + 1).all()
    assert (forecast["prophet"] <= forecast["hi80"] + 1).all()
    pd.testing.assert_frame_equal(own, prophet_bands(panel, base, result, samples=60))
    found = winkler_against_prophet(panel, base, result, table_of(base, result, classes), samples=60)
    assert found.rows == 28 and found.series == 2
    expected = interval_scores(forecast[["unique_id", "origin", "y", "lo80", "hi80"]], result.scales)
    assert found.prophet == pytest.approx(expected["winkler80"])
    assert found.ours is not None and found.same is not None
