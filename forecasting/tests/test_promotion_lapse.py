"""Lapse: a request ends when what it was judged on no longer holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from forecasting.errors import (
    PromotionNotEligible,
    RequestLapsed,
    RequestNotPending,
)
from forecasting.models import ChampionAssignment, PromotionRequest, RequestState
from forecasting.services import champions
from forecasting.services.policy import change_policy
from forecasting.services.promotion import (
    approve_promotion,
    lapse_stale,
    reject_promotion,
    why_stale,
)
from forecasting.tests.factories import (
    make_blocked_report,
    make_candidate,
    make_pending_request,
    make_person,
    make_report,
    promote,
)
from forecasting.tests.promotion_state import pending_on_the_heartbeat, state_of, tampered
from ledger.models import AuditEvent
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role


@pytest.mark.parametrize("decide", [approve_promotion, reject_promotion])
def test_decision__policy_changed__lapses_the_request(alpha: Tenant, decide) -> None:
    request = make_pending_request()
    change_policy(body={"request_valid_days": 9}, actor=make_person("admin", Role.TENANT_ADMIN), reason="More time")
    request.refresh_from_db()
    assert request.state == RequestState.LAPSED and "policy is v2" in request.decision_reason
    with pytest.raises(RequestNotPending, match="lapsed"):
        decide(request_id=request.pk, actor=make_person("decider", Role.REVIEWER), reason="Sure")


def test_approval__champion_changed__lapses_the_request(alpha: Tenant) -> None:
    before = promote()
    request = make_pending_request(make_candidate(family="prophet"))
    champions.assign(version=make_candidate(), kind="refresh", reason="Beside the request")
    request.refresh_from_db()
    assert request.state == RequestState.LAPSED
    assert before.version.label in request.decision_reason and "serves" in request.decision_reason


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda r: make_report(r.candidate, factor=0.9), "judged again"),
        (lambda r: make_blocked_report(r.candidate), "judged again"),
        (lambda r: tampered("modelartifact", "sha256 = repeat('f', 64) WHERE role = 'serving'"), "files"),
        (lambda r: tampered("modelversion", "manifest = '{\"changed\": 1}'"), "manifest"),
        (lambda r: type(r.candidate).objects.filter(pk=r.candidate_id).update(status="retired"), "is retired"),
    ],
    ids=["judged_again", "blocked_now", "file_altered", "manifest_altered", "retired"],
)
def test_approval__evidence_changed__lapses_and_promotes_nothing(alpha: Tenant, damage, why: str) -> None:
    request = make_pending_request()
    assert why_stale(request) is None
    damage(request)
    request = PromotionRequest.objects.get(pk=request.pk)
    assert why in (why_stale(request) or "")
    with pytest.raises(RequestLapsed, match=why):
        approve_promotion(request_id=request.pk, actor=make_person("decider", Role.REVIEWER), reason="Sure")
    request.refresh_from_db()
    assert request.state == RequestState.LAPSED and why in request.decision_reason
    assert not ChampionAssignment.objects.exists() and pending_on_the_heartbeat() == 0
    assert AuditEvent.objects.filter(event="promotion.lapsed", subject_id=str(request.pk)).count() == 1


def test_request__after_its_days__lapses(alpha: Tenant) -> None:
    request = make_pending_request()
    assert timedelta(days=6, hours=23) < request.expires_at - timezone.now() <= timedelta(days=7)
    assert lapse_stale(now=request.expires_at - timedelta(seconds=1)) == []
    assert lapse_stale(now=request.expires_at) == [request]
    assert state_of(request) == RequestState.LAPSED
    assert lapse_stale(now=request.expires_at) == []


def test_approval__after_its_days__lapses_and_is_refused(alpha: Tenant) -> None:
    request = make_pending_request()
    tampered("promotionrequest", "expires_at = now() - interval '1 minute'")
    with pytest.raises(RequestLapsed, match="not decided by"):
        approve_promotion(request_id=request.pk, actor=make_person("decider", Role.REVIEWER), reason="Sure")
    assert state_of(request) == RequestState.LAPSED and not ChampionAssignment.objects.exists()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"open_incidents": 1, "open_sev1": 1}, "1 incident"),
        ({"slo_critical": 1}, "0 incident.* and 1 SLO"),
    ],
)
def test_approval__operations_broke_since__waits_until_they_are_sound(
    alpha: Tenant, broken: dict[str, int], words: str
) -> None:
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    Heartbeat.objects.filter(schema_name="alpha").update(**broken)
    with pytest.raises(PromotionNotEligible, match=words) as refused:
        approve_promotion(request_id=request.pk, actor=decider, reason="Sure")
    assert refused.value.failing == ("operations",)
    assert state_of(request) == RequestState.PENDING and not ChampionAssignment.objects.exists()
    Heartbeat.objects.filter(schema_name="alpha").update(**dict.fromkeys(broken, 0))
    assert approve_promotion(request_id=request.pk, actor=decider, reason="Sure").version == request.candidate
