"""The walk through weekly demand: a step is a week that ends on its last day, and every rule is counted in weeks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.business import BusinessPolicy
from forecasting.engine.errors import WeeksApart
from forecasting.engine.replay.artifacts import LOG, MANIFEST, SUMMARY_MD
from forecasting.engine.replay.config import Cadence, HoldoutTooLong, ReplayConfig
from forecasting.engine.replay.knowledge import Knowledge
from forecasting.engine.replay.lanes import ALWAYS, GOVERNED
from forecasting.engine.replay.review import Reviewer
from forecasting.engine.replay.store import Store
from forecasting.engine.replay.walk import Walk
from forecasting.engine.tests import replay_ground as ground
from forecasting.engine.types import canonical_json

SERIES, WEEKS, REPLAYED = 8, 60, 4
LAST = ground.FIRST + timedelta(days=7 * (WEEKS - 1))
CONFIG = replace(
    ground.CONFIG, start=LAST - timedelta(days=7 * REPLAYED - 1), end=LAST, grain="W", season_length=52, horizon=4,
    families=("seasonal_naive", "lightgbm"), params={"lightgbm": {"rounds": 15}},
)  # fmt: skip
BARE = replace(CONFIG, families=("seasonal_naive",))


def demand() -> pd.DataFrame:
    """Poisson demand of weeks; `ds` is the last day of each."""
    rng, parts = np.random.default_rng(3), []
    ds = pd.date_range(ground.FIRST, periods=WEEKS, freq="7D")
    for i in range(SERIES):
        level = np.full(WEEKS, 40.0 + 12 * i)
        parts.append(pd.DataFrame({
            "unique_id": i + 1, "ds": ds, "y": rng.poisson(level).astype(float), "unit_price": 3.0 + i % 4,
            "unit_cost": 2.0 + i % 4 / 2,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def walk(folder: Path, frame: pd.DataFrame | None = None, config: ReplayConfig = CONFIG) -> Walk:
    """A walk through weeks, not begun or where it was left."""
    knowledge = Knowledge(ground.rows_of(demand() if frame is None else frame, grain="W"), config)
    return Walk(knowledge, config, Store(folder), Reviewer(config))


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """One walk to its end."""
    made = walk(tmp_path_factory.mktemp("weeks"))
    made.run()
    return made


def test_weekly_walk__to_the_end__steps_are_whole_weeks_and_nothing_is_lost(walked: Walk) -> None:
    made = ground.outcome(walked)
    days = [LAST - timedelta(days=7 * back) for back in range(REPLAYED, -1, -1)]
    assert [line["day"] for line in made.lines] == [day.isoformat() for day in days]
    assert [line["step"] for line in made.lines] == list(range(-1, REPLAYED))
    assert made.summary["triggers"] == {"cadence": REPLAYED - 1, "first": 1}
    assert "lightgbm" in made.lines[-1]["serves"][ALWAYS]
    frame = demand()
    inside = frame["ds"] > pd.Timestamp(CONFIG.eve)
    assert walked.state.lanes[GOVERNED].sums["demand"] == frame.loc[inside, "y"].sum()
    assert all(line["error"]["rows"] == SERIES for line in made.lines[1:])
    for lane in walked.state.lanes.values():
        assert lane.sums["ordered"] == pytest.approx(lane.sums["sold"] + lane.position.sum())
    manifest = json.loads(ground.files(made)[MANIFEST])
    assert [one["day"] for one in manifest["trainings"]] == [day.isoformat() for day in days[:-1]]
    assert "series-weeks short" in ground.files(made)[SUMMARY_MD]


def test_weekly_walk__cut_and_resumed__ends_in_the_same_bytes(walked: Walk, tmp_path: Path) -> None:
    made = walk(tmp_path)
    for _ in range(6):
        made.advance()
    made = walk(tmp_path)
    made.run()
    assert ground.files(ground.outcome(made)) == ground.files(ground.outcome(walked))


def test_weekly_walk__later_weeks_poisoned__no_line_before_changes(walked: Walk, tmp_path: Path) -> None:
    frame, week = demand(), pd.Timestamp(CONFIG.day(0))
    frame.loc[frame["ds"] > week, ["y", "unit_price", "unit_cost"]] *= 1000.0
    made = walk(tmp_path, frame)
    while len(made.store.lines()) < 3:
        made.advance()
    told = ground.files(ground.outcome(walked))[LOG].splitlines()
    found = [canonical_json(line) for line in made.store.lines()]
    assert found[:2] == told[:2] and found[2] != told[2]


def test_weekly_walk__row_that_comes_in_the_midst_of_a_week__known_at_its_end(tmp_path: Path) -> None:
    frame = demand()
    frame["arrived"] = pd.NaT
    week = pd.Timestamp(BARE.day(0))
    mark = (frame["ds"] == week) & (frame["unique_id"] == 3)
    frame.loc[mark, "arrived"] = week + pd.Timedelta(days=9)  # two days into the week after the next
    made = walk(tmp_path, frame, BARE)
    assert np.isnan(made.knowledge.sheet.values(0, 0, at=1)[0, 2])
    assert made.knowledge.sheet.values(0, 0, at=2)[0, 2] == frame.loc[mark, "y"].item()
    made.run()
    lines = made.store.lines()
    assert [line["known"]["late"] for line in lines[1:]] == [0, 0, 1, 0]
    assert [line["known"]["rows"] for line in lines[1:]] == [SERIES - 1, SERIES, SERIES, SERIES]
    inside = frame["ds"] > pd.Timestamp(BARE.eve)
    assert made.state.lanes[GOVERNED].sums["demand"] == frame.loc[inside, "y"].sum()


def test_weekly_config__lead_time_and_review__are_counted_in_whole_weeks() -> None:
    made = replace(BARE, business=BusinessPolicy(lead_time_days=8, review_period_days=6))
    assert (made.protection_steps, made.lead_steps, made.review_steps) == (2, 1, 1)
    short = replace(BARE, business=BusinessPolicy(lead_time_days=2, review_period_days=3))
    assert (short.protection_steps, short.lead_steps, short.review_steps) == (1, 0, 1)
    assert [replace(BARE, cadence=Cadence.MONTHLY).due(step) for step in range(REPLAYED)].count(True) == 1
    assert all(replace(BARE, cadence=cadence).due(1) for cadence in (Cadence.DAILY, Cadence.WEEKLY))


def test_weekly_config__part_of_a_week__refused() -> None:
    with pytest.raises(ValueError, match="whole weeks"):
        replace(BARE, start=BARE.start + timedelta(days=1))


def test_weekly_walk__ends_in_the_midst_of_a_week__says_which_rows_lie_apart(tmp_path: Path) -> None:
    moved = replace(BARE, start=BARE.start - timedelta(days=3), end=BARE.end - timedelta(days=3))
    with pytest.raises(WeeksApart):
        walk(tmp_path, config=moved)


def test_weekly_walk__holdout_longer_than_the_history_bears__says_what_is_possible(tmp_path: Path) -> None:
    def holding(days: int) -> ReplayConfig:
        return replace(BARE, start=BARE.end - timedelta(days=days - 1))

    with pytest.raises(HoldoutTooLong) as refused:
        walk(tmp_path, config=holding(7 * 45))
    told = re.search(r"Replay at most (\d+) days", str(refused.value))
    assert told is not None
    walk(tmp_path, config=holding(int(told[1])))
    with pytest.raises(HoldoutTooLong):
        walk(tmp_path, config=holding(int(told[1]) + 7))
