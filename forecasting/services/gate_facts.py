"""Facts that a judgement rests on besides the scores, and how it is stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from forecasting.engine.evidence import Judged
from forecasting.engine.types import TrainingWindow, canonical_json, sha256_text
from forecasting.models import AccuracyRecord, GatePolicy, GateReport, HoldoutAccess, ModelVersion


def store_report(
    *,
    run_id: UUID,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    policy: GatePolicy,
    verdict: str,
    results: list[dict[str, Any]],
    evidence: dict[str, Any],
) -> GateReport:
    """Write an immutable report with the hash of its content."""
    return GateReport.objects.create(
        candidate=candidate,
        champion=champion,
        policy=policy,
        run_id=run_id,
        verdict=verdict,
        results=results,
        evidence=evidence,
        sha256=sha256_text(canonical_json([verdict, results, evidence])),
    )


def manifest_valid(version: ModelVersion) -> bool:
    """Whether both fits' manifests agree with the registry: spec, partition, fingerprint and every file's hash."""
    windows = {"evaluation": version.evaluation_window, "serving": version.serving_window}
    rows = list(version.artifacts.values_list("role", "name", "sha256"))
    for role, window in windows.items():
        body = version.manifest.get(role) or {}
        files = {name: sha256 for of_role, name, sha256 in rows if of_role == role}
        whole = (
            body.get("spec_sha256") == version.spec.sha256
            and body.get("partition") == window
            and bool(body.get("data_fingerprint"))
            and body.get("data_fingerprint") == window.get("fingerprint")
            and bool(files)
            and body.get("files") == files
        )
        if not whole:
            return False
    return True


def is_sealed(candidate: ModelVersion, window: TrainingWindow) -> bool:
    """Whether the fit that was judged ends before the holdout that was opened."""
    if window.holdout_start is None or window.train_end >= window.holdout_start:
        return False
    return bool(window.to_json() == candidate.evaluation_window)


def judged_on_same_days(candidate: ModelVersion) -> list[dict[str, Any]]:
    """The candidates whose holdout was opened on (about) this candidate's days, one a spec, in order; it is among them.

    About the same: each holds at least half of the days of the other. A refit of a spec is not another candidate, so it
    counts with the first of that spec.
    """
    window = TrainingWindow.from_json(candidate.evaluation_window)
    if window.holdout_start is None or window.holdout_end is None:
        return []
    start, end = window.holdout_start, window.holdout_end
    rows = HoldoutAccess.objects.filter(holdout_start__lte=end, holdout_end__gte=start)
    rows = rows.select_related("candidate").order_by("opened_at", "pk")
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        shared = (min(end, row.holdout_end) - max(start, row.holdout_start)).days + 1
        longest = max((end - start).days, (row.holdout_end - row.holdout_start).days) + 1
        if 2 * shared < longest and row.candidate_id != candidate.pk:
            continue
        facts = {"label": row.candidate.label, "at": row.opened_at.isoformat(), "by": row.opened_by_name}
        found.setdefault(row.candidate.spec_id, facts)
    return list(found.values())


def holdout_facts(
    *,
    candidate: Judged,
    window: TrainingWindow,
    openings: list[HoldoutAccess],
    budget: int,
    others: list[dict[str, Any]],
    fingerprint: str,
) -> dict[str, Any]:
    """The holdout as it was judged: who opened it how often, and which candidates were judged on these days.

    fingerprint: of the content through its last day.
    """
    assessment = candidate.assessment
    return {
        "start": window.holdout_start.isoformat() if window.holdout_start else None,
        "end": window.holdout_end.isoformat() if window.holdout_end else None,
        "days": assessment.holdout_days,
        "origins": [day.isoformat() for day in assessment.origins],
        "horizon": int(candidate.frame["h"].max()),
        "series": assessment.scores.series,
        "rows": assessment.scores.rows,
        "fingerprint": fingerprint,
        "candidates": others,
        "accesses": len(openings),
        "budget": budget,
        "openings": [
            {"by": one.opened_by_name, "at": one.opened_at.isoformat(), "reason": one.reason} for one in openings
        ],
    }


def realised_rows(champion: ModelVersion | None, limit: int = 8) -> list[dict[str, Any]]:
    """The champion's realised accuracy in service, newest first: of what it published, not of its shadow."""
    if champion is None:
        return []
    served = AccuracyRecord.objects.filter(version=champion, forecast_set__published_at__isnull=False)
    rows = served.select_related("forecast_set")[:limit]
    return [
        {
            "origin": row.forecast_set.origin_date.isoformat(),
            "until": row.actuals_until.isoformat(),
            "days": row.days,
            "rows": row.rows,
            "wape": row.wape,
            "wape_naive": row.wape_naive,
            "bias": row.bias,
            "coverage80": row.coverage80,
        }
        for row in rows
    ]
