"""Every gate: passes, fails, and fails closed where its input is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from forecasting.engine.bootstrap import Evidence, no_evidence
from forecasting.engine.business import BUSINESS_NAMES, BusinessScore, BusinessScores
from forecasting.engine.gates import (
    BLOCKED,
    ELIGIBLE,
    GATE_NAMES,
    INSUFFICIENT,
    NAIVE,
    GateInputs,
    GatePolicyBody,
    GateReport,
    Side,
    judge,
    needed_p_lower,
    ordinal,
)
from forecasting.engine.scores import Score, ScoreSet

DS = {"wape": 0.30, "wrmsse": 0.80, "bias": 0.01, "coverage80": 0.80, "winkler80": 3.0, "fva": 0.1}
MONEY = {
    "lost_sales_qty": 100.0, "stockout_miss_rate": 0.10, "overstock_qty": 500.0, "overstock_rate": 0.20,
    "cost_stockout": 100.0, "cost_overstock": 200.0, "total_cost": 300.0,
}  # fmt: skip
ORIGINS = tuple(date(2022, 1, d) for d in (1, 8, 15, 22))


def side(confidence: str = "measured", **values: float | None) -> Side:
    """A side with these scores; None makes a score undefined."""

    def score(name: str, default: float) -> Score:
        value = values.get(name, default)
        return Score(None, 0, "no rows") if value is None else Score(value, 100)

    scores = ScoreSet({k: score(k, v) for k, v in DS.items()}, {}, {}, {}, 4, 40, 1000)
    table: dict[str, Any] = {n: BusinessScore(score(n, MONEY[n]), confidence) for n in BUSINESS_NAMES}
    business = BusinessScores(**table)
    return Side(scores, business, "a" * 64, ORIGINS, True)


def inputs(
    candidate: dict[str, Any] | None = None, champion: dict[str, Any] | None = None, **changes: Any
) -> GateInputs:
    """Inputs that pass every gate, with changes."""
    good = {"wape": 0.28, "cost_stockout": 95.0, "total_cost": 290.0, "fva": 0.2}
    base = GateInputs(
        candidate=candidate if isinstance(candidate, Side) else side(**{**good, **(candidate or {})}),
        champion=champion if isinstance(champion, Side) else side(**(champion or {})),
        evidence=Evidence(0.95, -0.03, -0.06, 0.0, -0.005, 50, 2000),
        holdout_sealed=True,
        holdout_accesses=1,
        holdout_candidates=1,
        series_origins=120,
        holdout_days=28,
        slo_critical=0,
        open_sev1=0,
        readiness="production_tier_candidate",
    )
    return replace(base, **changes)


def with_side(which: str, **changes: Any) -> dict[str, Any]:
    """One side of the good inputs, changed."""
    return {which: replace(getattr(inputs(), which), **changes)}


FAILS = [
    ("inputs", inputs(**with_side("candidate", rows_sha256="b" * 64)), False),
    ("inputs", inputs(**with_side("candidate", origins=ORIGINS[1:])), False),
    ("inputs", inputs({"wape": None}), True),
    ("inputs", inputs(champion={"stockout_miss_rate": None}), True),
    ("partition", inputs(**with_side("candidate", manifest_valid=False)), False),
    ("partition", inputs(**with_side("champion", manifest_valid=False)), False),
    ("partition", inputs(**with_side("champion", manifest_valid=None)), True),
    ("partition", inputs(holdout_sealed=False), False),
    ("partition", inputs(holdout_sealed=None), True),
    ("partition", inputs(holdout_accesses=2), False),
    ("partition", inputs(holdout_accesses=None), True),
    ("partition", inputs(holdout_candidates=21), False),
    ("partition", inputs(holdout_candidates=None), True),
    ("samples", inputs(series_origins=29), False),
    ("samples", inputs(holdout_days=13), False),
    ("samples", inputs(**with_side("candidate", origins=ORIGINS[1:])), False),
    ("samples", inputs(series_origins=None), True),
    ("beats_naive", inputs({"fva": 0.0}), False),
    ("beats_naive", inputs({"fva": None}), True),
    ("wape", inputs({"wape": 0.30 * 1.0201}), False),
    ("wape", inputs(champion={"wape": None}), True),
    ("wrmsse", inputs({"wrmsse": 0.80 * 1.0201}), False),
    ("wrmsse", inputs({"wrmsse": None}), True),
    ("bias", inputs({"bias": -0.0201}), False),
    ("bias", inputs({"bias": None}), True),
    ("calibration", inputs({"coverage80": 0.7499}), False),
    ("calibration", inputs({"coverage80": 0.8501}), False),
    ("calibration", inputs({"winkler80": 3.0 * 1.0201}), False),
    ("calibration", inputs({"coverage80": None}), True),
    ("calibration", inputs(champion={"winkler80": None}), True),
    ("stockout_rate", inputs({"stockout_miss_rate": 0.1051}), False),
    ("stockout_rate", inputs({"stockout_miss_rate": None}), True),
    ("overstock_rate", inputs({"overstock_rate": 0.2051}), False),
    ("overstock_rate", inputs(champion={"overstock_rate": None}), True),
    ("lost_sales", inputs({"lost_sales_qty": 100.51}), False),
    ("lost_sales", inputs({"lost_sales_qty": None}), True),
    ("cost_stockout", inputs({"cost_stockout": 100.51}), False),
    ("cost_stockout", inputs({"cost_stockout": None}), True),
    ("cost_overstock", inputs({"cost_overstock": 201.01}), False),
    ("cost_overstock", inputs(champion={"cost_overstock": None}), True),
    ("total_cost", inputs({"total_cost": 297.01}), False),
    ("total_cost", inputs({"total_cost": 301.51, "stockout_miss_rate": 0.09}), False),
    ("total_cost", inputs({"total_cost": None}), True),
    ("evidence", inputs(evidence=Evidence(0.79, -0.01, -0.05, 0.02, 0.005, 50, 2000)), False),
    ("evidence", inputs(evidence=Evidence(0.90, -0.01, -0.05, 0.02, 0.011, 50, 2000)), False),
    ("evidence", inputs(evidence=no_evidence("too few series")), True),
    ("evidence", inputs(evidence=Evidence(0.949, -0.03, -0.06, 0.0, -0.005, 50, 2000), holdout_candidates=4), False),
    ("operations", inputs(slo_critical=1), False),
    ("operations", inputs(open_sev1=1), False),
    ("operations", inputs(readiness="warming"), False),
    ("operations", inputs(readiness="unheard_of"), False),
    ("operations", inputs(slo_critical=None), True),
    ("operations", inputs(open_sev1=None), True),
    ("operations", inputs(readiness=None), True),
]

EDGES = [
    ("wape", inputs({"wape": 0.30 * 1.02})),
    ("wrmsse", inputs({"wrmsse": 0.80 * 1.02})),
    ("bias", inputs({"bias": -0.02})),
    ("calibration", inputs({"coverage80": 0.75})),
    ("calibration", inputs({"coverage80": 0.85, "winkler80": 3.06})),
    ("stockout_rate", inputs({"stockout_miss_rate": 0.105})),
    ("overstock_rate", inputs({"overstock_rate": 0.205})),
    ("lost_sales", inputs({"lost_sales_qty": 100.5})),
    ("cost_stockout", inputs({"cost_stockout": 100.5})),
    ("cost_overstock", inputs({"cost_overstock": 201.0})),
    ("total_cost", inputs({"total_cost": 297.0})),
    ("total_cost", inputs({"total_cost": 301.5, "stockout_miss_rate": 0.09})),
    ("samples", inputs(series_origins=30, holdout_days=14)),
    ("partition", inputs(holdout_accesses=3, reasons_given=True)),
    ("partition", inputs(champion_kind=NAIVE, **with_side("champion", manifest_valid=None))),
    ("evidence", inputs(evidence=Evidence(0.80, -0.01, -0.05, 0.02, 0.01, 50, 2000))),
    ("evidence", inputs(evidence=Evidence(0.95, -0.03, -0.06, 0.0, -0.005, 50, 2000), holdout_candidates=4)),
    ("partition", inputs(holdout_candidates=20)),
    ("operations", inputs(readiness="production_tier_active")),
]


def result(report: GateReport, name: str):
    """The gate of that name."""
    return next(r for r in report.results if r.name == name)


def test_judge__everything_good__eligible_with_every_gate_of_the_table():
    report = judge(inputs())
    assert report.verdict == ELIGIBLE
    assert tuple(r.name for r in report.results) == GATE_NAMES
    assert all(r.passed and r.reason for r in report.results)


@pytest.mark.parametrize(("name", "case", "missing"), FAILS)
def test_gate__bad_or_missing_input__fails_and_says_why(name: str, case: GateInputs, missing: bool):
    report = judge(case)
    found = result(report, name)
    assert not found.passed
    assert found.missing is missing or name == "inputs"
    assert found.reason
    assert report.verdict != ELIGIBLE


@pytest.mark.parametrize(("name", "case"), EDGES)
def test_gate__value_exactly_at_the_threshold__passes(name: str, case: GateInputs):
    assert result(judge(case), name).passed


@pytest.mark.parametrize("which", ["champion", "candidate"])
@pytest.mark.parametrize("name", ["lost_sales", "cost_stockout", "cost_overstock", "total_cost"])
def test_cost_gate__confidence_unavailable__fails_closed(name: str, which: str):
    change: dict[str, Any] = {which: side("unavailable")}
    report = judge(replace(inputs(), **change))
    found = result(report, name)
    assert not found.passed and found.missing and "unavailable" in found.reason


def test_every_gate__has_a_failing_and_a_missing_case_in_the_table():
    assert {n for n, _, missing in FAILS if not missing} == set(GATE_NAMES)
    assert {n for n, _, missing in FAILS if missing} == set(GATE_NAMES)


def test_verdict__few_samples__insufficient_evidence():
    assert judge(inputs(series_origins=3)).verdict == INSUFFICIENT


def test_verdict__score_missing__insufficient_evidence():
    assert judge(inputs({"wape": None})).verdict == INSUFFICIENT


def test_verdict__partition_broken_and_few_samples__blocked():
    assert judge(inputs(series_origins=3, holdout_sealed=False)).verdict == BLOCKED


def test_verdict__worse_candidate__blocked_with_the_failing_gates_named():
    report = judge(inputs({"wape": 0.5, "total_cost": 400.0}))
    assert report.verdict == BLOCKED
    assert report.failing == ("wape", "total_cost")


def test_policy__changed_threshold__moves_the_gate():
    case = inputs({"wape": 0.40})
    assert not result(judge(case), "wape").passed
    assert result(judge(case, GatePolicyBody(max_wape_ratio=1.5)), "wape").passed


def test_report__json_round_trip__equal():
    report = judge(inputs({"wape": 0.5}))
    assert GateReport.from_json(report.to_json()) == report
    assert GatePolicyBody.from_json(GatePolicyBody().to_json()) == GatePolicyBody()


@pytest.mark.parametrize(
    ("candidates", "free", "needed"),
    [(None, 1, 0.80), (1, 1, 0.80), (2, 1, 0.90), (4, 1, 0.95), (20, 1, 0.99), (3, 3, 0.80), (6, 3, 0.90)],
)
def test_needed_p_lower__k_candidates_on_the_same_days__the_doubt_is_shared(candidates, free, needed: float):
    policy = GatePolicyBody(free_candidates_per_holdout=free)
    assert needed_p_lower(candidates, policy) == pytest.approx(needed)


def test_evidence__fourth_candidate_on_the_same_days__says_why_more_is_asked():
    found = result(judge(inputs(holdout_candidates=4)), "evidence")
    assert "4th candidate judged on these days has to be surer (0.95 instead of 0.8)" in found.reason
    assert "4th candidate judged on these days" in result(judge(inputs(holdout_candidates=4)), "partition").reason


@pytest.mark.parametrize(
    ("n", "said"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st"), (113, "113th")],
)
def test_ordinal__number__as_it_is_said(n: int, said: str):
    assert ordinal(n) == said


def test_selection__best_of_many_equal_candidates__passes_no_more_often_than_one():
    """Why the doubt is shared: without it, one of four candidates that are worth nothing passes half the time."""
    draws = np.random.default_rng(7).uniform(size=(4000, 4)).max(axis=1)  # P(lower) of no real difference is uniform
    unshared, shared = GatePolicyBody().min_p_lower, needed_p_lower(4, GatePolicyBody())
    assert np.mean(draws >= unshared) > 0.5
    assert np.mean(draws >= shared) < 1 - unshared
