"""Facts that a judgement rests on besides the scores, and how it is stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from forecasting.engine.evidence import Judged
from forecasting.engine.gates import GateReport as Judgement
from forecasting.engine.types import TrainingWindow, canonical_json, sha256_text
from forecasting.models import AccuracyRecord, GatePolicy, GateReport, HoldoutAccess, ModelVersion


def store_report(
    *,
    run_id: UUID,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    policy: GatePolicy,
    judgement: Judgement,
    evidence: dict[str, Any],
) -> GateReport:
    """Write an immutable report with the hash of its content."""
    results = [result.to_json() for result in judgement.results]
    return GateReport.objects.create(
        candidate=candidate,
        champion=champion,
        policy=policy,
        run_id=run_id,
        verdict=judgement.verdict,
        results=results,
        evidence=evidence,
        sha256=sha256_text(canonical_json([judgement.verdict, results, evidence])),
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


def holdout_facts(
    *, candidate: Judged, window: TrainingWindow, openings: list[HoldoutAccess], budget: int
) -> dict[str, Any]:
    """The holdout as it was judged, and who opened it how often."""
    assessment = candidate.assessment
    return {
        "start": window.holdout_start.isoformat() if window.holdout_start else None,
        "end": window.holdout_end.isoformat() if window.holdout_end else None,
        "days": assessment.holdout_days,
        "origins": [day.isoformat() for day in assessment.origins],
        "horizon": int(candidate.frame["h"].max()),
        "series": assessment.scores.series,
        "rows": assessment.scores.rows,
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
