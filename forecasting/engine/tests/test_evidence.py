"""The evidence beside the gate table, against figures reckoned by hand."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.engine.business import BUSINESS_NAMES, BusinessPolicy, BusinessScore, BusinessScores
from forecasting.engine.evidence import Judged, holdout_evidence, judged_weeks
from forecasting.engine.scores import Score, ScoreSet
from forecasting.engine.train import Assessment
from forecasting.engine.types import TrainingWindow

WINDOW = TrainingWindow.plan(date(2026, 1, 1), date(2026, 3, 14), holdout_days=14)
STATIC = pd.DataFrame({"unique_id": [1, 2], "store_id": ["north", "south"], "product_id": ["milk", "bread"]})


def frame(error: float) -> pd.DataFrame:
    """Two origins a week apart; series 1 sells 10 a day, series 2 sells 20 and is sold out on the first day."""
    rows = [
        {"unique_id": series, "origin": origin, "ds": origin + pd.Timedelta(days=h), "h": h, "y": 10.0 * series,
         "censored": series == 2 and origin + pd.Timedelta(days=h) == pd.Timestamp("2026-03-01"),
         "yhat": 10.0 * series + error * series}
        for origin in (pd.Timestamp("2026-02-28"), pd.Timestamp("2026-03-07"))
        for h in range(1, 8 if origin.month == 3 else 15)
        for series in (1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def judged(error: float, cost: dict[int, float] | None) -> Judged:
    known = Score(10.0, 4) if cost is not None else Score(None, 4, "no price")
    score = BusinessScore(known, "measured" if cost is not None else "unavailable")
    series_cost = pd.Series(cost, dtype="float64") if cost is not None else None
    business = BusinessScores(score, score, score, score, score, score, score, series_cost=series_cost)
    overall = {"coverage80": Score(0.8, 40), "coverage95": Score(None, 0, "no rows")}
    scores = ScoreSet(overall, {}, {}, {"north": {"wape": Score(0.1, 20)}}, 2, 2, 41)
    return Judged(frame(error), Assessment(scores, business, "x", (date(2026, 2, 28), date(2026, 3, 7)), 4, 14))


@pytest.fixture
def evidence() -> dict:
    sides = judged(1.0, {1: 8.0, 2: 6.0}), judged(-2.0, {1: 10.0, 2: 4.0})
    return holdout_evidence(*sides, static=STATIC, window=WINDOW, policy=BusinessPolicy())


def test_evidence__weeks__hold_each_days_errors_without_censored_days(evidence: dict) -> None:
    first, second = evidence["weeks"]
    assert (first["start"], first["end"], second["end"]) == ("2026-03-01", "2026-03-07", "2026-03-14")
    assert first["candidate"]["wape"] == {"value": pytest.approx(0.1), "n": 13, "reason": None}
    assert first["champion"]["bias"]["value"] == pytest.approx(-0.2)
    assert second["candidate"]["wape"]["n"] == 28, "both origins forecast the second week"


def test_evidence__business__is_reckoned_per_week(evidence: dict) -> None:
    assert judged_weeks(frame(0.0), BusinessPolicy()) == 2.0
    assert judged_weeks(frame(0.0), BusinessPolicy(review_period_days=8)) == pytest.approx(10 / 7)
    assert judged_weeks(frame(0.0), BusinessPolicy(review_period_days=60)) == 0.0
    business = evidence["business"]
    assert business["candidate"]["total_cost"]["per_week"] == 5.0
    assert business["candidate"]["stockout_miss_rate"]["per_week"] is None
    assert set(business["candidate"]) == set(BUSINESS_NAMES)


def test_evidence__stores__largest_first_with_cost_a_week(evidence: dict) -> None:
    assert [row["store"] for row in evidence["stores"]] == ["south", "north"]
    north = evidence["stores"][1]
    assert north["candidate"]["cost_per_week"]["value"] == 4.0 and north["champion"]["cost_per_week"]["value"] == 5.0
    assert north["candidate"]["wape"]["value"] == 0.1
    assert evidence["stores"][0]["candidate"]["wape"] == {"value": None, "n": 0, "reason": "not computed"}


def test_evidence__unknown_costs__say_why() -> None:
    sides = judged(1.0, None), judged(-2.0, None)
    found = holdout_evidence(*sides, static=STATIC, window=WINDOW, policy=BusinessPolicy())
    cost = found["stores"][0]["candidate"]["cost_per_week"]
    assert cost == {"value": None, "n": 0, "reason": "no price"}
    assert found["business"]["candidate"]["total_cost"]["per_week"] is None
    assert found["business"]["confidence"] == "unavailable"


def test_evidence__differences__largest_first_one_value_a_day(evidence: dict) -> None:
    first, second = evidence["differences"]
    assert (first["series"], first["store"], first["product"]) == (2, "south", "bread")
    assert first["difference"] == pytest.approx(14 * 6.0) and second["difference"] == pytest.approx(14 * 3.0)
    assert len(first["dates"]) == 14 and first["dates"] == sorted(set(first["dates"]))
    assert first["actual"][0] is None and first["actual"][1] == 20.0, "a sold-out day has no known demand"
    assert (first["candidate"][0], first["champion"][0]) == (22.0, 16.0)


def test_evidence__calibration__nominal_beside_observed(evidence: dict) -> None:
    assert [row["nominal"] for row in evidence["calibration"]] == [0.8, 0.95]
    assert evidence["calibration"][1]["candidate"] == {"value": None, "n": 0, "reason": "no rows"}
