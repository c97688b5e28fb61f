"""What a promotion request is bound to, and whether that still holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from forecasting.engine.gates import ELIGIBLE
from forecasting.engine.types import canonical_json, sha256_text
from forecasting.errors import PromotionNotEligible
from forecasting.errors_promotion import DecisionCodeUnknown
from forecasting.models import (
    GatePolicy,
    GateReport,
    ModelArtifact,
    ModelVersion,
    PromotionRequest,
    RequestState,
    VersionStatus,
)
from forecasting.services import champions
from forecasting.services.decision_clock import decision_time
from forecasting.services.demand_changes import judged_days_changed
from forecasting.services.policy import active_policy

PROMOTABLE = (VersionStatus.CANDIDATE, VersionStatus.CHALLENGER)


def evidence_hash(
    *, candidate: ModelVersion, champion: ModelVersion | None, policy: GatePolicy, report: GateReport
) -> str:
    """SHA-256 of all that a decision rests on: both versions (spec, manifest, files), policy, verdict and gates."""
    versions = [candidate] if champion is None else [candidate, champion]
    rows = ModelArtifact.objects.filter(version__in=versions).order_by("role", "name")
    files = list(rows.values_list("version_id", "role", "name", "sha256"))
    facts = {
        "candidate": _version_facts(candidate, files),
        "champion": _version_facts(champion, files) if champion is not None else None,
        "policy": [policy.version, policy.sha256],
        "verdict": report.verdict,
        "results": report.results,
    }
    return sha256_text(canonical_json(facts))


def _version_facts(version: ModelVersion, files: list[tuple[int, str, str, str]]) -> dict[str, Any]:
    return {
        "number": version.number,
        "spec": version.spec.sha256,
        "as_of": version.as_of.isoformat(),
        "manifest": sha256_text(canonical_json(version.manifest)),
        "files": [[role, name, sha256] for owner, role, name, sha256 in files if owner == version.pk],
    }


def require_code(code: str, allowed: Sequence[str]) -> None:
    """Raise ``DecisionCodeUnknown`` where ``code`` is none of the reasons of this decision."""
    if code not in allowed:
        raise DecisionCodeUnknown(code, allowed)


def require_eligible(report: GateReport) -> None:
    """Both the stored verdict and every stored gate must say yes; no gates at all is a no."""
    failing = [result["name"] for result in report.results if result.get("passed") is not True]
    if report.verdict != ELIGIBLE or failing or not report.results:
        raise PromotionNotEligible(
            report.candidate.label, f"the gate's verdict is {report.get_verdict_display().lower()}.", failing
        )


def newest_report(candidate: ModelVersion) -> GateReport | None:
    """The last judgement of the candidate."""
    reports = GateReport.objects.filter(candidate=candidate).select_related("candidate", "policy")
    return reports.order_by("-created_at", "-pk").first()


def why_stale(request: PromotionRequest, *, now: datetime | None = None) -> str | None:
    """Why a pending request would lapse if somebody acted on it now, or None. For pages; changes nothing.

    now: the time of deciding, where the caller has read it already (``decision_clock``).
    """
    return stale_reason(request, now or decision_time()) if request.state == RequestState.PENDING else None


def stale_reason(request: PromotionRequest, now: datetime) -> str | None:
    """Why what was judged is no longer what would be promoted at ``now``; None while it is."""
    report, candidate = request.gate_report, request.candidate
    if now >= request.expires_at:
        return f"it was not decided by {request.expires_at:%Y-%m-%d %H:%M} UTC."
    if candidate.status not in PROMOTABLE:
        return f"{candidate.label} is {candidate.status}."
    champion = champions.champion_version(request.channel)
    policy = report.policy if report.policy.is_active else active_policy()
    if request.champion_id != (champion.pk if champion is not None else None):
        before = request.champion.label if request.champion is not None else "no champion"
        if champion is not None and request.champion is not None and champion.spec_id == request.champion.spec_id:
            return (
                f"the champion was refreshed: {champion.label} serves, the same spec as {before} on newer data. "
                "Where nothing else changed, it was asked again on the same comparison."
            )
        return f"the champion is {champion.label if champion is not None else 'gone'}; it was judged against {before}."
    if report.policy_id != policy.pk:
        return f"the gate policy is v{policy.version}; it was judged under v{report.policy.version}."
    known = getattr(request, "newest_report_id", None) == report.pk  # read with the request, for a page
    newest = report if known else newest_report(candidate)
    if newest is None or (newest.verdict, newest.results) != (report.verdict, report.results):
        return f"{candidate.label} was judged again, with other results."
    if request.evidence_hash != evidence_hash(candidate=candidate, champion=champion, policy=policy, report=report):
        return f"the manifest or the files of {candidate.label} or of the champion changed."
    changed = judged_days_changed(report)
    return f"{changed}, which it was judged on." if changed is not None else None
