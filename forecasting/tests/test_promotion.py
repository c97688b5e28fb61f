"""Promotion: asked with evidence, decided by somebody else, lapsed when the evidence no longer holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.errors import (
    CannotActOnOwnRequest,
    NotYourRequest,
    PromotionNotEligible,
    ReasonMissing,
    RequestAlreadyPending,
    RequestLapsed,
    RequestNotFound,
    RequestNotPending,
)
from forecasting.models import PROMOTION_TRANSITIONS, ChampionAssignment, PromotionRequest, RequestState, VersionStatus
from forecasting.services import champions
from forecasting.services.policy import change_policy
from forecasting.services.promotion import (
    approve_promotion,
    lapse_stale,
    reject_promotion,
    request_promotion,
    withdraw_promotion,
)
from forecasting.tests.factories import (
    AS_OF,
    make_blocked_report,
    make_candidate,
    make_eligible_report,
    make_pending_request,
    make_person,
    make_report,
    promote,
)
from forecasting.tests.promotion_state import pending_on_the_heartbeat, state_of
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role


def test_promotion__first_candidate__becomes_champion_and_publishes(alpha: Tenant) -> None:
    candidate = make_candidate()
    request = make_pending_request(candidate)
    candidate.refresh_from_db()
    assert candidate.status == VersionStatus.CHALLENGER and pending_on_the_heartbeat() == 1
    reviewer = make_person("decider", Role.REVIEWER)
    assignment = approve_promotion(request_id=request.pk, actor=reviewer, reason="  Strong evidence ")
    assert ChampionAssignment.objects.get(to_at=None) == assignment and assignment.version == candidate
    assert (assignment.kind, assignment.assigned_by_name) == ("promotion", "decider")
    assert candidate.forecast_sets.get().published_at is not None
    request.refresh_from_db()
    assert (request.state, request.decided_by, request.decision_reason) == ("approved", reviewer, "Strong evidence")
    assert pending_on_the_heartbeat() == 0
    events = list(AuditEvent.objects.order_by("sequence").values_list("event", flat=True))
    assert events[-4:] == ["promotion.requested", "forecast.published", "champion.assigned", "promotion.approved"]


def test_request__not_judged_or_blocked__is_refused_with_the_failing_gates(alpha: Tenant) -> None:
    candidate, asker = make_candidate(), make_person("asker", Role.ANALYST)
    with pytest.raises(PromotionNotEligible, match="not judged yet"):
        request_promotion(candidate=candidate, actor=asker, reason="Please")
    make_blocked_report(candidate)
    with pytest.raises(PromotionNotEligible) as refused:
        request_promotion(candidate=candidate, actor=asker, reason="Please")
    assert {"wape", "total_cost", "evidence"} <= set(refused.value.failing)
    assert not PromotionRequest.objects.exists()


def test_request__judged_against_another_champion__is_refused(alpha: Tenant) -> None:
    late = make_candidate(family="prophet")
    make_eligible_report(late)
    promote()
    with pytest.raises(PromotionNotEligible, match="changed since it was judged"):
        request_promotion(candidate=late, actor=make_person("asker", Role.ANALYST), reason="Please")


def test_request__second_one__waits_for_the_first(alpha: Tenant) -> None:
    first = make_pending_request()
    with pytest.raises(RequestAlreadyPending) as refused:
        make_pending_request(make_candidate(family="prophet"))
    assert refused.value.request_id == first.pk


@pytest.mark.parametrize("roles", [(), (Role.VIEWER,), (Role.REVIEWER,)])
def test_request__without_the_role__is_refused(alpha: Tenant, roles: tuple[Role, ...]) -> None:
    report = make_eligible_report()
    with pytest.raises(RoleRequired):
        request_promotion(candidate=report.candidate, actor=make_person("x", *roles), reason="Please")


@pytest.mark.parametrize("reason", ["", "   ", "\n\t", "...", "\u200b"])
def test_request_and_decisions__reason_says_nothing__are_refused(alpha: Tenant, reason: str) -> None:
    report = make_eligible_report()
    with pytest.raises(ReasonMissing):
        request_promotion(candidate=report.candidate, actor=make_person("asker", Role.ANALYST), reason=reason)
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    for decide in (approve_promotion, reject_promotion):
        with pytest.raises(ReasonMissing):
            decide(request_id=request.pk, actor=decider, reason=reason)
    assert state_of(request) == RequestState.PENDING


@pytest.mark.parametrize("decide", [approve_promotion, reject_promotion])
def test_decision__by_the_requester__is_refused_even_to_a_superuser(alpha: Tenant, decide) -> None:
    asker = make_person("asker", Role.ANALYST, Role.REVIEWER, Role.TENANT_ADMIN)
    asker.is_superuser = True
    asker.save()
    request = make_pending_request(requester=asker)
    with pytest.raises(CannotActOnOwnRequest):
        decide(request_id=request.pk, actor=asker, reason="I am sure")
    asker.username = "renamed"
    asker.save()
    with pytest.raises(CannotActOnOwnRequest):
        decide(request_id=request.pk, actor=asker, reason="I have another name now")
    asker.delete()
    with pytest.raises(CannotActOnOwnRequest):
        decide(request_id=request.pk, actor=make_person("Asker", Role.REVIEWER), reason="I am the same, made anew")
    assert state_of(request) == RequestState.PENDING and not ChampionAssignment.objects.exists()


def test_decision__four_eyes__hold_in_the_database_too(alpha: Tenant) -> None:
    request = make_pending_request()
    with pytest.raises(IntegrityError), transaction.atomic():
        PromotionRequest.objects.filter(pk=request.pk).update(
            state=RequestState.APPROVED, decided_by_name=request.requested_by_name, decision_reason="Sure"
        )


@pytest.mark.parametrize("kind", ["promotion", "refresh", "rollback"])
def test_assignment__nothing_stands_behind_it__is_refused_by_the_database(alpha: Tenant, kind: str) -> None:
    request = make_pending_request()
    for behind in (None, request):
        with pytest.raises(IntegrityError, match="may not become champion"), transaction.atomic():
            ChampionAssignment.objects.create(
                version=request.candidate, kind=kind, request=behind, effective_on=AS_OF, from_at=timezone.now()
            )
    with pytest.raises(IntegrityError, match="may not become champion"), transaction.atomic():
        champions.assign(version=request.candidate, kind="promotion")
    assert not ChampionAssignment.objects.exists()


def test_request__people_changed_or_decided_from_the_start__is_refused_by_the_database(alpha: Tenant) -> None:
    request, other = make_pending_request(), make_person("other", Role.REVIEWER)
    rows = PromotionRequest.objects.filter(pk=request.pk)
    decided = {"state": RequestState.APPROVED, "decision_reason": "Sure"}
    for change in (
        {"requested_by": other},
        {**decided, "decided_by": request.requested_by, "decided_by_name": "somebody"},
        {**decided, "decided_by_name": request.requested_by_name.upper()},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**change)
    withdraw_promotion(request_id=request.pk, actor=request.requested_by)
    with pytest.raises(IntegrityError), transaction.atomic():
        PromotionRequest.objects.create(
            candidate=request.candidate, gate_report=request.gate_report, evidence_hash=request.evidence_hash,
            reason="Mine", requested_by_name="asker", expires_at=request.expires_at, decided_by_name="other", **decided,
        )  # fmt: skip
    asker = request.requested_by
    assert asker is not None
    asker.delete()
    assert PromotionRequest.objects.get(pk=request.pk).requested_by_name == "asker"


def test_policy__rewritten_or_deleted__is_refused_by_the_database(alpha: Tenant) -> None:
    policy = make_pending_request().gate_report.policy
    looser = {**policy.body, "gates": {**policy.body["gates"], "max_open_sev1": 9}}
    for change in (lambda rows: rows.update(body=looser), lambda rows: rows._raw_delete("default")):
        with pytest.raises(IntegrityError), transaction.atomic():
            change(type(policy).objects.filter(pk=policy.pk))


def test_request__by_the_system__is_in_the_name_of_who_trained_it(alpha: Tenant) -> None:
    both = make_person("both", Role.ANALYST, Role.REVIEWER)
    candidate = make_candidate(created_by=both)
    make_eligible_report(candidate)
    request = request_promotion(candidate=candidate, actor=None, reason="End of the chain")
    assert request.requested_by == both
    with pytest.raises(CannotActOnOwnRequest):
        approve_promotion(request_id=request.pk, actor=both, reason="It is mine")


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.ANALYST, Role.TENANT_ADMIN])
def test_approval__without_the_reviewer_role__is_refused(alpha: Tenant, role: Role | None) -> None:
    request = make_pending_request()
    person = make_person("somebody", *([role] if role else []))
    person.is_superuser = True
    person.save()
    with pytest.raises(RoleRequired):
        approve_promotion(request_id=request.pk, actor=person, reason="Sure")
    with pytest.raises(RoleRequired):
        approve_promotion(request_id=request.pk, actor=None, reason="The system itself")


def test_approval__reviewer_removed_since_the_page_was_opened__is_refused(alpha: Tenant) -> None:
    request, stale = make_pending_request(), make_person("decider", Role.REVIEWER)
    type(stale).objects.filter(pk=stale.pk).update(is_active=False)
    assert stale.is_active, "the object at the door is as old as the page"
    with pytest.raises(RoleRequired):
        approve_promotion(request_id=request.pk, actor=stale, reason="Sure")
    type(stale).objects.filter(pk=stale.pk).update(is_active=True)
    stale.groups.clear()
    with pytest.raises(RoleRequired):
        approve_promotion(request_id=request.pk, actor=stale, reason="Sure")
    stale.delete()
    with pytest.raises(RoleRequired):
        approve_promotion(request_id=request.pk, actor=stale, reason="Sure")
    assert state_of(request) == RequestState.PENDING


def test_reject__keeps_the_champion_and_the_same_evidence_is_not_asked_with_again(alpha: Tenant) -> None:
    champion = promote()
    challenger = make_candidate(family="prophet")
    request, decider = make_pending_request(challenger), make_person("decider", Role.REVIEWER)
    reject_promotion(request_id=request.pk, actor=decider, reason="Not before the holidays")
    assert ChampionAssignment.objects.get(to_at=None) == champion
    asker = make_person("asker", Role.ANALYST)
    with pytest.raises(PromotionNotEligible, match="Not before the holidays"):
        request_promotion(candidate=challenger, actor=asker, reason="Again")
    make_eligible_report(challenger, factor=0.9)
    assert request_promotion(candidate=challenger, actor=asker, reason="New evidence").state == RequestState.PENDING


def test_withdraw__by_requester_or_admin_only(alpha: Tenant) -> None:
    request = make_pending_request()
    with pytest.raises(NotYourRequest):
        withdraw_promotion(request_id=request.pk, actor=make_person("other", Role.ANALYST, Role.REVIEWER))
    with pytest.raises(NotYourRequest):
        withdraw_promotion(request_id=request.pk, actor=None)
    withdraw_promotion(request_id=request.pk, actor=request.requested_by, reason="A better one is coming")
    assert state_of(request) == RequestState.WITHDRAWN and pending_on_the_heartbeat() == 0
    again = make_pending_request()
    withdraw_promotion(request_id=again.pk, actor=make_person("admin", Role.TENANT_ADMIN))
    assert AuditEvent.objects.filter(event="promotion.withdrawn").count() == 2


def test_decision__twice_or_unknown__is_refused(alpha: Tenant) -> None:
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    approve_promotion(request_id=request.pk, actor=decider, reason="Sure")
    for decide in (approve_promotion, reject_promotion):
        with pytest.raises(RequestNotPending):
            decide(request_id=request.pk, actor=decider, reason="Again")
        with pytest.raises(RequestNotFound):
            decide(request_id=request.pk + 1000, actor=decider, reason="Which")
    with pytest.raises(RequestNotPending):
        withdraw_promotion(request_id=request.pk, actor=request.requested_by)


def test_approval__rolled_back__leaves_neither_decision_nor_audit_event(alpha: Tenant) -> None:
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    before = AuditEvent.objects.count()
    with transaction.atomic():
        approve_promotion(request_id=request.pk, actor=decider, reason="Sure")
        assert AuditEvent.objects.filter(event="promotion.approved").exists()
        transaction.set_rollback(True)
    assert state_of(request) == RequestState.PENDING and not ChampionAssignment.objects.exists()
    assert AuditEvent.objects.count() == before and pending_on_the_heartbeat() == 1


def test_approval__audit_refuses__nothing_is_decided(alpha: Tenant) -> None:
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE ledger_auditevent ADD CONSTRAINT no_approval CHECK (event <> 'promotion.approved') NOT VALID"
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        approve_promotion(request_id=request.pk, actor=decider, reason="Sure")
    assert state_of(request) == RequestState.PENDING and not ChampionAssignment.objects.exists()


ACTS = ("request", "approve", "reject", "withdraw", "lapse", "policy", "rejudge")


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.sampled_from(ACTS), min_size=3, max_size=8))
def test_lifecycle__any_order_of_acts__keeps_its_promises(alpha: Tenant, acts: list[str]) -> None:
    """One pending request and one champion at most; a decided request stays so; four eyes and one event a decision."""
    with transaction.atomic():
        closed: dict[int, str] = {}
        for number, act in enumerate(acts):
            _perform(act, number)
            assert PromotionRequest.objects.filter(state=RequestState.PENDING).count() <= 1
            assert ChampionAssignment.objects.filter(to_at=None).count() <= 1
            for request in PromotionRequest.objects.all():
                assert closed.get(request.pk, request.state) == request.state
                if not PROMOTION_TRANSITIONS[request.state]:
                    closed[request.pk] = request.state
                    event = f"promotion.{request.state}"
                    assert AuditEvent.objects.filter(event=event, subject_id=str(request.pk)).count() == 1
                assert request.decided_by_name != request.requested_by_name
            assert pending_on_the_heartbeat() == PromotionRequest.objects.filter(state="pending").count()
        transaction.set_rollback(True)


def _perform(act: str, number: int) -> None:
    pending = PromotionRequest.objects.filter(state=RequestState.PENDING).first()
    decider = make_person("decider", Role.REVIEWER)
    if act == "request" and pending is None:
        make_pending_request(make_candidate(seed=number, forecasts=False))
    elif act == "policy":
        change_policy(
            body={"request_valid_days": number + 10}, actor=make_person("admin", Role.TENANT_ADMIN), reason="Other days"
        )
    elif act == "lapse":
        lapse_stale(now=timezone.now() + timedelta(days=400))
    elif pending is None:
        return
    elif act == "rejudge":
        make_report(pending.candidate, factor=0.9)
    elif act == "withdraw":
        withdraw_promotion(request_id=pending.pk, actor=make_person("boss", Role.TENANT_ADMIN))
    elif act in ("approve", "reject"):
        decide = approve_promotion if act == "approve" else reject_promotion
        try:
            decide(request_id=pending.pk, actor=decider, reason="Seen")
        except RequestLapsed:
            assert state_of(pending) == RequestState.LAPSED
