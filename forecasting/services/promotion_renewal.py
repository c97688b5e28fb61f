"""What becomes of a request while the champion is refreshed: it lapses, and is asked again on the same comparison.

A request is bound to the champion that it was judged against, so a refresh ends it. But what was compared are specs,
both trained at the same origins on the same windows: held against the refreshed fit of the very same spec, the
comparison would come out the same to the last bit, and opening the holdout once more would tell nothing. So it is
carried over: a new report with the same results, a new request in the same person's name, with the days that were
left.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from forecasting.models import GateReport, ModelVersion, PromotionRequest
from forecasting.services.decision_clock import decision_time
from forecasting.services.demand_changes import judged_days_changed
from forecasting.services.gate_facts import manifest_valid, store_report
from forecasting.services.promotion_evidence import PROMOTABLE, evidence_hash, newest_report, require_eligible
from ledger.services.audit import record

KIND = "gate"


def renew_after_refresh(
    lapsed: Sequence[PromotionRequest], *, before: ModelVersion, champion: ModelVersion
) -> PromotionRequest | None:
    """Ask again for what lapsed by nothing but a refresh of the champion; None where something else changed, too.

    Call it in the transaction, and under the lock, of the assignment.
    """
    if before.spec_id != champion.spec_id:
        return None
    for request in lapsed:
        report = request.gate_report
        unchanged = (
            request.champion_id == before.pk
            and report.evidence.get("kind") == KIND
            and newest_report(request.candidate) == report
            and request.evidence_hash
            == evidence_hash(candidate=request.candidate, champion=before, policy=report.policy, report=report)
            and report.policy.is_active
            and request.candidate.status in PROMOTABLE
            and manifest_valid(champion)
            and decision_time() < request.expires_at
            and judged_days_changed(report) is None
        )
        if unchanged:
            return _ask_again(request, champion)
    return None


def _ask_again(request: PromotionRequest, champion: ModelVersion) -> PromotionRequest:
    from forecasting.services.promotion import continue_request

    report = _carried_over(request.gate_report, champion)
    require_eligible(report)
    return continue_request(request, champion=champion, report=report)


def _carried_over(report: GateReport, champion: ModelVersion) -> GateReport:
    """The same judgement against the refreshed fit; it says where it comes from, and opens nothing."""
    evidence = {
        **report.evidence,
        "labels": {**report.evidence["labels"], "champion": champion.label},
        "carried_over": {
            "report": report.pk,
            "judged_against": report.champion.label if report.champion is not None else None,
            "judged_at": report.created_at.isoformat(),
            "run": str(report.run_id),
        },
    }
    made = store_report(
        run_id=uuid.uuid5(report.run_id, f"carried over to {champion.label}"),
        candidate=report.candidate,
        champion=champion,
        policy=report.policy,
        results=report.results,
        verdict=report.verdict,
        evidence=evidence,
    )
    record(
        event="gate.carried_over",
        subject=made,
        data={"from_report": report.pk, "champion": champion.label, "verdict": report.verdict},
    )
    return made
