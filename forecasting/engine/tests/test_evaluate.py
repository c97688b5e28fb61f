"""The rolling-origin table, against oracles in plain Python, and against what it must not see."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.conformal import LEVELS, Calibration
from forecasting.engine.errors import HistoryTooShort
from forecasting.engine.evaluate import CHOSEN, ENSEMBLE, RollingTable, rolling_table
from forecasting.engine.panel import Panel
from forecasting.engine.scores import SCORE_NAMES
from forecasting.engine.synthetic import RetailShape, retail
from forecasting.engine.tests.conftest import FAST, demand_rows, make_panel
from forecasting.engine.train import SearchConfig

HORIZON, ORIGINS = 14, 3
MEANS = ("seasonal_naive", "seasonal_average")
CONFIG = SearchConfig(families=MEANS, horizon=HORIZON, origins=ORIGINS)


@pytest.fixture(scope="module")
def small() -> Panel:
    """Eight series of 120 days; the second has days that nobody could sell on."""
    rows = demand_rows(8, 120)
    out = (rows["unique_id"] == 2) & (rows.index % 5 == 0)
    return make_panel(rows.assign(censored=out))


@pytest.fixture(scope="module")
def table(small: Panel) -> RollingTable:
    return rolling_table(small, CONFIG)


def days_of(panel: Panel) -> dict[int, dict[date, float]]:
    """What was sold by series and day, in plain Python; a day without a known sale is left out."""
    rows = panel.history.loc[panel.history["y"].notna(), ["unique_id", "ds", "y"]]
    out: dict[int, dict[date, float]] = {}
    for series, ds, y in rows.itertuples(index=False):
        out.setdefault(series, {})[ds.date()] = y
    return out


def expected_rows(panel: Panel, family: str) -> list[tuple[int, date, int, float, float]]:
    """Series, origin, step, actual and forecast of a family of weekday means, from its definition."""
    sold = days_of(panel)
    last = max(max(days) for days in sold.values())
    weeks = {"seasonal_naive": 1, "seasonal_average": 4}[family]
    out = []
    for back in range(ORIGINS, 0, -1):
        origin = last - timedelta(days=back * HORIZON)
        for series, days in sold.items():
            for step in range(1, HORIZON + 1):
                day = origin + timedelta(days=step)
                if day not in days:
                    continue
                same = [day - timedelta(days=7 * k) for k in range(1, 9)]
                known = [days[d] for d in same if d <= origin and d in days and d > origin - timedelta(days=28)]
                out.append((series, origin, step, days[day], sum(known[:weeks]) / len(known[:weeks])))
    return out


def mean_seasonal_difference(days: dict[date, float], origin: date) -> float:
    steps = [abs(y - days[d - timedelta(days=7)]) for d, y in days.items() if d <= origin and d - timedelta(7) in days]
    return sum(steps) / len(steps)


@pytest.mark.parametrize("family", MEANS)
def test_table__each_family__wape_bias_fva_and_mase_as_by_hand(small, table, family):
    rows, scores = expected_rows(small, family), table.get(family).scores
    total = sum(y for *_, y, _ in rows)
    error = sum(abs(y - f) for *_, y, f in rows)
    naive = sum(abs(y - f) for *_, y, f in expected_rows(small, "seasonal_naive"))
    assert scores.get("wape").value == pytest.approx(error / total)
    assert scores.get("bias").value == pytest.approx(sum(f - y for *_, y, f in rows) / total)
    assert scores.get("fva").value == pytest.approx(1 - error / naive)
    assert scores.rows == scores.get("wape").n == len(rows)
    sold = days_of(small)
    paths: dict[tuple[int, date], list[float]] = {}
    for series, origin, _, y, f in rows:
        paths.setdefault((series, origin), []).append(abs(y - f))
    scaled = [
        sum(errors) / len(errors) / mean_seasonal_difference(sold[series], origin)
        for (series, origin), errors in paths.items()
    ]
    assert scores.get("mase").value == pytest.approx(sum(scaled) / len(scaled))


def test_table__by_week_and_by_class__as_by_hand(small, table):
    rows = expected_rows(small, "seasonal_average")
    scores = table.get("seasonal_average").scores
    for week in ("1", "2"):
        mine = [(y, f) for _, _, step, y, f in rows if (step - 1) // 7 + 1 == int(week)]
        wape = sum(abs(y - f) for y, f in mine) / sum(y for y, _ in mine)
        assert scores.by_week[week]["wape"].value == pytest.approx(wape)
    sparse = {4, 8}  # each fourth series of these panels sells on 3 days of 10
    assert set(scores.by_class) == {"smooth", "intermittent"} and dict(table.classes) == {
        "smooth": 6,
        "intermittent": 2,
    }
    for name, ids in (("intermittent", sparse), ("smooth", set(range(1, 9)) - sparse)):
        mine = [(y, f) for series, _, _, y, f in rows if series in ids]
        wape = sum(abs(y - f) for y, f in mine) / sum(y for y, _ in mine)
        assert scores.by_class[name]["wape"].value == pytest.approx(wape)
    assert scores.by_store == {}


@pytest.mark.parametrize("name", [*MEANS, ENSEMBLE, CHOSEN])
def test_table__intervals__come_from_the_other_origins_and_are_scored_as_by_hand(small, table, name):
    frame, scores = table.get(name).frame, table.get(name).scores
    classes = pd.Series({i: "intermittent" if i in (4, 8) else "smooth" for i in range(1, 9)})
    sold = days_of(small)
    interval, pinball, total, inside = [], 0.0, 0.0, {80: 0, 95: 0}
    for origin, mine in frame.groupby("origin"):
        if name in MEANS:
            calibration = Calibration.fit(frame.loc[frame["origin"] != origin], classes)
            grid = calibration.quantiles(mine)
            low, high = np.minimum(grid[0.1], mine["yhat"]), np.maximum(grid[0.9], mine["yhat"])
            assert np.allclose(mine["lo80"], low) and np.allclose(mine["hi80"], high)
            for (_, row), (_, values) in zip(mine.iterrows(), grid.iterrows(), strict=True):
                if not row["censored"]:
                    total += row["y"]
                    errors = [(float(str(q)), row["y"] - v) for q, v in zip(grid, values, strict=True)]
                    loss = [max(q * error, (q - 1) * error) for q, error in errors]
                    pinball += sum(loss) / len(loss)
        for row in mine.loc[~mine["censored"]].itertuples():
            below, above = max(row.lo80 - row.y, 0.0), max(row.y - row.hi80, 0.0)
            scale = mean_seasonal_difference(sold[row.unique_id], origin.date())
            interval.append((row.hi80 - row.lo80 + 2 / 0.2 * (below + above)) / scale)
            for level in LEVELS:
                inside[level] += getattr(row, f"lo{level}") <= row.y <= getattr(row, f"hi{level}")
    assert scores.get("winkler80").value == pytest.approx(sum(interval) / len(interval))
    for level in LEVELS:
        assert scores.get(f"coverage{level}").value == pytest.approx(inside[level] / len(interval))
    if name in MEANS:
        assert scores.get("scrps").value == pytest.approx(pinball / total)


def test_table__actuals_of_one_origin_poisoned__its_forecasts_weights_and_intervals_stay(small):
    rows = demand_rows(8, 120)
    days = rows["ds"].drop_duplicates().sort_values()
    config = replace(CONFIG, families=(*MEANS, "lightgbm"), params=FAST)
    last = days.iloc[-1] - pd.Timedelta(days=HORIZON)
    bad = make_panel(rows.assign(y=rows["y"].where(rows["ds"] <= last, rows["y"] * 1000.0)))
    clean, poisoned = rolling_table(make_panel(rows), config), rolling_table(bad, config)
    for name in (*config.families, ENSEMBLE, CHOSEN):
        one, two = (t.get(name) for t in (clean, poisoned))
        frames = [c.frame.loc[c.frame["origin"] == last, ["yhat", "lo80", "hi95"]].to_numpy() for c in (one, two)]
        assert len(frames[0]) == 8 * HORIZON and np.array_equal(frames[0], frames[1]), name
        if name in (ENSEMBLE, CHOSEN):
            day = str(last.date())
            assert one.weights[day] == two.weights[day]
    assert clean.get("lightgbm").scores != poisoned.get("lightgbm").scores  # the poison was there


def test_table__ensemble__is_the_weighted_mean_of_its_families(table):
    frames = {name: table.get(name).frame.set_index(["unique_id", "ds"])["yhat"] for name in (*MEANS, ENSEMBLE)}
    seen = set()
    for day, weights in table.get(ENSEMBLE).weights.items():
        of_origin = table.get(ENSEMBLE).frame["origin"] == pd.Timestamp(day)
        for row in table.get(ENSEMBLE).frame.loc[of_origin].itertuples():
            name = "intermittent" if row.unique_id in (4, 8) else "smooth"
            shares = weights.get(name, weights["*"])
            mixed = sum(share * frames[family][row.unique_id, row.ds] for family, share in shares.items())
            assert row.yhat == pytest.approx(mixed)
            seen.add((day, name))
    assert len(seen) == 2 * ORIGINS


def test_table__one_origin__what_needs_another_is_null_with_its_reason(small):
    table = rolling_table(small, replace(CONFIG, origins=1))
    naive = table.get("seasonal_naive").scores
    assert naive.get("wape").value is not None and naive.get("coverage80").value is None
    assert "no interval" in (naive.get("winkler80").reason or "")
    for name in (ENSEMBLE, CHOSEN):
        assert all(table.get(name).scores.get(score).value is None for score in SCORE_NAMES)
        assert table.get(name).weights == {}
    json.dumps(table.to_json(), allow_nan=False)


def test_table__family_declines__counted_by_reason_and_stood_in_for_in_the_ensemble():
    panel = make_panel(demand_rows(6, 70))
    config = SearchConfig(families=("seasonal_naive", "prophet"), horizon=7, origins=2, prophet_top_n=1)
    table = rolling_table(panel, config)
    line = table.get("prophet")
    assert line.declined_series == 5 and line.scores.series == 1
    assert sum(line.declined.values()) >= 5 and "not among the top 1 series by revenue" in line.declined
    counts = list(line.declined.values())
    assert all(one >= other for one, other in pairwise(counts))
    assert table.get("seasonal_naive").declined_series == 0
    shared = [row["*"].get("prophet", 0.0) for row in table.get(CHOSEN).weights.values()]
    assert all(share == 0.0 for share in shared)  # a family that declines most rows is no single


def test_table__all_zero_demand__scores_are_null_not_zero():
    rows = demand_rows(3, 70).assign(y=0.0)
    table = rolling_table(make_panel(rows), replace(CONFIG, horizon=7, origins=2))
    for line in table.contenders:
        assert line.scores.get("wape").value is None and "zero" in (line.scores.get("wape").reason or "")
    json.dumps(table.to_json(), allow_nan=False)


def test_table__progress__ends_at_its_total_and_never_goes_back(small):
    seen: list[tuple[int, int]] = []
    rolling_table(small, CONFIG, progress=lambda done, total, message: seen.append((done, total)))
    assert {total for _, total in seen} == {ORIGINS * 2 + 4} and seen[-1] == (10, 10)
    assert all(one < other for (one, _), (other, _) in pairwise(seen))


def test_table__history_too_short__says_how_much_is_needed():
    with pytest.raises(HistoryTooShort, match="needed"):
        rolling_table(make_panel(demand_rows(2, 40)), CONFIG)


def test_table__panel_with_known_noise__coverage_of_unseen_origins_is_near_nominal():
    panel = retail(RetailShape(series=80, days=200, stores=4, ahead=0)).panel()
    scores = rolling_table(panel, SearchConfig(families=MEANS, horizon=14, origins=4)).get(CHOSEN).scores
    for level in (80, 95):
        value = scores.get(f"coverage{level}").value
        assert value is not None and value == pytest.approx(level / 100, abs=0.04)
