"""Drift in the replay: the stability index against one reckoned by hand, values not known, errors in service."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecasting.engine.replay.config import DriftRules, ReplayConfig
from forecasting.engine.replay.drift import error_drift, input_drift, reference
from forecasting.engine.replay.knowledge import Sheet
from forecasting.engine.replay.lanes import GOVERNED
from forecasting.engine.tests import replay_ground as ground

START = date(2025, 6, 1)
BEFORE, REPLAYED, SERIES = 60, 12, 6
RULES = DriftRules(window_days=10, reference_days=40, min_values=30)
CONFIG = ReplayConfig(START, START + timedelta(days=REPLAYED - 1), drift=RULES)
ALWAYS_TOLD = replace(CONFIG, drift=replace(RULES, max_psi=-1.0))


def sheet_of(y: np.ndarray, **inputs: np.ndarray) -> Sheet:
    """Everything there and known on its own day."""
    own = np.arange(len(y), dtype="int32") - BEFORE
    arrives = np.repeat(own[:, None], y.shape[1], axis=1)
    nowhere, everywhere = np.zeros(y.shape, dtype=bool), np.ones(y.shape, dtype=bool)
    return Sheet(np.arange(1, y.shape[1] + 1), BEFORE, y, nowhere, everywhere, arrives, inputs)


def noise(seed: int = 4) -> np.ndarray:
    """Positive values of series of very different size."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.lognormal(0.0, 0.4, (BEFORE + REPLAYED, SERIES)) * 10.0 ** np.arange(SERIES))


def expected_psi(table: np.ndarray, trained: int, step: int) -> float:
    """The index from its definition, one value after another."""

    def scaled(at: int, first: int, last: int) -> list[float]:
        base = range(at - RULES.window_days - RULES.reference_days + 1, at - RULES.window_days + 1)
        means = [math.fsum(table[BEFORE + s, i] for s in base) / len(base) for i in range(SERIES)]
        return [table[BEFORE + s, i] / means[i] for s in range(first, last + 1) for i in range(SERIES)]

    before = scaled(trained, trained - 49, trained - 10)
    now = scaled(step, step - 9, step)
    ranked = sorted(before)
    edges = []
    for tenth in range(1, 10):
        place = tenth / 10 * (len(ranked) - 1)
        low = int(place)
        edges.append(ranked[low] + (place - low) * (ranked[low + 1] - ranked[low]))

    def share(values: list[float], number: int) -> float:
        low = edges[number - 1] if number else -math.inf
        high = edges[number] if number < len(edges) else math.inf
        return max(sum(low < one <= high for one in values) / len(values), 1e-4)

    pairs = [(share(now, k), share(before, k)) for k in range(10)]
    return sum((a - b) * math.log(a / b) for a, b in pairs)


@pytest.mark.parametrize("factor", [1.0, 1.6, 40.0])
@pytest.mark.parametrize("step", [2, 9])
def test_psi__of_any_shift__is_the_one_reckoned_by_hand(factor: float, step: int) -> None:
    table = noise()
    table[BEFORE + step - 4 :] *= factor
    sheet = sheet_of(table)
    (found,) = input_drift(sheet, step, reference(sheet, -1, CONFIG), ALWAYS_TOLD)
    assert found == {"column": "y", "psi": round(expected_psi(table, -1, step), 4), "unknown": 0.0}


def test_input_drift__limit__is_told_above_it_and_not_on_it() -> None:
    table = noise()
    table[BEFORE:] *= 1.6
    sheet = sheet_of(table)
    psi = expected_psi(table, -1, 5)
    before = reference(sheet, -1, CONFIG)
    told = [bool(input_drift(sheet, 5, before, replace(CONFIG, drift=replace(RULES, max_psi=limit))))
            for limit in (psi - 1e-6, psi + 1e-6)]  # fmt: skip
    assert psi > 0.25 and told == [True, False]


def test_input_drift__nothing_changed_but_the_size_of_one_series__is_quiet() -> None:
    table = noise()
    before = reference(sheet_of(table), -1, CONFIG)
    table[:, 0] *= 1000.0
    assert input_drift(sheet_of(table), 5, before, CONFIG) == []


def test_input_drift__prices_that_stay_while_a_short_history_grows__is_quiet() -> None:
    price = np.repeat(np.array([[2.99, 3.49, 0.1, 7.77, 1.15, 0.3]]), BEFORE + REPLAYED, axis=0)
    price[: BEFORE - 27] = np.nan  # the mean is over more days each day, which may not move it by a rounding
    sheet = replace(sheet_of(noise(), price=price), exists=np.isfinite(price))
    before = reference(sheet, -1, CONFIG)
    assert "price" in before
    moved = [one for step in range(REPLAYED) for one in input_drift(sheet, step, before, CONFIG)]
    assert [one for one in moved if one["column"] == "price"] == []


def test_input_drift__every_price_raised__names_the_price() -> None:
    price = np.full((BEFORE + REPLAYED, SERIES), 2.99)
    price[BEFORE:] *= 1.1
    sheet = sheet_of(noise(), price=price)
    assert "price" in [one["column"] for one in input_drift(sheet, 9, reference(sheet, -1, CONFIG), CONFIG)]


@pytest.mark.parametrize(("gone", "told"), [(0, False), (6, False), (7, True), (30, True), (31, True), (60, True)])
def test_input_drift__values_not_known_any_more__told_above_a_tenth(gone: int, told: bool) -> None:
    price = np.full((BEFORE + REPLAYED, SERIES), 3.0)
    recent = price[BEFORE : BEFORE + 10].reshape(-1)
    recent[:gone] = np.nan
    sheet = sheet_of(noise(), price=price)
    found = [one for one in input_drift(sheet, 9, reference(sheet, -1, CONFIG), CONFIG) if one["column"] == "price"]
    assert bool(found) == told
    if told:
        assert found[0]["unknown"] == round(gone / 60, 4)
        assert found[0]["psi"] == (0.0 if 60 - gone >= RULES.min_values else None)


def test_input_drift__values_that_come_late__are_not_known_before_they_came() -> None:
    sheet = sheet_of(noise())
    sheet.arrives[BEFORE + 3 : BEFORE + 6, :] = 8
    before = reference(sheet, -1, CONFIG)
    shares = {
        step: found[0]["unknown"] for step in (5, 7, 8) if (found := input_drift(sheet, step, before, ALWAYS_TOLD))
    }
    assert shares == {5: 0.3, 7: 0.3, 8: 0.0}


def test_input_drift__series_that_has_not_begun__is_not_counted_as_unknown() -> None:
    table = noise()
    table[: BEFORE + 6, 0] = np.nan
    sheet = replace(sheet_of(table), exists=np.isfinite(table))
    (found,) = input_drift(sheet, 5, reference(sheet, -1, CONFIG), ALWAYS_TOLD)
    assert found["unknown"] == 0.0


def test_reference__too_few_values__no_verdict_ever() -> None:
    rare = np.full((BEFORE + REPLAYED, SERIES), np.nan)
    rare[10, :] = rare[20, :] = rare[30, :] = rare[40, :] = 1.0  # 24 before the last weeks
    sheet = sheet_of(noise(), rare=rare)
    before = reference(sheet, -1, CONFIG)
    assert set(before) == {"y"}
    rare[BEFORE:] = 99.0
    assert "rare" not in [one["column"] for one in input_drift(sheet, 9, before, ALWAYS_TOLD)]


def test_input_drift__too_few_recent_values__no_verdict() -> None:
    table = noise()
    table[BEFORE:] *= 40.0
    begun = np.ones(table.shape, dtype=bool)
    begun[BEFORE:, 2:] = False  # as if four of six were no more: 20 values of 10 days
    sheet = replace(sheet_of(table), exists=begun)
    assert input_drift(sheet, 9, reference(sheet, -1, CONFIG), ALWAYS_TOLD) == []


# --- errors in service ---

PROMISED = {"wape": 0.2, "wape_naive": 0.4}


@pytest.mark.parametrize(
    ("watched", "facts", "severity", "ratio"),
    [
        ([[20.0, 40.0, 100.0, 20.0]] * 3, PROMISED, "", 1.0),
        ([[25.0, 40.0, 100.0, 20.0]] * 3, PROMISED, "", 1.25),  # on the limit
        ([[26.0, 40.0, 100.0, 20.0]] * 3, PROMISED, "slipped", 1.3),
        ([[26.0, 40.0, 100.0, 20.0]] * 2, PROMISED, "", 1.3),  # too few days
        ([[26.0, 40.0, 100.0, 9.0]] * 3, PROMISED, "", 1.3),  # too few rows
        ([[41.0, 40.0, 100.0, 30.0]], PROMISED, "gone", 2.05),
        ([[41.0, 90.0, 100.0, 30.0]] * 3, PROMISED, "", 2.05),  # hard for naive, too
        ([[41.0, 90.0, 100.0, 30.0]] * 3, {"wape": 0.2}, "gone", 2.05),  # nothing to compare naive with
        ([[41.0, 40.0, 100.0, 30.0]] * 3, {}, "", None),
        ([[41.0, 40.0, 0.0, 30.0]] * 3, PROMISED, "", None),
        ([], PROMISED, "", None),
    ],
)  # fmt: skip
def test_error_drift__errors_in_service__against_what_was_promised(
    watched: list[list[float]], facts: dict[str, Any], severity: str, ratio: float | None
) -> None:
    found = error_drift(watched, facts, CONFIG)
    assert (found.severity, found.detected) == (severity, bool(severity))
    assert found.ratio == (None if ratio is None else pytest.approx(ratio))


def test_error_drift__old_days__are_forgotten() -> None:
    watched = [[90.0, 40.0, 100.0, 20.0]] * 10 + [[20.0, 40.0, 100.0, 20.0]] * 5
    assert not error_drift(watched, PROMISED, replace(CONFIG, watched_days=5)).detected
    assert error_drift(watched, PROMISED, replace(CONFIG, watched_days=15)).detected


def test_trigger__error_in_service__asks_after_the_rest_and_not_on_the_last_day(tmp_path: Path) -> None:
    config = replace(ground.CONFIG, drift=replace(ground.CONFIG.drift, rest_days=4))
    made = ground.walk(tmp_path, config=config)
    state = made.state
    state.lanes[GOVERNED].facts = {**PROMISED}
    state.watched = [[50.0, 40.0, 100.0, 20.0]] * 3
    asked = {}
    for step in (2, 3, 6, 9):
        made._triggers(step)
        asked[step] = list(state.triggers)
    assert asked == {2: [], 3: ["error_drift"], 6: ["cadence", "error_drift"], 9: []}
    assert len(state.failures) == 1 and "went astray" in state.failures[0]  # once for what serves
    assert state.line["drift"]["error"]["severity"] == "gone"
