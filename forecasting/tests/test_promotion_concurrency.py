"""Decisions that meet: real connections, really committed."""

from __future__ import annotations

from forecasting.errors import RequestNotPending
from forecasting.models import ChampionAssignment, ForecastSet, GatePolicy, PromotionRequest, RequestState
from forecasting.services import champions
from forecasting.services.policy import active_policy, change_policy
from forecasting.services.promotion import (
    approve_promotion,
    reject_promotion,
    request_promotion,
    withdraw_promotion,
)
from forecasting.tests.concurrently import Act, together, while_uncommitted
from forecasting.tests.factories import make_candidate, make_eligible_report, make_pending_request, make_person, promote
from ledger.models import AuditEvent
from ledger.services.verify import verify_chain
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role


def approve(request: PromotionRequest, name: str = "decider") -> Act:
    person = make_person(name, Role.REVIEWER)
    return lambda: approve_promotion(request_id=request.pk, actor=person, reason="Seen")


def state_of(request: PromotionRequest) -> str:
    return PromotionRequest.objects.get(pk=request.pk).state


def events(request: PromotionRequest) -> list[str]:
    rows = AuditEvent.objects.filter(subject_type="forecasting.PromotionRequest", subject_id=str(request.pk))
    return list(rows.order_by("sequence").values_list("event", flat=True))


def test_decisions__at_the_same_moment__exactly_one_counts(throwaway: Tenant) -> None:
    request = make_pending_request()
    results = together(throwaway, approve(request, "rex"), approve(request, "ria"))
    assert sorted(type(result).__name__ for result in results) == ["ChampionAssignment", "RequestNotPending"]
    assert ChampionAssignment.objects.count() == 1 and state_of(request) == RequestState.APPROVED
    assert events(request) == ["promotion.requested", "promotion.approved"]

    request = make_pending_request(make_candidate(family="prophet"))
    rejecter = make_person("ria", Role.REVIEWER)
    results = while_uncommitted(
        throwaway,
        approve(request, "rex"),
        lambda: reject_promotion(request_id=request.pk, actor=rejecter, reason="No"),
    )
    assert isinstance(results[1], RequestNotPending) and state_of(request) == RequestState.APPROVED

    request = make_pending_request(make_candidate(family="seasonal_naive"))
    champion = champions.champion_version()
    asker = request.requested_by
    results = while_uncommitted(
        throwaway, lambda: withdraw_promotion(request_id=request.pk, actor=asker), approve(request, "rex")
    )
    assert isinstance(results[1], RequestNotPending) and state_of(request) == RequestState.WITHDRAWN
    assert champions.champion_version() == champion
    assert events(request) == ["promotion.requested", "promotion.withdrawn"]

    request = make_pending_request(request.candidate)
    results = while_uncommitted(
        throwaway, approve(request, "rex"), lambda: withdraw_promotion(request_id=request.pk, actor=asker)
    )
    assert isinstance(results[1], RequestNotPending) and champions.champion_version() == request.candidate
    assert ChampionAssignment.objects.filter(to_at=None).count() == 1
    assert Heartbeat.objects.get(schema_name=throwaway.schema_name).pending_approvals == 0
    assert ForecastSet.objects.filter(published_at__isnull=False).count() == 3
    assert not verify_chain().broken


def test_approval_and_policy_change__in_either_order__never_promotes_under_the_old_policy(throwaway: Tenant) -> None:
    assert len({policy.pk for policy in together(throwaway, active_policy, active_policy)}) == 1
    assert GatePolicy.objects.count() == 1
    admin = make_person("admin", Role.TENANT_ADMIN)

    def stricter(days: int) -> Act:
        return lambda: change_policy(body={"request_valid_days": days}, actor=admin, reason="Stricter")

    request = make_pending_request()
    results = while_uncommitted(throwaway, stricter(5), approve(request))
    assert isinstance(results[1], RequestNotPending) and state_of(request) == RequestState.LAPSED
    assert not ChampionAssignment.objects.exists()

    request = make_pending_request()
    results = while_uncommitted(throwaway, approve(request), stricter(4))
    assert results[0].version == request.candidate and state_of(request) == RequestState.APPROVED
    assert active_policy().version == 3 and request.gate_report.policy.version == 2


def test_requests_and_assignments__at_the_same_moment__are_put_in_order(throwaway: Tenant) -> None:
    for family in ("lightgbm", "prophet"):
        promote(make_candidate(family=family))
    candidates = [make_candidate(family="lightgbm"), make_candidate(family="prophet")]
    for candidate in candidates:
        make_eligible_report(candidate)
    asker = make_person("asker", Role.ANALYST)
    first, second = (
        lambda c=candidate: request_promotion(candidate=c, actor=asker, reason="Mine") for candidate in candidates
    )
    results = together(throwaway, first, second)
    assert sorted(type(result).__name__ for result in results) == ["PromotionRequest", "RequestAlreadyPending"]
    assert PromotionRequest.objects.filter(state=RequestState.PENDING).count() == 1

    one, two = (lambda c=candidate: champions.assign(version=c, kind="refresh") for candidate in candidates)
    together(throwaway, one, two)
    rows = list(ChampionAssignment.objects.order_by("from_at", "pk"))[2:]
    assert len(rows) == 2 and rows[0].to_at == rows[1].from_at and rows[1].to_at is None
    assert not PromotionRequest.objects.filter(state=RequestState.PENDING).exists(), "the champion changed: it lapsed"
