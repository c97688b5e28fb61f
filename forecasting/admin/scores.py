"""Stored scores as the tables of a page."""

from __future__ import annotations

from typing import Any

from forecasting.engine.types import MINT
from ledger.templatetags.forecourt import UNKNOWN, pct, words

SCORES = ("wape", "bias", "wrmsse", "coverage80", "winkler80", "fva")
_SCORE_NAMES = {
    "wape": "Error (WAPE)", "bias": "Bias", "wrmsse": "wRMSSE", "coverage80": "Inside the 80% band",
    "winkler80": "Winkler 80", "fva": "Value over naive",
}  # fmt: skip
_SHARES = ("wape", "bias", "coverage80", "fva")


def _scores(report: Any) -> dict[str, Any]:
    """The score set of a stored backtest, whether it stands alone or beside more."""
    if not isinstance(report, dict):
        return {}
    inner = report.get("scores")
    return inner if isinstance(inner, dict) and "overall" in inner else report


def score_of(report: Any, name: str) -> float | None:
    """An overall score of a stored backtest; None where it is not known."""
    score = _scores(report).get("overall", {}).get(name)
    value = score.get("value") if isinstance(score, dict) else None
    return float(value) if isinstance(value, int | float) else None


def score_tables(report: Any) -> list[dict[str, Any]]:
    """Scores overall, of the levels above the series, by week ahead and demand class, by store where there are few."""
    scores = _scores(report)
    groups: list[tuple[str, dict[str, Any]]] = [("Overall", {"All": scores.get("overall", {})})]
    for key, title in (
        ("by_level", "Sums of series, by level"),
        ("by_week", "By week ahead"),
        ("by_class", "By demand class"),
        ("by_store", "By store"),
    ):
        groups.append((title, dict(list(scores.get(key, {}).items())[:25])))
    tables = []
    for title, rows in groups:
        cells = [
            {"name": _row_name(title, name), "cells": [_cell(row, score) for score in SCORES]}
            for name, row in rows.items()
        ]
        if any(row["cells"] for row in cells) and scores:
            tables.append({"title": title, "heads": [_SCORE_NAMES[name] for name in SCORES], "rows": cells})
    return tables


def _row_name(title: str, name: str) -> str:
    if title == "By week ahead":
        return f"Week {name}"
    return name if title == "By store" else words(name)


def _cell(scores: Any, name: str) -> dict[str, Any]:
    score = scores.get(name, {}) if isinstance(scores, dict) else {}
    value = score.get("value")
    if not isinstance(value, int | float):
        return {"text": UNKNOWN, "title": score.get("reason") or "not computed"}
    text = pct(value) if name in _SHARES else f"{value:,.3f}"
    return {"text": text, "title": f"n = {score.get('n', '?')}"}


def family_tables(report: Any) -> list[dict[str, Any]]:
    """The families' scores with the rows behind each: one that declined series was scored on the others only."""
    by_family = report.get("by_family", {}) if isinstance(report, dict) else {}
    if not by_family:
        return []
    counts = {name: int(scores.get("wape", {}).get("n") or 0) for name, scores in by_family.items()}
    rows = [
        {
            "name": words(name),
            "cells": [{"text": f"{counts[name]:,}", "title": "forecasts scored"}]
            + [_cell(scores, score) for score in SCORES],
        }
        for name, scores in by_family.items()
    ]
    heads = ["Forecasts", *(_SCORE_NAMES[name] for name in SCORES)]
    return [{"heads": heads, "rows": rows, "uneven": len(set(counts.values())) > 1}]


def totals_made(spec: Any, report: Any) -> str:
    """How the levels above the series are made, and why so, in words. spec: a spec's body; report: a stored backtest,
    of which only a search compares the two ways."""
    if spec.get("reconciliation") == MINT:
        how = "Series and totals are moved by MinT until they agree with models of the totals"
    else:
        how = "Plain sums of the series’ forecasts"
    compared = report.get("reconciliation") if isinstance(report, dict) else None
    return f"{how}: {compared['reason']}." if compared else f"{how}."
