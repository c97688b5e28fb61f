"""The decision log: every decision on what serves, with the evidence it rested on. Reads only.

What happened is read from the audit chain, which nobody can rewrite; the evidence from the rows that it names, which
nobody can rewrite either. So the same chain always gives the same log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from forecasting.models import ChampionAssignment, Decision, GateReport, ModelVersion, StrategyDecision

TITLES = {
    "promotion.approved": "Promotion approved",
    "promotion.rejected": "Promotion rejected",
    "promotion.withdrawn": "Request withdrawn",
    "promotion.lapsed": "Request lapsed",
    "refresh": "Refresh served by its guard",
    "rollback": "Rolled back",
    "strategy.decided": "Strategy decided",
    "policy.changed": "Gate policy changed",
}


@dataclass(frozen=True)
class Entry:
    """One decision: what, who, when, why, on which gates and costs, bound to which hashes."""

    sequence: int
    at: datetime
    kind: str
    title: str
    subject: str
    who: str
    asked_by: str
    reason: str
    verdict: str = ""
    sentence: str = ""
    currency: str = ""
    gates: tuple[Mapping[str, Any], ...] = ()
    costs: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()


def decisions() -> QuerySet[Decision]:
    """The current tenant's decisions, the newest first."""
    return Decision.objects.all()


def entries(rows: Iterable[Decision] | None = None) -> Iterator[Entry]:
    """The log's entries of these decisions (default: all, the oldest first)."""
    for row in decisions().order_by("sequence") if rows is None else rows:
        yield entry_of(row)


def kind_of(row: Decision) -> str:
    """The key of its title."""
    return str(row.data.get("kind")) if row.event == "champion.assigned" else row.event


def subject_of(row: Decision) -> str:
    """What was decided on, in a few words."""
    data = row.data
    if row.event.startswith("promotion."):
        champion = data.get("champion")
        return f"v{data['candidate']} in place of {f'v{champion}' if champion else 'no champion'}"
    if row.event == "champion.assigned":
        displaced = data.get("displaced")
        return f"v{data['version']} in place of {f'v{displaced}' if displaced else 'no champion'}"
    if row.event == "strategy.decided":
        return str(data.get("spec_label", ""))
    return f"{len(data.get('changes', {}))} figure(s), from v{data.get('from_version')}"


def report_of(row: Decision) -> GateReport | None:
    """The judgement behind a decision; None where there is none."""
    reports = GateReport.objects.select_related("candidate__spec", "champion__spec", "policy")
    if row.event.startswith("promotion."):
        return reports.filter(pk=row.data.get("gate_report")).first()
    if row.event == "champion.assigned" and row.data.get("kind") == "refresh":
        own = reports.filter(candidate__number=row.data.get("version"), evidence__kind="refresh_guard")
        return own.order_by("-pk").first()
    return None


def entry_of(row: Decision) -> Entry:
    """One decision with its evidence."""
    report = report_of(row)
    kind, data = kind_of(row), row.data
    return Entry(
        sequence=row.sequence,
        at=row.at,
        kind=kind,
        title=TITLES[kind],
        subject=subject_of(row),
        who="the policy" if kind == "promotion.lapsed" else str(data.get("by") or row.actor_name),
        asked_by=str(data.get("requested_by", "")),
        reason=str(data.get("reason", "")),
        verdict=str(report.verdict) if report is not None else "",
        sentence=str(report.evidence.get("sentence", "")) if report is not None else "",
        currency=str(report.evidence.get("currency", "")) if report is not None else "",
        gates=tuple(report.results) if report is not None else (),
        costs=_costs(report),
        facts=tuple(_facts(row)),
        hashes=tuple(_hashes(row, report)),
    )


def _costs(report: GateReport | None) -> dict[str, tuple[float | None, float | None]]:
    """Total cost and its parts, champion and candidate, as judged."""
    if report is None:
        return {}
    named = {result["name"]: result for result in report.results}
    return {
        name: (_number(named[name]["champion"]), _number(named[name]["candidate"]))
        for name in ("total_cost", "cost_stockout", "cost_overstock")
        if name in named
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _facts(row: Decision) -> Iterator[tuple[str, str]]:
    data = row.data
    if row.event == "policy.changed":
        for key, (old, new) in sorted(data.get("changes", {}).items()):
            yield key, f"{old} → {new}"
    elif row.event == "strategy.decided":
        yield "Mode", str(data.get("mode"))
        yield "Point of the sweep", str(data.get("point"))
        yield "Proposed by the cycle", str(data.get("proposed"))
    elif row.event == "champion.assigned":
        assignment = ChampionAssignment.objects.filter(pk=row.subject_id).first()
        for key, value in sorted((assignment.guard if assignment is not None else {}).items()):
            yield key, str(value)
    else:
        yield "Policy", f"v{data.get('policy')}"
        if data.get("code"):
            yield "Code", str(data["code"])
        if data.get("continues"):
            yield "Continues request", str(data["continues"])


def _hashes(row: Decision, report: GateReport | None) -> Iterator[tuple[str, str]]:
    data = row.data
    if data.get("evidence_hash"):
        yield "Evidence that it was bound to", str(data["evidence_hash"])
    if report is not None:
        yield "Gate report", report.sha256
        yield f"Policy v{report.policy.version}", report.policy.sha256
    version = ModelVersion.objects.filter(number=data.get("candidate") or data.get("version")).first()
    if version is not None:
        yield f"Spec of {version.label}", version.spec.sha256
        for role, name, sha256 in version.artifacts.order_by("role", "name").values_list("role", "name", "sha256"):
            yield f"{version.label} {role}/{name}", sha256
    if row.event == "strategy.decided":
        decision = StrategyDecision.objects.select_related("cycle").filter(pk=data.get("decision")).first()
        yield "Spec", str(data.get("spec_sha256"))
        if decision is not None:
            yield "Report of the cycle", decision.cycle.report_sha256
            yield "Data of the cycle", decision.cycle.fingerprint
    yield f"Audit event {row.sequence}", row.hash
