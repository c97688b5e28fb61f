"""The judgement in one plain sentence, for a reviewer who is no data scientist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "CHF": "CHF ", "PLN": "PLN "}
SAME_COST = 0.001
"""Relative changes of cost below this are called none."""
SAME_RATE = 0.005
"""Changes of a rate below this (half a percentage point) are called the same."""
STRONG_P, FAIR_P = 0.95, 0.80


def summarise(evidence: Mapping[str, Any], verdict: str, failing: Sequence[str] = ()) -> str:
    """One or two sentences: cost, stockout risk, how sure, and whether it may be promoted.

    evidence: as stored with a gate report (``labels``, ``champion_kind``, ``currency``, ``business``, ``bootstrap``,
    ``scores``). What is not known is said to be unknown; nothing is rounded into an advantage.
    """
    labels = evidence["labels"]
    text = _cost(evidence, labels["candidate"])
    if evidence["champion_kind"] == "seasonal_naive":
        text += " (compared with seasonal naive: there is no champion yet)"
    return f"{text}.{_verdict(verdict, failing)}"


def _cost(evidence: Mapping[str, Any], who: str) -> str:
    ours = evidence["business"]["candidate"]["total_cost"]
    theirs = evidence["business"]["champion"]["total_cost"]
    risk = _risk(evidence)
    if ours["value"] is None or theirs["value"] is None:
        why = (ours["reason"] if ours["value"] is None else theirs["reason"]) or "not computed"
        return f"What {who} would do to stock cost is unknown ({why}); {_accuracy(evidence)}, {risk}"
    if not theirs["value"] > 0:
        return f"Stock cost of the champion is zero, so {who} cannot be set against it; {_accuracy(evidence)}, {risk}"
    change = ours["value"] / theirs["value"] - 1.0
    sure = _evidence(evidence["bootstrap"], worse=change > 0)
    guess = " by the tenant's default margins" if "estimated" in (ours["confidence"], theirs["confidence"]) else ""
    if abs(change) < SAME_COST:
        return f"{who} would leave expected stock cost as it is{guess}, {risk}; evidence: {sure}"
    week = money(abs(ours["per_week"] - theirs["per_week"]), evidence["currency"])
    verb = "cut" if change < 0 else "raise"
    return (
        f"{who} would {verb} expected stock cost by {abs(change):.1%} ({week} a week){guess} {risk}; evidence: {sure}"
    )


def _risk(evidence: Mapping[str, Any]) -> str:
    ours = evidence["business"]["candidate"]["stockout_miss_rate"]["value"]
    theirs = evidence["business"]["champion"]["stockout_miss_rate"]["value"]
    if ours is None or theirs is None:
        return "at a stockout risk that is unknown"
    moved = ours - theirs
    if abs(moved) < SAME_RATE:
        return "at the same stockout risk"
    side = "lower" if moved < 0 else "higher"
    return f"at a {side} stockout risk ({theirs:.1%} → {ours:.1%} of orders)"


def _accuracy(evidence: Mapping[str, Any]) -> str:
    ours = evidence["scores"]["candidate"]["overall"].get("wape", {}).get("value")
    theirs = evidence["scores"]["champion"]["overall"].get("wape", {}).get("value")
    if ours is None or theirs is None:
        return "its error (WAPE) is unknown too"
    return f"its error (WAPE) is {ours:.3f} against {theirs:.3f}"


def _evidence(bootstrap: Mapping[str, Any], *, worse: bool) -> str:
    """How sure the direction is; for a rise, how sure the rise is."""
    lower = bootstrap["p_lower"]
    if lower is None:
        return f"none ({bootstrap['reason'] or 'the bootstrap was not made'})"
    sure = 1.0 - lower if worse else lower
    if sure >= STRONG_P:
        return "strong"
    return "fair" if sure >= FAIR_P else "weak"


def _verdict(verdict: str, failing: Sequence[str]) -> str:
    if verdict == "eligible":
        return ""
    gates = ", ".join(failing) or "no gate was judged"
    if verdict == "insufficient_evidence":
        return f" It cannot be promoted: there is too little evidence to tell (failing: {gates})."
    return f" It cannot be promoted: {len(failing)} gate{'s' if len(failing) != 1 else ''} failed ({gates})."


def money(amount: float, currency: str) -> str:
    """An amount for people: ``€1,240``, ``CHF 1,240``; with cents below ten."""
    symbol = SYMBOLS.get(currency, f"{currency} ")
    return f"{symbol}{amount:,.0f}" if amount >= 10 else f"{symbol}{amount:,.2f}"
