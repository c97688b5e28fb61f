"""The walk: the same bytes again, also after a kill; nothing of a later day reaches an earlier one."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.replay.config import EmptyPartition, Hitl, HoldoutTooLong, ReplayConfig
from forecasting.engine.replay.knowledge import Knowledge
from forecasting.engine.replay.lanes import ALWAYS, GOVERNED, NAIVE, NEVER, PERFECT
from forecasting.engine.replay.outcome import Outcome
from forecasting.engine.replay.review import Decision, Paused, by_key
from forecasting.engine.replay.state import DECIDE
from forecasting.engine.replay.store import model_key
from forecasting.engine.replay.walk import Walk
from forecasting.engine.tests import replay_ground as ground
from forecasting.engine.tests.replay_ground import (
    CONFIG,
    DAYS,
    END,
    FIRST,
    REPLAYED,
    START,
    demand,
    files,
    finished,
    walk,
)
from forecasting.engine.types import canonical_json


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """One walk to its end, by the policy reviewer."""
    made = walk(tmp_path_factory.mktemp("whole"))
    made.run()
    return made


@pytest.fixture(scope="module")
def whole(walked: Walk) -> Outcome:
    """What came of it."""
    return ground.outcome(walked)


def test_walk__policy__every_day_is_logged_and_the_worlds_differ(whole: Outcome) -> None:
    assert [line["step"] for line in whole.lines] == list(range(-1, REPLAYED))
    lanes = whole.summary["lanes"]
    assert lanes[GOVERNED]["promotions"] >= 1 and lanes[NAIVE]["promotions"] == 0
    assert lanes[ALWAYS]["promotions"] == whole.summary["trainings"] and lanes[NEVER]["promotions"] == 1
    assert lanes[PERFECT]["lost_sales_qty"] == 0.0
    assert lanes[PERFECT]["total_cost"] < min(lanes[name]["total_cost"] for name in (GOVERNED, NAIVE, NEVER))
    assert all(lane["service_level"] + lane["lost_sales_qty"] / lane["demand"] == pytest.approx(1, abs=1e-6)
               for lane in lanes.values())  # fmt: skip
    assert whole.decisions[0]["rule"] == "R4_first" and whole.decisions[0]["code"] == "first_champion"
    assert whole.summary["strategy"]["tried"] and len(whole.summary["strategy"]["points"]) == 4


def test_walk__again__same_bytes(whole: Outcome, tmp_path: Path) -> None:
    assert files(finished(tmp_path)) == files(whole)


def test_walk__killed_at_random_moments__resumes_to_the_same_bytes(whole: Outcome, tmp_path: Path) -> None:
    chance, kills = random.Random(7), 0
    while True:
        child = os.fork()
        if child == 0:
            try:
                walk(tmp_path).run()
                os._exit(0)
            finally:
                os._exit(1)
        began, limit = time.monotonic(), chance.uniform(0.1, 1.2) if kills < 6 else 120.0
        ended = (0, 0)
        while ended[0] == 0 and time.monotonic() - began < limit:
            time.sleep(0.02)
            ended = os.waitpid(child, os.WNOHANG)
        if ended[0] == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            continue
        assert os.waitstatus_to_exitcode(ended[1]) == 0
        break
    assert kills > 0
    assert files(ground.outcome(walk(tmp_path))) == files(whole)


def test_walk__checkpoint_in_pieces__goes_on_from_the_one_before(whole: Outcome, tmp_path: Path) -> None:
    made = walk(tmp_path)
    for _ in range(9):
        made.advance()
    newest = sorted((tmp_path / "state").iterdir())[-1]
    (newest / "arrays.npy").write_bytes(b"\x93NUMPY half")
    again = walk(tmp_path)
    assert again.state.number == 8
    for _ in range(3):
        again.advance()
    lines = again.store.lines()
    assert len(lines) > 4 and lines == whole.lines[: len(lines)]


def test_walk__everything_after_a_day_poisoned__no_line_before_changes(whole: Outcome, tmp_path: Path) -> None:
    day = pd.Timestamp(START) + pd.Timedelta(days=6)
    frame = demand()
    late = frame["ds"] > day
    frame.loc[late, ["y", "unit_price", "unit_cost"]] *= 1000.0
    new = pd.DataFrame(
        {"unique_id": 99, "ds": [day + pd.Timedelta(days=1)], "y": 5000.0, "unit_price": 9.0, "unit_cost": 1.0}
    )
    made = walk(tmp_path, pd.concat([frame, new], ignore_index=True))
    while len(made.store.lines()) < 9:
        made.advance()
    told = [canonical_json(line) for line in whole.lines]
    poisoned = [canonical_json(line) for line in made.store.lines()]
    assert poisoned[:8] == told[:8] and poisoned[8:] != told[8:]


def test_walk__one_row_inside_changed__lines_change(whole: Outcome, tmp_path: Path) -> None:
    frame = demand()
    frame.loc[frame["ds"] == pd.Timestamp(START), "y"] += 40.0
    made = walk(tmp_path, frame)
    for _ in range(8):
        made.advance()
    assert canonical_json(made.store.lines()[0]) == canonical_json(whole.lines[0])
    assert canonical_json(made.store.lines()[1]) != canonical_json(whole.lines[1])


def test_knowledge__late_rows__unknown_before_they_arrive_and_known_after() -> None:
    frame = demand()
    frame["arrived"] = pd.NaT
    day = pd.Timestamp(START) + pd.Timedelta(days=2)
    mark = (frame["ds"] == day) & (frame["unique_id"] <= 3)
    frame.loc[mark, "arrived"] = day + pd.Timedelta(days=4)
    known = Knowledge(ground.rows_of(frame), CONFIG)

    def sold(panel_day: int) -> pd.DataFrame:
        history = known.panel((pd.Timestamp(START) + pd.Timedelta(days=panel_day)).date()).history
        return history.loc[(history["ds"] == day) & (history["unique_id"] <= 3)]

    assert sold(5)["y"].isna().all() and sold(5)["censored"].all()
    assert (sold(6)["y"].to_numpy() == frame.loc[mark, "y"].to_numpy()).all()
    sheet = known.sheet
    assert np.isnan(sheet.values(2, 2, at=5)[0, :3]).all() and np.isfinite(sheet.values(2, 2, at=6)).all()
    assert known.late_rows == 3


def test_knowledge__nothing_late__the_cut_panel_is_the_one_built_anew() -> None:
    known = Knowledge(ground.rows_of(demand()), CONFIG)
    day = CONFIG.day(3)
    rows = known.given.rows
    built = known.given.panel(rows.loc[rows["ds"] <= pd.Timestamp(day)], day)
    pd.testing.assert_frame_equal(known.panel(day).history, built.history)


def test_walk__rows_that_arrive_late__booked_on_arrival(tmp_path: Path) -> None:
    frame = demand()
    frame["arrived"] = pd.NaT
    day = pd.Timestamp(START) + pd.Timedelta(days=1)
    frame.loc[(frame["ds"] == day) & (frame["unique_id"] == 2), "arrived"] = day + pd.Timedelta(days=2)
    frame.loc[(frame["ds"] == day) & (frame["unique_id"] == 3), "arrived"] = pd.Timestamp(END) + pd.Timedelta(days=9)
    made = walk(tmp_path, frame, ground.shorter(5))
    made.run()
    lines = made.store.lines()
    assert [line["known"]["late"] for line in lines[1:]] == [0, 0, 0, 1, 0]
    assert lines[2]["known"]["rows"] == 6
    asked = made.state.lanes[GOVERNED].sums["demand"]
    never = frame.loc[(frame["ds"] == day) & (frame["unique_id"] == 3), "y"].sum()
    inside = (frame["ds"] >= pd.Timestamp(START)) & (frame["ds"] < pd.Timestamp(START) + pd.Timedelta(days=5))
    assert asked == pytest.approx(frame.loc[inside, "y"].sum() - never)


def test_walk__series_that_begins_and_one_that_ends__counted_from_their_first_order_on(tmp_path: Path) -> None:
    frame = demand()
    start = pd.Timestamp(START)
    ended = (frame["unique_id"] == 1) & (frame["ds"] >= start + pd.Timedelta(days=2))
    begun = (frame["unique_id"] == 2) & (frame["ds"] < start + pd.Timedelta(days=3))
    made = walk(tmp_path, frame.loc[~ended & ~begun].reset_index(drop=True), ground.shorter(8))
    made.run()
    lines = made.store.lines()
    assert [line["known"]["series"] for line in lines[1:6]] == [7, 7, 7, 8, 8]
    assert lines[0]["orders"]["series"] == 7 and lines[5]["orders"]["series"] == 8
    lane = made.state.lanes[GOVERNED]
    place = int(np.searchsorted(made.knowledge.sheet.ids, 1))
    assert lane.begun.all() and lane.stock[place] > 0  # what was ordered for the one that ended stays on the shelf


def test_store__models_of_one_training__hold_the_same_fits_and_those_of_another_do_not(tmp_path: Path) -> None:
    made = walk(tmp_path)
    while made.state.phase != DECIDE:
        made.advance()
    keys = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert len(keys) > 1 and {key.partition("-")[0] for key in keys} == {"0000"}
    models = [made.store.model(key) for key in keys]
    naive = [model.segments[0].parts["seasonal_naive"] for model in models]
    assert all(part is naive[0] for part in naive)
    made.store.keep_model(model_key(3, "f" * 64), models[0])
    later = made.store.model(model_key(3, "f" * 64))
    assert later.segments[0].parts["seasonal_naive"] is not naive[0]
    made.store.drop_models(keys[:1])
    assert made.store.model(keys[0]) is models[0]
    assert [path.name for path in (tmp_path / "models").iterdir()] == keys[:1]


def test_walk__other_data_than_the_checkpoint_is_of__begins_anew_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    config, day = ground.shorter(3), pd.Timestamp(START)
    frame = demand().assign(arrived=np.datetime64("NaT", "ns"))
    made = walk(tmp_path / "cut", frame, config)
    for _ in range(7):
        made.advance()
    assert walk(tmp_path / "cut", frame.sample(frac=1.0, random_state=1), config).state.number == 7  # in other order
    frame.loc[(frame["ds"] == day) & (frame["unique_id"] == 4), "arrived"] = day + pd.Timedelta(days=1)
    again = walk(tmp_path / "cut", frame, config)
    assert again.state.number == 0 and not again.store.lines() and not list((tmp_path / "cut" / "models").iterdir())
    again.run()
    assert files(ground.outcome(again)) == files(finished(tmp_path / "fresh", frame, config))


def test_walk__stock__nothing_is_lost_or_made(walked: Walk) -> None:
    for lane in walked.state.lanes.values():
        assert lane.sums["ordered"] == pytest.approx(lane.sums["sold"] + lane.position.sum())
        assert (lane.stock >= 0).all()


def test_walk__recorded_decisions_of_a_policy_walk__same_worlds(whole: Outcome, tmp_path: Path) -> None:
    config = replace(CONFIG, hitl=Hitl.RECORDED)
    again = finished(tmp_path, config=config, given=by_key(whole.decisions))
    assert again.summary["lanes"] == whole.summary["lanes"] and again.decisions == whole.decisions


def test_walk__recorded_with_nothing__promotes_nothing(tmp_path: Path) -> None:
    made = walk(tmp_path, config=ground.shorter(2, hitl=Hitl.RECORDED))
    made.run()
    assert made.state.lanes[GOVERNED].sums["promotions"] == 0
    assert made.state.decisions[0]["code"] == "not_recorded"


def test_walk__interactive__waits_and_goes_on_from_where_it_was(tmp_path: Path) -> None:
    config = ground.shorter(2, hitl=Hitl.INTERACTIVE)
    made = walk(tmp_path, config=config)
    with pytest.raises(Paused) as waits:
        made.run()
    question = waits.value.question
    trained = sorted((tmp_path / "models").iterdir())
    stale = Decision(question.key, "0" * 64, "approve", "other", "Fine", "rita")
    with pytest.raises(Paused):
        walk(tmp_path, config=config, given={question.key: stale}).run()
    decision = Decision(question.key, question.sha256, "reject", "risk", "Not before Christmas", "rita")
    again = walk(tmp_path, config=config, given={question.key: decision})
    assert again.state.phase == "decide" and sorted((tmp_path / "models").iterdir()) == trained
    again.run()
    assert again.state.lanes[GOVERNED].sums["promotions"] == 0
    assert again.state.decisions[0]["by"] == "rita"


@pytest.mark.parametrize("days", [DAYS - 40, DAYS - 1])
def test_config__holdout_longer_than_the_history_bears__says_what_is_possible(days: int, tmp_path: Path) -> None:
    config = replace(CONFIG, start=END - pd.Timedelta(days=days - 1).to_pytimedelta())
    with pytest.raises(HoldoutTooLong, match=r"Replay at most \d+ days"):
        walk(tmp_path, config=config)


def test_config__empty_partition__says_which_side(tmp_path: Path) -> None:
    with pytest.raises(EmptyPartition, match="before"):
        walk(tmp_path, config=replace(CONFIG, start=FIRST))
    late = demand()
    with pytest.raises(EmptyPartition, match="before"):
        walk(tmp_path, late.loc[late["ds"] >= pd.Timestamp(START)].reset_index(drop=True))


@pytest.mark.parametrize(
    "changes",
    [{"end": FIRST}, {"start": FIRST, "end": FIRST + pd.Timedelta(days=400).to_pytimedelta()}, {"horizon": 3}],
)
def test_config__nonsense__refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"replay|horizon"):
        replace(CONFIG, **changes)


def test_config__as_json__comes_back_the_same() -> None:
    assert ReplayConfig.from_json(CONFIG.to_json()) == CONFIG


@pytest.mark.parametrize(
    "broken",
    [{"verdict": "maybe"}, {"reason": " "}, {"edits": {"a": -1}}, {"edits": {"a": float("nan")}}, {"who": "x"}],
)
def test_decision__broken__refused_by_name(broken: dict[str, object]) -> None:
    body = {
        "key": "orders:2025-01-01",
        "question_sha256": "0",
        "verdict": "edit",
        "code": "x",
        "reason": "y",
        "by": "z",
    }
    with pytest.raises(ValueError, match="decision"):
        Decision.from_json({**body, **broken})
