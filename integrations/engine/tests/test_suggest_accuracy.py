"""How often suggestions are right, and whether the confidence means what it says, on 66 heading sets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from integrations.engine.contract_model import REQUIRED_FIELDS
from integrations.engine.suggest import Suggestion, suggest_columns
from integrations.engine.tests.heading_sets import HELD_OUT, TUNED, heading_sets


@dataclass(frozen=True)
class Figures:
    """`recall` of required fields, `precision` of all suggestions, `error`: mean gap of confidence and truth."""

    recall: float
    precision: float
    error: float


def measure(text: str) -> Figures:
    pairs: list[tuple[Suggestion, str | None]] = []
    for found in heading_sets(text):
        pairs += zip(suggest_columns(found.headings, found.rows), found.truth, strict=True)
    required = [suggested.field == truth for suggested, truth in pairs if truth in REQUIRED_FIELDS]
    made = [(suggested.confidence, suggested.field == truth) for suggested, truth in pairs if suggested.field]
    tenths: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in made:
        tenths.setdefault(int(confidence * 10), []).append((confidence, right))
    gap = sum(abs(sum(c for c, _ in part) - sum(right for _, right in part)) for part in tenths.values()) / len(made)
    return Figures(sum(required) / len(required), sum(right for _, right in made) / len(made), gap)


def test_heading_sets__there_are_enough__in_both_tables() -> None:
    assert len(heading_sets(TUNED)) + len(heading_sets(HELD_OUT)) >= 60
    assert len(heading_sets(HELD_OUT)) >= 30


@pytest.mark.parametrize("table", [TUNED, HELD_OUT], ids=["tuned", "held out"])
def test_suggest__on_real_looking_headings__is_nearly_always_right(table: str) -> None:
    figures = measure(table)
    assert figures.recall >= 0.93, figures
    assert figures.precision >= 0.95, figures


@pytest.mark.parametrize("table", [TUNED, HELD_OUT], ids=["tuned", "held out"])
def test_suggest__confidence__is_the_share_that_is_right(table: str) -> None:
    assert measure(table).error <= 0.06


def test_suggest__every_field__at_most_once_in_every_set() -> None:
    for found in heading_sets(TUNED + HELD_OUT):
        given = [item.field for item in suggest_columns(found.headings, found.rows) if item.field]
        assert len(given) == len(set(given)), found.name
