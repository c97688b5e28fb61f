"""The decision log as Markdown and CSV: the same entries give the same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

from forecasting.services.decision_log import Entry

UNKNOWN = "–"
_NAMES = {"total_cost": "Total cost", "cost_stockout": "of it stockouts", "cost_overstock": "of it overstock"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
HEADS = ("sequence", "at", "decision", "about", "who", "asked_by", "why", "verdict", "failing_gates",
         "total_cost_champion", "total_cost_candidate", "currency", "evidence_hash", "audit_hash")  # fmt: skip


def log_markdown(tenants: Sequence[tuple[str, Sequence[Entry]]]) -> str:
    """The whole log: a table of each tenant's decisions, then each decision with its evidence."""
    lines = [
        "# Production decision log",
        "",
        "Every decision on what serves, from the audit chain: who decided what, when, why, on which gates and costs, "
        "bound to which hashes. Times are UTC. The newest comes last.",
        "",
    ]
    for name, log in tenants:
        lines += [f"## {name}", ""]
        if not log:
            lines += ["Nothing was decided yet.", ""]
            continue
        rows = [(str(one.sequence), _time(one), one.title, one.subject, one.who, one.reason) for one in log]
        lines += [*_table(("#", "When", "What", "About", "Who", "Why"), rows), ""]
        for one in log:
            lines += entry_markdown(one)
    return "\n".join(lines).rstrip() + "\n"


def entry_markdown(one: Entry) -> list[str]:
    """One decision with its evidence, as lines."""
    asked = f", asked by {one.asked_by}" if one.asked_by else ""
    lines = [f"### {one.sequence}. {one.title}: {one.subject}", "", f"{_time(one)}, {one.who}{asked}.", ""]
    if one.reason:
        lines += [f"> {' '.join(one.reason.split())}", ""]
    if one.sentence:
        lines += [one.sentence, ""]
    if one.costs:
        rows = [
            (_NAMES[name], _figure(before), _figure(after), _change(before, after))
            for name, (before, after) in one.costs.items()
        ]
        lines += [*_table((f"Cost on the holdout, {one.currency}", "Champion", "Candidate", "Change"), rows), ""]
    if one.gates:
        passed = sum(gate.get("passed") is True for gate in one.gates)
        lines += [f"Gates: {passed} of {len(one.gates)} passed ({one.verdict.replace('_', ' ')}).", ""]
        heads = ("Gate", "Passed", "Champion", "Candidate", "Threshold", "Why")
        lines += [*_table(heads, [_gate(gate) for gate in one.gates]), ""]
    if one.facts:
        lines += [*_table(("Fact", ""), one.facts), ""]
    return [*lines, *_table(("Hash of", "SHA-256"), [(name, f"`{value}`") for name, value in one.hashes]), ""]


def strategy_markdown(date: str, tenants: Sequence[tuple[str, Sequence[Entry]]]) -> str:
    """The strategy decisions of one day."""
    lines = [
        f"# Model strategy decision, {date}",
        "",
        "One model or a mixture: what was decided on which sweep. It serves only after training, gates and a reviewer.",
        "",
    ]
    for name, log in tenants:
        lines += [f"## {name}", ""]
        for one in log:
            lines += entry_markdown(one)
    return "\n".join(lines).rstrip() + "\n"


def log_csv(log: Iterable[Entry]) -> str:
    """One line a decision; what a spreadsheet would take for a formula is text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADS)
    for one in log:
        hashes = dict(one.hashes)
        before, after = one.costs.get("total_cost", (None, None))
        failing = " ".join(str(gate["name"]) for gate in one.gates if gate.get("passed") is not True)
        bound, audited = hashes.get("Evidence that it was bound to", ""), hashes.get(f"Audit event {one.sequence}", "")
        row = (
            one.sequence, one.at.astimezone(UTC).isoformat(), one.title, one.subject, one.who, one.asked_by, one.reason,
            one.verdict, failing, before, after, one.currency, bound, audited,
        )  # fmt: skip
        writer.writerow(["'" + v if isinstance(v, str) and v.startswith(_FORMULA) else v for v in row])
    return out.getvalue()


def _gate(gate: Mapping[str, Any]) -> tuple[str, ...]:
    passed = "yes" if gate.get("passed") is True else "not known" if gate.get("missing") else "**no**"
    sides = [_figure(gate.get(side)) for side in ("champion", "candidate", "threshold")]
    return (str(gate.get("name")), passed, *sides, str(gate.get("reason", "")))


def _figure(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _change(before: float | None, after: float | None) -> str:
    return UNKNOWN if before is None or after is None or not before else f"{after / before - 1:+.1%}"


def _time(one: Entry) -> str:
    return f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [_row(heads), "|" + " --- |" * len(heads), *(_row(row) for row in rows)]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in cells) + " |"
