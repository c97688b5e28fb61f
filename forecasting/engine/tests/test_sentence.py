"""The sentence on top of the approval page: honest whatever the figures are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from forecasting.engine.sentence import money, summarise


def side(total: float | None, risk: float | None, *, confidence: str = "measured", wape: float | None = 0.3) -> Any:
    reason = None if total is not None else "a series has neither price nor cost"
    per_week = total / 4 if total is not None else None
    return (
        {
            "total_cost": {"value": total, "reason": reason, "confidence": confidence, "per_week": per_week},
            "stockout_miss_rate": {"value": risk, "reason": None, "confidence": confidence, "per_week": None},
        },
        {"overall": {"wape": {"value": wape, "n": 10, "reason": None}}},
    )


def sentence(
    ours: Any, theirs: Any, p_lower: float | None = 0.97, verdict: str = "eligible", failing: tuple[str, ...] = (),
    kind: str = "champion", currency: str = "EUR",
) -> str:  # fmt: skip
    evidence = {
        "labels": {"candidate": "v7", "champion": "v3"},
        "champion_kind": kind,
        "currency": currency,
        "business": {"candidate": ours[0], "champion": theirs[0]},
        "scores": {"candidate": ours[1], "champion": theirs[1]},
        "bootstrap": {
            "p_lower": p_lower,
            "reason": None if p_lower is not None else "3 series are too few to resample",
        },
    }
    return summarise(evidence, verdict, failing)


def test_sentence__lower_cost__reads_as_the_design_says() -> None:
    said = sentence(side(4 * 29_004.0, 0.060), side(4 * 30_244.0, 0.061))
    assert said == (
        "v7 would cut expected stock cost by 4.1% (€1,240 a week) at the same stockout risk; evidence: strong."
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "p_lower", "expected"),
    [
        (side(1100, 0.06), side(1000, 0.06), 0.01, "v7 would raise expected stock cost by 10.0% (€25 a week)"),
        (side(1100, 0.06), side(1000, 0.06), 0.01, "evidence: strong"),
        (side(1000.5, 0.06), side(1000, 0.06), 0.5, "would leave expected stock cost as it is"),
        (side(900, 0.06), side(1000, 0.06), 0.85, "evidence: fair"),
        (side(900, 0.06), side(1000, 0.06), 0.6, "evidence: weak"),
        (side(900, 0.06), side(1000, 0.06), None, "evidence: none (3 series are too few to resample)"),
        (side(900, 0.09), side(1000, 0.06), 0.97, "at a higher stockout risk (6.0% → 9.0% of orders)"),
        (side(900, 0.03), side(1000, 0.06), 0.97, "at a lower stockout risk (6.0% → 3.0% of orders)"),
        (side(900, None), side(1000, 0.06), 0.97, "at a stockout risk that is unknown"),
        (side(900, 0.06, confidence="estimated"), side(1000, 0.06), 0.97, "by the tenant's default margins"),
        (side(None, 0.06), side(1000, 0.06), None, "stock cost is unknown (a series has neither price nor cost)"),
        (side(900, 0.06), side(None, 0.06), None, "stock cost is unknown (a series has neither price nor cost)"),
        (side(None, 0.06), side(None, 0.06), None, "its error (WAPE) is 0.300 against 0.300"),
        (side(None, 0.06, wape=None), side(None, 0.06), None, "its error (WAPE) is unknown too"),
        (side(900, 0.06), side(0, 0.06), None, "Stock cost of the champion is zero"),
    ],
)
def test_sentence__whatever_the_figures__says_what_is_known(ours, theirs, p_lower, expected: str) -> None:
    said = sentence(ours, theirs, p_lower)
    assert expected in said
    assert not re.search(r"\b(None|nan|inf)\b", said)


def test_sentence__not_eligible__names_the_gates() -> None:
    blocked = sentence(side(900, 0.06), side(1000, 0.06), verdict="blocked", failing=("wape", "bias"))
    assert blocked.endswith(" It cannot be promoted: 2 gates failed (wape, bias).")
    one = sentence(side(900, 0.06), side(1000, 0.06), verdict="blocked", failing=("wape",))
    assert one.endswith(" It cannot be promoted: 1 gate failed (wape).")
    unsure = sentence(side(900, 0.06), side(1000, 0.06), verdict="insufficient_evidence", failing=("samples",))
    assert unsure.endswith("too little evidence to tell (failing: samples).")


def test_sentence__no_champion__says_against_what() -> None:
    said = sentence(side(900, 0.06), side(1000, 0.06), kind="seasonal_naive")
    assert "compared with seasonal naive: there is no champion yet" in said


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(1240.4, "EUR", "€1,240"), (9.5, "USD", "$9.50"), (1e6, "CHF", "CHF 1,000,000"), (0.0, "SEK", "SEK 0.00")],
)
def test_money__is_written_for_people(amount: float, currency: str, text: str) -> None:
    assert money(amount, currency) == text
