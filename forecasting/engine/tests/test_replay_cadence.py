"""When a retraining falls due by the calendar, against a calendar of its own; and a walk over the end of a month."""

from __future__ import annotations

import calendar
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from forecasting.engine.replay.config import Cadence, Portfolio, ReplayConfig
from forecasting.engine.tests import replay_ground as ground


def due_days(config: ReplayConfig) -> list[date]:
    """The days of the replay on which the calendar asks."""
    return [config.day(step) for step in range(config.steps) if config.due(step)]


@pytest.mark.parametrize("start", [date(2024, 1, 31), date(2023, 3, 1), date(2025, 2, 15)])
def test_due__monthly_over_a_year__is_the_last_day_of_each_month(start: date) -> None:
    end = start + timedelta(days=364)
    config = ReplayConfig(start, end, cadence=Cadence.MONTHLY)
    ends = [date(y, m, calendar.monthrange(y, m)[1]) for y in range(2023, 2027) for m in range(1, 13)]
    assert due_days(config) == [one for one in ends if start <= one <= end]


def test_due__monthly_of_weekly_demand__is_the_last_week_that_ends_in_each_month() -> None:
    start = date(2024, 1, 1)  # weeks end on Sundays
    end = start + timedelta(days=7 * 52 - 1)
    config = ReplayConfig(start, end, cadence=Cadence.MONTHLY, grain="W", season_length=52)
    sundays = [max(week[6] for week in calendar.monthcalendar(2024, month)) for month in range(1, 13)]
    assert due_days(config) == [date(2024, month, day) for month, day in enumerate(sundays, 1)]


@pytest.mark.parametrize(
    ("cadence", "grain", "due"),
    [
        (Cadence.DAILY, "D", list(range(14))),
        (Cadence.WEEKLY, "D", [6, 13]),
        (Cadence.DAILY, "W", [0, 1]),
        (Cadence.WEEKLY, "W", [0, 1]),
        (Cadence.MONTHLY, "D", []),
    ],
)
def test_due__other_cadences__count_from_the_first_day(cadence: Cadence, grain: str, due: list[int]) -> None:
    config = ReplayConfig(date(2025, 5, 5), date(2025, 5, 18), cadence=cadence, grain=grain)
    assert [step for step in range(config.steps) if config.due(step)] == due


def test_walk__monthly_over_the_end_of_a_month__trains_on_the_eve_and_on_the_last_day(tmp_path: Path) -> None:
    config = replace(ground.CONFIG, start=date(2025, 3, 30), end=date(2025, 4, 2), cadence=Cadence.MONTHLY,
                     families=("seasonal_naive",), portfolio=Portfolio.OFF)  # fmt: skip
    made = ground.walk(tmp_path, ground.demand(3), config)
    made.run()
    told = ground.outcome(made)
    trained = [(one["day"], one["triggers"]) for one in told.manifest["trainings"]]
    assert trained == [("2025-03-29", ["first"]), ("2025-03-31", ["cadence"])]
    assert told.summary["triggers"] == {"cadence": 1, "first": 1}
    assert [line["triggers"] for line in told.lines] == [["first"], [], ["cadence"], [], []]


def test_walk__monthly_whose_last_day_ends_the_month__does_not_train_for_days_that_do_not_come(tmp_path: Path) -> None:
    config = replace(ground.CONFIG, start=date(2025, 3, 30), end=date(2025, 3, 31), cadence=Cadence.MONTHLY)
    made = ground.walk(tmp_path, ground.demand(2), config)
    for step in (0, 1):
        assert config.due(step) == (step == 1)
        made._triggers(step)
        assert made.state.triggers == []
