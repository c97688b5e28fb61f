"""The reviewer that decides by rules: each rule, its bound and its code; the first that applies decides."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from forecasting.engine.replay.config import Hitl, ReplayConfig, ReviewRules
from forecasting.engine.replay.orders import HIGH, LOW, QUIET
from forecasting.engine.replay.review import (
    APPROVE,
    EDIT,
    ORDERS,
    PROMOTION,
    REJECT,
    Decision,
    Question,
    Reviewer,
    by_policy,
)

DAY = date(2025, 6, 1)
CONFIG = ReplayConfig(DAY, DAY, review=ReviewRules(min_p_lower=0.9, rest_days=14, max_store_rise=0.25))
GOOD: dict[str, Any] = {
    "champion": "seasonal_average", "p_lower": 0.97, "input_drift": [], "days_since_promotion": 30,
    "worst_store": {"store": "north", "rise": 0.01},
}  # fmt: skip
DRIFT = [{"column": "y", "psi": 0.4, "unknown": 0.0}, {"column": "unit_price", "psi": None, "unknown": 1.0}]
WORST = {"store": "north", "rise": 0.3}
EVERYTHING = {"champion": None, "p_lower": None, "input_drift": DRIFT, "days_since_promotion": 3, "worst_store": WORST}


@pytest.mark.parametrize(
    ("changes", "rule", "verdict", "code", "told"),
    [
        ({"days_since_promotion": 13}, "R1_rest", REJECT, "timing", "13 day(s) ago"),
        ({"days_since_promotion": 0}, "R1_rest", REJECT, "timing", "0 day(s) ago"),
        ({"days_since_promotion": 14}, "R6_cost", APPROVE, "lower_cost", "0.970"),
        ({"days_since_promotion": None}, "R6_cost", APPROVE, "lower_cost", "0.970"),
        ({"input_drift": DRIFT}, "R2_data", REJECT, "data_doubt", "(unit_price, y)"),
        ({"worst_store": WORST}, "R3_store", REJECT, "risk", "north would rise by 30.0%"),
        ({"worst_store": {"store": "north", "rise": 0.25}}, "R6_cost", APPROVE, "lower_cost", "0.970"),
        ({"worst_store": None}, "R6_cost", APPROVE, "lower_cost", "0.970"),
        ({"champion": None, "p_lower": None}, "R4_first", APPROVE, "first_champion", "nothing else serves"),
        ({"p_lower": None}, "R5_evidence", REJECT, "weak_evidence", "not known"),
        ({"p_lower": 0.899}, "R5_evidence", REJECT, "weak_evidence", "0.899"),
        ({"p_lower": 0.9}, "R6_cost", APPROVE, "lower_cost", "0.900"),
        ({}, "R6_cost", APPROVE, "lower_cost", "every gate passed"),
        # several at once: the first of them decides
        (EVERYTHING, "R1_rest", REJECT, "timing", "3 day(s) ago"),
        ({**EVERYTHING, "days_since_promotion": 14}, "R2_data", REJECT, "data_doubt", "unit_price"),
        ({**EVERYTHING, "days_since_promotion": 14, "input_drift": []}, "R3_store", REJECT, "risk", "north"),
        ({"champion": None, "worst_store": WORST}, "R3_store", REJECT, "risk", "north"),
    ],
)  # fmt: skip
def test_promotion__by_policy__the_first_rule_that_applies_decides(
    changes: dict[str, Any], rule: str, verdict: str, code: str, told: str
) -> None:
    question = Question(PROMOTION, DAY, {**GOOD, **changes})
    made = by_policy(question, CONFIG)
    assert (made.rule, made.verdict, made.code, made.by) == (rule, verdict, code, "policy")
    assert told in made.reason and made.edits == {}
    assert (made.key, made.question_sha256) == ("promotion:2025-06-01", question.sha256)
    assert Decision.from_json(made.to_json()) == made


def line(series: str, why: str, **figures: float) -> dict[str, Any]:
    """An odd order as the reviewer sees it."""
    usual = {"level": 100.0, "proposed": 90.0, "position": 10.0, "largest": 40.0, "least": 20.0}
    return {"series": series, "why": why, **usual, **figures}


QUIET_LINE, HIGH_LINE, LOW_LINE = (
    line("a", QUIET),
    line("b", HIGH),
    line("c", LOW, level=5.0, proposed=0.0, position=1.5),
)


@pytest.mark.parametrize(
    ("lines", "code", "rule", "edits"),
    [
        ([QUIET_LINE], "no_demand", "O1_quiet", {"a": 0.0}),
        ([HIGH_LINE], "above_history", "O2_high", {"b": 30.0}),  # 40 sold at most, 10 are there
        ([LOW_LINE], "below_history", "O3_low", {"c": 18.5}),  # 20 sold at least, 1.5 are there
        ([line("b", HIGH, position=55.0)], "above_history", "O2_high", {"b": 0.0}),
        ([LOW_LINE, HIGH_LINE], "above_history", "O2_high+O3_low", {"b": 30.0, "c": 18.5}),
        ([LOW_LINE, QUIET_LINE], "no_demand", "O1_quiet+O3_low", {"a": 0.0, "c": 18.5}),
        ([HIGH_LINE, LOW_LINE, QUIET_LINE, line("d", QUIET)], "no_demand", "O1_quiet+O2_high+O3_low",
         {"a": 0.0, "b": 30.0, "c": 18.5, "d": 0.0}),
    ],
)  # fmt: skip
def test_orders__by_policy__every_line_by_its_rule(
    lines: list[dict[str, Any]], code: str, rule: str, edits: dict[str, float]
) -> None:
    question = Question(ORDERS, DAY, {"lines": lines})
    made = by_policy(question, CONFIG)
    assert (made.verdict, made.code, made.rule, made.by, made.edits) == (EDIT, code, rule, "policy", edits)
    counted = [part.split(" × ") for part in made.reason.split("; ")]
    assert sum(int(count) for count, _ in counted) == len(lines)
    assert [text.split(":")[0] for _, text in counted] == rule.split("+")
    assert Decision.from_json(made.to_json()) == made


@pytest.mark.parametrize(("kind", "verdict"), [(PROMOTION, REJECT), (ORDERS, APPROVE)])
def test_recorded__nothing_or_other_evidence__promotes_nothing_and_orders_as_proposed(kind: str, verdict: str) -> None:
    config = ReplayConfig(DAY, DAY, hitl=Hitl.RECORDED)
    shown = {**GOOD, "lines": [QUIET_LINE]}
    other = by_policy(Question(kind, DAY, {**shown, "more": 1}), config)
    question = Question(kind, DAY, shown)
    without = Reviewer(config).decide(question)
    changed = Reviewer(config, {question.key: other}).decide(question)
    assert (without.verdict, without.code, without.by) == (verdict, "not_recorded", "nobody")
    assert (changed.verdict, changed.code, changed.by) == (verdict, "evidence_changed", "nobody")
    assert changed.edits == {}
    own = by_policy(question, config)
    assert Reviewer(config, {question.key: own}).decide(question) == own
