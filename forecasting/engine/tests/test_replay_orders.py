"""Order proposals: whole packs, levels from the calibrated sum, and which orders a reviewer is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from forecasting.engine.business import BusinessPolicy
from forecasting.engine.conformal import Calibration
from forecasting.engine.replay.config import OrderRules, ReplayConfig
from forecasting.engine.replay.knowledge import Sheet
from forecasting.engine.replay.lanes import Economics
from forecasting.engine.replay.orders import HIGH, LOW, QUIET, conspicuous, levels_of, packs

NAN = float("nan")
START = date(2025, 6, 1)
CONFIG = ReplayConfig(START, START + timedelta(days=9), business=BusinessPolicy(1, 2),
                      orders=OrderRules(quiet_days=10, history_days=40))  # fmt: skip
"""An order lasts three days; quiet after ten."""
BEFORE = 43


@pytest.mark.parametrize(
    ("level", "position", "pack", "ordered"),
    [
        (10.0, 0.0, 1.0, 10.0),
        (10.2, 0.0, 1.0, 11.0),
        (10.0, 4.0, 6.0, 6.0),
        (10.0, 3.9, 6.0, 12.0),
        (10.0, 10.0, 6.0, 0.0),
        (10.0, 25.0, 6.0, 0.0),
        (0.0, 0.0, 6.0, 0.0),
        (0.3, 0.0, 0.1, 0.3),  # 0.3 / 0.1 is more than 3 by a rounding
        (NAN, 5.0, 6.0, NAN),
    ],
)
def test_packs__up_to_the_level__whole_packs_and_never_less(
    level: float, position: float, pack: float, ordered: float
) -> None:
    made = packs(np.array([level]), np.array([position]), pack)
    assert made[0] == pytest.approx(ordered, nan_ok=True)


CALIBRATION = Calibration(
    grid=(0.0, 0.5, 1.0), weeks={"1": {"*": (-1.0, 0.0, 1.0)}},
    sums={"1": {"*": (-1.0, 0.0, 1.0)}, "3": {"*": (-2.0, 0.0, 4.0), "smooth": (-1.0, 0.0, 1.0)}},
    sigma={"1": 2.0, "3": 1.0}, level={"1": 10.0, "3": 4.0}, classes={"1": "*", "3": "smooth"}, curve=(0.0, 0.5),
    growth=1.0, week_steps=7, residuals=99,
)  # fmt: skip
IDS = np.array([1, 2, 3])


def test_levels_of__forecast_and_ratio__is_the_sum_plus_its_quantile() -> None:
    ahead = np.array([[10.0, NAN, 4.0], [10.0, 5.0, 4.0], [10.0, 5.0, 4.0], [999.0, 5.0, 999.0]])
    money = Economics(np.ones(3), np.ones(3), np.array([0.75, 0.9, 0.25]), "measured")
    made = levels_of(ahead, IDS, CALIBRATION, money, 3)
    assert made[0] == pytest.approx(30 + 2.0 * np.sqrt(3) * 2.0)  # half way from 0 to 4; its scale is 2
    assert np.isnan(made[1])  # a day of the three is not forecast
    assert made[2] == pytest.approx(12 - 0.5 * np.sqrt(3) * 1.0)  # half way from -1 to 0 in its class


def test_levels_of__nothing_forecast__no_level_and_a_deep_quantile_is_never_negative() -> None:
    money = Economics(np.ones(3), np.ones(3), np.array([0.01, 0.01, 0.01]), "measured")
    assert np.isnan(levels_of(np.full((4, 3), NAN), IDS, CALIBRATION, money, 3)).all()
    low = levels_of(np.full((4, 3), 0.001), IDS, CALIBRATION, money, 3)
    assert (low >= 0).all() and low[0] == 0.0


def sheet_of(*series: list[float]) -> Sheet:
    """These series as the last days before the replay's first, known on their own day; nothing yet of the replay."""
    y = np.full((BEFORE + 10, len(series)), NAN)
    for number, values in enumerate(series):
        y[BEFORE - len(values) : BEFORE, number] = values
    own = np.arange(len(y), dtype="int32") - BEFORE
    arrives = np.repeat(own[:, None], len(series), axis=1)
    return Sheet(np.arange(1, len(series) + 1), BEFORE, y, np.zeros(y.shape, dtype=bool), np.ones(y.shape, dtype=bool),
                 arrives, {})  # fmt: skip


def why(values: list[float], level: float, proposed: float = 1.0, config: ReplayConfig = CONFIG) -> str | None:
    """What makes one order look odd on the eve."""
    found = conspicuous(np.array([level]), np.array([proposed]), np.array([2.0]), sheet_of(values), -1, config)
    return found[0].why if found else None


USUAL = [5.0, 4.0, 6.0] * 13  # any three days sum up to 15
DEAD = [5.0] * 29 + [0.0] * 10


@pytest.mark.parametrize(
    ("values", "level", "proposed", "expected"),
    [
        (USUAL, 15.0, 9.0, None),
        (USUAL, 22.5, 9.0, None),  # 1.5 times the most
        (USUAL, 22.6, 9.0, HIGH),
        (USUAL, 99.0, 0.0, None),  # nothing is ordered, so there is nothing to cut
        (USUAL, 7.5, 9.0, None),  # half the least
        (USUAL, 7.4, 0.0, LOW),
        (USUAL, NAN, NAN, None),
        (DEAD, 15.0, 9.0, QUIET),
        (DEAD, 99.0, 9.0, QUIET),  # one reason each
        (DEAD, 15.0, 0.0, None),
        ([5.0] * 30 + [0.0] * 9, 15.0, 9.0, None),  # a day short of quiet
        ([5.0] * 11, 99.0, 9.0, None),  # too little history to speak of
        ([5.0] * 12, 99.0, 9.0, HIGH),
        ([5.0, NAN] * 19, 99.0, 9.0, None),  # no three days known in a row
        ([5.0] * 29 + [NAN] * 10, 15.0, 9.0, None),  # out of stock for weeks is not quiet
        ([5.0] * 29 + [0.0] * 4 + [NAN] * 6, 15.0, 9.0, None),  # known of less than half
        ([5.0] * 29 + [0.0] * 5 + [NAN] * 5, 15.0, 9.0, QUIET),
    ],
)  # fmt: skip
def test_conspicuous__order_beside_its_history__is_shown_for_one_reason_or_not(
    values: list[float], level: float, proposed: float, expected: str | None
) -> None:
    assert why(values, level, proposed) == expected


def test_conspicuous__several__carries_the_figures_the_reviewer_needs() -> None:
    sheet = sheet_of(USUAL, [1.0, 2.0, 3.0, 4.0] * 9, DEAD)
    level, proposed, position = np.array([15.0, 50.0, 9.0]), np.array([9.0, 48.0, 7.0]), np.array([6.0, 2.0, 2.0])
    found = conspicuous(level, proposed, position, sheet, -1, CONFIG)
    assert [(one.series, one.why) for one in found] == [(1, HIGH), (2, QUIET)]
    assert found[0].to_json("north · tea") == {
        "series": "north · tea", "why": HIGH, "level": 50.0, "proposed": 48.0, "position": 2.0, "largest": 9.0,
        "least": 6.0,
    }  # fmt: skip


def test_conspicuous__day_that_arrives_late__is_no_history_yet() -> None:
    sheet = sheet_of([*USUAL[:-1], 500.0])
    assert conspicuous(np.array([99.0]), np.array([9.0]), np.array([0.0]), sheet, -1, CONFIG) == []
    sheet.arrives[BEFORE - 1, 0] = 3
    (found,) = conspicuous(np.array([99.0]), np.array([9.0]), np.array([0.0]), sheet, -1, CONFIG)
    assert (found.why, found.largest) == (HIGH, 15.0)


def test_conspicuous__history_asked_for_is_shorter_than_an_order_lasts__nothing_is_odd() -> None:
    assert why(USUAL, 99.0, config=replace(CONFIG, orders=OrderRules(history_days=2))) is None
