"""Promotion requests: asked with evidence, decided by somebody else, lapsed when the evidence no longer holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction

from forecasting.errors import (
    ArtifactCorrupt,
    CannotActOnOwnRequest,
    NotYourRequest,
    PromotionNotEligible,
    RequestAlreadyPending,
    RequestLapsed,
    RequestNotFound,
    RequestNotPending,
)
from forecasting.models import (
    PROMOTION_TRANSITIONS,
    ChampionAssignment,
    Channel,
    DecisionCode,
    GatePolicy,
    GateReport,
    ModelVersion,
    PromotionRequest,
    RequestState,
    VersionStatus,
)
from forecasting.models.assignment import AssignmentKind
from forecasting.models.promotion import APPROVAL_CODES, REJECTION_CODES
from forecasting.selectors_shadow import cited
from forecasting.services import champions
from forecasting.services.announcing import announce
from forecasting.services.decision_clock import decision_time
from forecasting.services.policy import active_policy, body_of, clean_reason, lock_decisions
from forecasting.services.promotion_evidence import (
    PROMOTABLE,
    evidence_hash,
    newest_report,
    require_code,
    require_eligible,
    stale_reason,
    why_stale,
)
from forecasting.services.readiness import operations_now
from ledger.services.audit import actor_name, record
from tenants.errors import RoleRequired
from tenants.roles import Role, require_role, roles_of
from tenants.services import heartbeat


@transaction.atomic
def request_promotion(
    *, candidate: ModelVersion, actor: AbstractBaseUser | None, reason: str, channel: str = Channel.LIVE
) -> PromotionRequest:
    """Ask that ``candidate`` become champion of ``channel``; a reviewer decides.

    Needs analyst or tenant_admin, or None for the system; then the request is in the name of whoever trained the
    candidate, so that nobody approves what they set going themselves. Raises ``PromotionNotEligible`` (with the failing
    gates), ``RequestAlreadyPending``, ``ReasonMissing``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.ANALYST, Role.TENANT_ADMIN)
    reason = clean_reason(reason, "ask for this promotion")
    lock_decisions()
    lapse_stale()
    candidate = ModelVersion.objects.select_for_update(of=("self",)).select_related("spec").get(pk=candidate.pk)
    pending = PromotionRequest.objects.filter(channel=channel, state=RequestState.PENDING)
    waiting = pending.select_related("candidate").first()
    if waiting is not None:
        raise RequestAlreadyPending(waiting.pk, waiting.candidate.label, channel)
    policy, champion = active_policy(), champions.champion_version(channel)
    report = _eligible_report(candidate, champion, policy)
    bound = evidence_hash(candidate=candidate, champion=champion, policy=policy, report=report)
    _not_rejected_before(candidate, channel, bound)
    if candidate.status == VersionStatus.CANDIDATE:
        candidate.status = VersionStatus.CHALLENGER
        candidate.save(update_fields=["status"])
    request = PromotionRequest.objects.create(
        channel=channel,
        candidate=candidate,
        champion=champion,
        gate_report=report,
        evidence_hash=bound,
        reason=reason,
        shadow=cited(candidate, champion),
        requested_by_id=actor.pk if actor is not None else candidate.created_by_id,
        requested_by_name=actor_name(actor) if actor is not None else candidate.created_by_name,
        expires_at=decision_time() + timedelta(days=body_of(policy).request_valid_days),
    )
    _touch_pending()
    _record("promotion.requested", actor, request, {"reason": reason, "expires_at": request.expires_at})
    return request


def continue_request(request: PromotionRequest, *, champion: ModelVersion, report: GateReport) -> PromotionRequest:
    """Ask again in the same name for what lapsed because the champion was refreshed; its days are not prolonged."""
    again = PromotionRequest.objects.create(
        channel=request.channel,
        candidate=request.candidate,
        champion=champion,
        gate_report=report,
        evidence_hash=evidence_hash(
            candidate=request.candidate, champion=champion, policy=report.policy, report=report
        ),
        reason=request.reason,
        shadow=request.shadow,
        requested_by_id=request.requested_by_id,
        requested_by_name=request.requested_by_name,
        expires_at=request.expires_at,
    )
    _touch_pending()
    _record("promotion.requested", None, again, {"reason": request.reason, "continues": request.pk})
    return again


def _eligible_report(candidate: ModelVersion, champion: ModelVersion | None, policy: GatePolicy) -> GateReport:
    """The candidate's newest judgement, if it is eligible, against today's champion, under today's policy."""
    if candidate.status not in PROMOTABLE:
        raise PromotionNotEligible(candidate.label, f"its status is {candidate.status}.")
    if champion is not None and champion.pk == candidate.pk:
        raise PromotionNotEligible(candidate.label, "it is champion already.")
    report = newest_report(candidate)
    if report is None:
        raise PromotionNotEligible(candidate.label, "it was not judged yet. Judge it on the version's page first.")
    if report.champion_id != (champion.pk if champion is not None else None) or report.policy_id != policy.pk:
        raise PromotionNotEligible(
            candidate.label,
            "the champion or the policy changed since it was judged. Judge again on the version's page.",
        )
    require_eligible(report)
    return report


def _not_rejected_before(candidate: ModelVersion, channel: str, bound: str) -> None:
    rejected = PromotionRequest.objects.filter(
        candidate=candidate, channel=channel, evidence_hash=bound, state=RequestState.REJECTED
    ).first()
    if rejected is not None:
        raise PromotionNotEligible(
            candidate.label,
            f"{rejected.decided_by_name} rejected it on this very evidence ({rejected.decision_reason}). "
            "Bring new evidence: retrain, or judge again on the version's page.",
        )


def approve_promotion(
    *, request_id: int, actor: AbstractBaseUser | None, reason: str, code: str = DecisionCode.OTHER
) -> ChampionAssignment:
    """Make the request's candidate champion: state, role, evidence and gates are checked again under lock, here.

    Needs an active reviewer other than the requester; no superuser, flag or system call is exempt. Raises
    ``RoleRequired``, ``CannotActOnOwnRequest``, ``ReasonMissing``, ``DecisionCodeUnknown``, ``RequestNotFound``,
    ``RequestNotPending``, ``RequestLapsed`` (the lapse itself is kept), ``PromotionNotEligible``; ``ArtifactCorrupt``
    where the bytes in the storage are not what was registered (an incident is opened, the request goes on waiting),
    ``StorageUnavailable``.
    """
    require_code(code, APPROVAL_CODES)
    with transaction.atomic():
        request, _, _ = _to_decide(request_id, actor, reason, "approve")
        candidate, holds = request.candidate, stale_reason(request, decision_time()) is None
    if holds:  # without the lock: reading files takes as long as the storage takes
        _verify_files(candidate)
    with transaction.atomic():
        request, reviewer, said = _to_decide(request_id, actor, reason, "approve")
        stale = stale_reason(request, decision_time())
        if stale is None:
            require_eligible(request.gate_report)
            _require_operations(request)
            _close(request, RequestState.APPROVED, actor=reviewer, reason=said, code=code)
            assignment = champions.assign(
                version=request.candidate,
                kind=_assignment_kind(request),
                channel=request.channel,
                request=request,
                guard=request.gate_report.evidence.get("guard", {}),
                reason=said,
                actor=reviewer,
            )
            _record("promotion.approved", reviewer, request, {"reason": said, "code": code})
            return assignment
        _lapse(request, stale)
    raise RequestLapsed(request.pk, stale)  # outside of the transaction, so that the lapse is kept


def _verify_files(candidate: ModelVersion) -> None:
    from forecasting.services import alarms
    from forecasting.services.artifacts import verify_files  # brings the forecasting libraries with it

    try:
        verify_files(candidate)
    except ArtifactCorrupt as error:
        alarms.artifact_corrupt(error)
        raise


def _require_operations(request: PromotionRequest) -> None:
    """What broke since the judgement keeps a promotion from happening; the request goes on waiting."""
    now, limits = operations_now(), body_of(request.gate_report.policy).gates
    if now.slo_critical is None or now.open_sev1 is None:
        why = "the state of operations is not known."
    elif now.slo_critical > limits.max_slo_critical or now.open_sev1 > limits.max_open_sev1:
        why = f"{now.open_sev1} incident(s) are open and {now.slo_critical} SLO(s) critical. Settle them first."
    else:
        return
    raise PromotionNotEligible(request.candidate.label, why, ["operations"])


def reject_promotion(
    *, request_id: int, actor: AbstractBaseUser | None, reason: str, code: str = DecisionCode.OTHER
) -> PromotionRequest:
    """Say no; the champion stays. Needs and raises what approval does, and a lapsed request cannot be rejected."""
    require_code(code, REJECTION_CODES)
    with transaction.atomic():
        request, reviewer, said = _to_decide(request_id, actor, reason, "reject")
        stale = stale_reason(request, decision_time())
        if stale is None:
            _close(request, RequestState.REJECTED, actor=reviewer, reason=said, code=code)
            _record("promotion.rejected", reviewer, request, {"reason": said, "code": code})
            return request
        _lapse(request, stale)
    raise RequestLapsed(request.pk, stale)


@transaction.atomic
def withdraw_promotion(*, request_id: int, actor: AbstractBaseUser | None, reason: str = "") -> PromotionRequest:
    """Take a pending request back; the requester or a tenant admin may.

    Raises ``NotYourRequest``, ``RequestNotPending``, ``RequestNotFound``.
    """
    lock_decisions()
    request = _locked(request_id)
    person = _present(actor)
    if not _same_person(person, request) and Role.TENANT_ADMIN not in roles_of(person):
        raise NotYourRequest(actor_name(actor), request.pk, request.requested_by_name)
    _require_pending(request)
    said = reason.strip() or "No reason given"
    _close(request, RequestState.WITHDRAWN, actor=person, reason=said)
    _record("promotion.withdrawn", person, request, {"reason": said})
    return request


@transaction.atomic
def lapse_stale(*, now: datetime | None = None) -> list[PromotionRequest]:
    """Lapse every pending request whose evidence no longer holds or whose time is over; return them. Idempotent."""
    lock_decisions()
    lapsed = []
    for pk in PromotionRequest.objects.filter(state=RequestState.PENDING).values_list("pk", flat=True):
        request = _locked(pk)
        why = stale_reason(request, max(now, decision_time()) if now else decision_time())
        if why is not None:
            _lapse(request, why)
            lapsed.append(request)
    return lapsed


def _to_decide(
    request_id: int, actor: AbstractBaseUser | None, reason: str, what: str
) -> tuple[PromotionRequest, User, str]:
    """Lock the pending request and make sure that this person may decide it."""
    lock_decisions()
    reviewer = _present(actor)
    if reviewer is None:
        raise RoleRequired(actor_name(actor), (Role.REVIEWER.value,))
    require_role(reviewer, Role.REVIEWER)
    request = _locked(request_id)
    if _same_person(reviewer, request):
        raise CannotActOnOwnRequest(actor_name(actor), request.pk)
    said = clean_reason(reason, f"{what} this promotion")
    _require_pending(request)
    return request, reviewer, said


def _present(actor: AbstractBaseUser | None) -> User | None:
    """The person as the database knows them now: a reviewer removed since the page was opened is nobody."""
    return User.objects.filter(pk=actor.pk, is_active=True).first() if actor is not None else None


def _same_person(person: User | None, request: PromotionRequest) -> bool:
    if person is None:
        return False
    return person.pk == request.requested_by_id or (
        person.get_username().casefold() == request.requested_by_name.casefold()
    )


def _locked(request_id: int) -> PromotionRequest:
    rows = PromotionRequest.objects.select_for_update(of=("self",))
    related = ("candidate__spec", "champion__spec", "gate_report__policy", "gate_report__candidate")
    request = rows.select_related(*related).filter(pk=request_id).first()
    if request is None:
        raise RequestNotFound(request_id)
    return request


def _require_pending(request: PromotionRequest) -> None:
    if request.state != RequestState.PENDING:
        raise RequestNotPending(request.pk, request.get_state_display().lower(), request.decided_by_name)


def _close(
    request: PromotionRequest, state: str, *, actor: AbstractBaseUser | None, reason: str, code: str = ""
) -> None:
    if state not in PROMOTION_TRANSITIONS[request.state]:
        raise RequestNotPending(request.pk, request.get_state_display().lower(), request.decided_by_name)
    request.state = state
    request.decided_by_id = actor.pk if actor is not None else None
    request.decided_by_name = actor_name(actor)
    request.decided_at = decision_time()
    request.decision_reason, request.decision_code = reason, code
    decided = ["state", "decided_by", "decided_by_name", "decided_at", "decision_reason", "decision_code"]
    request.save(update_fields=decided)
    _touch_pending()


def _lapse(request: PromotionRequest, why: str) -> None:
    _close(request, RequestState.LAPSED, actor=None, reason=why)
    _record("promotion.lapsed", None, request, {"reason": why})


def _assignment_kind(request: PromotionRequest) -> str:
    same = request.champion is not None and request.champion.spec_id == request.candidate.spec_id
    return AssignmentKind.REFRESH if same else AssignmentKind.PROMOTION


def _touch_pending() -> None:
    heartbeat.touch(pending_approvals=PromotionRequest.objects.filter(state=RequestState.PENDING).count())


def _record(event: str, actor: AbstractBaseUser | None, request: PromotionRequest, data: dict[str, Any]) -> None:
    facts = {
        "request": request.pk,
        "channel": request.channel,
        "candidate": request.candidate.number,
        "champion": request.champion.number if request.champion is not None else None,
        "gate_report": request.gate_report_id,
        "policy": request.gate_report.policy.version,
        "evidence_hash": request.evidence_hash,
        "requested_by": request.requested_by_name,
    }
    record(event=event, actor=actor, subject=request, data={**facts, **data})
    announce(event=event, request=request, actor=actor)


__all__ = [
    "PROMOTABLE", "approve_promotion", "evidence_hash", "lapse_stale", "newest_report", "reject_promotion",
    "request_promotion", "why_stale", "withdraw_promotion",
]  # fmt: skip
