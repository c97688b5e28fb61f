"""The limits of a version, each from a fact that is stored of it; a fact that was not recorded is itself a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forecasting.models import GateReport, ModelVersion

COVERAGE_TOLERANCE = 0.05
LEAST_ROWS = 100
"""Scores on fewer rows are shown, and called thin."""


def limits_of(
    version: ModelVersion, *, lineage: Mapping[str, Any], scores: Mapping[str, Any], report: GateReport | None
) -> list[str]:
    """Sentences that somebody who uses the forecasts should have read, the gravest kind first."""
    return [
        *_of_judgement(version, report),
        *_of_accuracy(version, scores),
        *_of_coverage(scores),
        *_of_declines(version),
        *_of_data(lineage),
    ]


def _of_judgement(version: ModelVersion, report: GateReport | None) -> Iterator[str]:
    if report is None:
        yield f"{version.label} was not put before the gates; only its backtest speaks for it."
        return
    failing = [row["name"].replace("_", " ") for row in report.results if not row.get("passed")]
    if failing:
        yield f"In its newest judgement it did not pass: {', '.join(failing)}."


def _of_accuracy(version: ModelVersion, scores: Mapping[str, Any]) -> Iterator[str]:
    basis, found = _best(scores)
    if found is None:
        yield "No score of it is stored."
        return
    fva = _value(found["overall"], "fva")
    if fva is not None and fva <= 0:
        yield f"On the {basis} it does not beat the last season repeated (value over naive {fva * 100:+.1f}%)."
    classes = {name: _value(row, "wape") for name, row in (found.get("by_class") or {}).items()}
    known = {name: value for name, value in classes.items() if value is not None}
    overall = _value(found["overall"], "wape")
    for name, value in sorted(known.items(), key=lambda item: -item[1]):
        if overall is not None and value > 1.5 * overall:
            yield f"Its error on {name} demand is {value:.1%} on the {basis}, against {overall:.1%} overall."
    weeks = [_value(row, "wape") for row in (found.get("by_week") or {}).values()]
    if len(weeks) > 1 and weeks[0] and weeks[-1] and weeks[-1] > 1.1 * weeks[0]:
        yield f"Its error grows with the horizon: {weeks[0]:.1%} in the first week ahead, {weeks[-1]:.1%} in the last."
    bias = _value(found["overall"], "bias")
    if bias is not None and abs(bias) >= 0.05:
        side = "high" if bias > 0 else "low"
        yield f"It leans {side}: the sum of its forecasts is {abs(bias):.1%} off on the {basis}."
    if scores.get("realised") is None:
        yield "None of its forecasts has met its actuals yet; its accuracy in service is not known."


def _of_coverage(scores: Mapping[str, Any]) -> Iterator[str]:
    basis, found = _best(scores)
    if found is None:
        return
    rows = {"all": found["overall"], **(found.get("by_class") or {})}
    for name, row in rows.items():
        score = row.get("coverage80") or {}
        value, n = score.get("value"), int(score.get("n") or 0)
        if not isinstance(value, int | float) or abs(value - 0.8) <= COVERAGE_TOLERANCE:
            continue
        whom = "all series together" if name == "all" else f"{name} demand"
        how = "too wide" if value > 0.8 else "too narrow"
        thin = f" (on {n} forecasts only)" if n < LEAST_ROWS else ""
        yield f"Its 80% band is {how} for {whom}: it held {value:.1%} of the actuals on the {basis}{thin}."


def _of_declines(version: ModelVersion) -> Iterator[str]:
    for note in version.notes:
        series = int(note.get("series") or 0)
        used = note.get("family") in (version.spec.body.get("families") or [])
        doing = "others stand in" if used else "it was compared on the others only"
        family = str(note.get("family", "")).replace("_", " ")
        yield f"{family} declined {series:,} series ({note.get('reason', 'no reason kept')}); {doing}."


def _of_data(lineage: Mapping[str, Any]) -> Iterator[str]:
    data = lineage.get("data")
    if not data:
        yield "What its training data held (batches, contracts, share of short series) was not recorded with it."
        return
    series = data["series"]
    if data["short_history"]:
        yield f"{data['short_history']:,} of {series:,} series had less than 28 days of history: they are cold starts."
    if data["under_a_year"] == series:
        yield "No series has a full year of history: yearly patterns could not be learned."
    elif data["under_a_year"]:
        yield f"{data['under_a_year']:,} of {series:,} series have less than a year of history."
    if not data["holidays"]:
        why = f"no calendar is known of {data['country']}" if data["country"] else "the contract names no country"
        yield f"It knows no public holidays: {why}."
    if not data["regressors"]["known_future"]:
        yield "No plan (promotions, prices) was declared as known ahead: it reacts to one only when it shows in sales."
    if data["stocked_out"]:
        yield f"{data['stocked_out'] / data['rows']:.1%} of its days were sold out: true demand on them is not known."
    if data["costed"] < data["rows"]:
        share = data["costed"] / data["rows"]
        yield f"A cost is known on {share:.0%} of its days; where it is not, money figures are estimates."


def _best(scores: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    for basis in ("holdout", "backtest"):
        found = scores.get(basis)
        if found is not None:
            return basis, found
    return "", None


def _value(scores: Mapping[str, Any], name: str) -> float | None:
    value = (scores.get(name) or {}).get("value")
    return float(value) if isinstance(value, int | float) else None
