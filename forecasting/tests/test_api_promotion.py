"""Promotion by the API: asking and deciding with tokens, by the same service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_tenants.utils import schema_context

from forecasting.models import ChampionAssignment, PromotionRequest, RequestState
from forecasting.services.promotion import lapse_stale
from forecasting.tests.api_helpers import get, key_of, viewer_key, walk
from forecasting.tests.factories import (
    make_blocked_report,
    make_candidate,
    make_eligible_report,
    make_pending_request,
    make_person,
    promote,
)
from forecasting.tests.test_served import story  # noqa: F401  # a fixture
from ledger.models import AuditEvent
from tenants.models import Tenant
from tenants.roles import Role

LIST = "/api/v1/promotion-requests/"
_CLIENT = Client()


def post(
    address: str, key: str | None, body: Any = None, *, host: str = "alpha", kind: str = "application/json"
) -> Any:
    """POST a JSON body with a key."""
    headers = {"host": "alpha.localhost", **({"Authorization": f"Token {key}"} if key else {})}
    return _CLIENT.post(address, data=body if body is not None else {}, content_type=kind, headers=headers)


def decide(request: PromotionRequest | int, verb: str, key: str, reason: Any = "The evidence is strong") -> Any:
    number = request if isinstance(request, int) else request.pk
    return post(f"{LIST}{number}/{verb}/", key, {"reason": reason})


def reviewer_key(name: str = "rita") -> str:
    return key_of(make_person(name, Role.REVIEWER))


# --- reading ----------------------------------------------------------------------------------------------------------


def test_list__filters__choose_by_state_candidate_and_person(alpha: Tenant) -> None:
    promote(make_candidate(family="seasonal_naive"))
    pending = make_pending_request()
    key = viewer_key()
    every = get("alpha", LIST, key).json()["results"]
    assert [(one["state"], one["candidate"], one["champion"]) for one in every] == [
        ("pending", 2, 1),
        ("approved", 1, None),
    ]
    for query, wanted in (
        ("state=pending", [pending.pk]), ("candidate=1", [every[1]["id"]]), ("decided_by=decider", [every[1]["id"]]),
        ("requested_by=asker&state=pending", [pending.pk]), ("requested_by=nobody", []),
    ):  # fmt: skip
        assert [one["id"] for one in get("alpha", f"{LIST}?{query}", key).json()["results"]] == wanted, query
    assert every[0]["sentence"] and every[0]["requested_by"] == "asker" and every[0]["decided_by"] == ""


@pytest.mark.parametrize("query", ["state=open", "candidate=v1", "page_size=0", "status=pending", "cursor=x"])
def test_list__bad_query__is_400_with_the_parameter(alpha: Tenant, query: str) -> None:
    response = get("alpha", f"{LIST}?{query}", viewer_key())
    assert response.status_code == 400 and response.json()["errors"][0]["parameter"] == query.partition("=")[0]


def test_list__many__pages_hold_each_once_and_cost_the_same(alpha: Tenant) -> None:
    candidate = make_candidate()
    asker = make_person("asker", Role.ANALYST)
    for k in range(7):
        request = make_pending_request(candidate, requester=asker, reason=f"Ask {k}")
        assert decide(request, "withdraw", key_of(asker)).status_code == 200
    key = viewer_key()
    pages = walk("alpha", f"{LIST}?page_size=3", key)
    assert len({one["id"] for one in pages}) == len(pages) == 7
    assert [one["reason"] for one in pages] == [f"Ask {k}" for k in reversed(range(7))]
    counts = []
    for size in (1, 7):
        with CaptureQueriesContext(connection) as queries:
            get("alpha", f"{LIST}?page_size={size}", key)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_list__unchanged__is_304(alpha: Tenant) -> None:
    make_pending_request()
    key = viewer_key()
    for address in (LIST, "/api/v1/champions/", "/api/v1/gate-reports/", "/api/v1/gate-policy/"):
        etag = get("alpha", address, key)["ETag"]
        assert get("alpha", address, key, If_None_Match=etag).status_code == 304, address


def test_detail__pending__holds_gates_evidence_and_whether_it_still_holds(alpha: Tenant) -> None:
    request = make_pending_request()
    key = viewer_key()
    body = get("alpha", f"{LIST}{request.pk}/", key).json()
    assert body["stale"] is None and body["evidence_hash"] == request.evidence_hash
    assert {gate["name"] for gate in body["gates"]} >= {"wape", "total_cost", "partition", "operations"}
    assert all(gate["passed"] for gate in body["gates"]) and body["evidence"]["sentence"] == body["sentence"]
    make_blocked_report(request.candidate)
    assert "judged again" in get("alpha", f"{LIST}{request.pk}/", key).json()["stale"]


# --- asking -----------------------------------------------------------------------------------------------------------


def test_create__eligible_version__is_asked_in_the_name_of_the_tokens_owner(alpha: Tenant) -> None:
    candidate = make_candidate()
    make_eligible_report(candidate)
    key = key_of(make_person("anna", Role.ANALYST))
    response = post(LIST, key, {"version": candidate.number, "reason": "Lower cost"})
    assert response.status_code == 201
    body = response.json()
    assert (body["state"], body["requested_by"], body["reason"]) == ("pending", "anna", "Lower cost")
    assert response["Location"].endswith(f"{LIST}{body['id']}/")
    assert AuditEvent.objects.get(event="promotion.requested").actor_name == "anna"
    again = post(LIST, key, {"version": candidate.number, "reason": "Lower cost"})
    assert (again.status_code, again.json()["code"]) == (409, "request_already_pending")


def test_create__not_eligible__is_409_and_names_the_gates(alpha: Tenant) -> None:
    candidate = make_candidate()
    make_blocked_report(candidate)
    response = post(LIST, key_of(make_person("anna", Role.ANALYST)), {"version": 1, "reason": "x"})
    assert (response.status_code, response.json()["code"]) == (409, "promotion_not_eligible")
    assert "wape" in response.json()["detail"] and not PromotionRequest.objects.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_create__by_a_role_that_may_not_ask__is_403(alpha: Tenant, role: Role) -> None:
    make_eligible_report()
    response = post(LIST, key_of(make_person("x", role)), {"version": 1, "reason": "x"})
    assert (response.status_code, response.json()["code"]) == (403, "role_required")
    assert not PromotionRequest.objects.exists()


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"reason": "x"}, "version"),
        ({"version": 1}, "reason"),
        ({"version": 1, "reason": "   "}, "reason"),
        ({"version": 1, "reason": "x" * 2001}, "reason"),
        ({"version": "one", "reason": "x"}, "version"),
        ({"version": 2**40, "reason": "x"}, "version"),
        ({"version": 1, "reason": "x", "approve": True}, "approve"),
        ({"version": 1, "reason": "a\x00b"}, "reason"),
        ({"version": 1, "reason": ["x"]}, "reason"),
        ([1], ""),
    ],
)
def test_create__body_that_cannot_be_used__is_400_with_the_field(alpha: Tenant, body: Any, parameter: str) -> None:
    make_eligible_report()
    response = post(LIST, key_of(make_person("anna", Role.ANALYST)), body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_body")
    assert parameter in {error["parameter"] for error in response.json()["errors"]}
    assert not PromotionRequest.objects.exists()


@pytest.mark.parametrize(("kind", "body"), [("text/plain", "x"), ("application/json", "{")])
def test_create__no_json__is_refused(alpha: Tenant, kind: str, body: str) -> None:
    response = post(LIST, key_of(make_person("anna", Role.ANALYST)), body, kind=kind)
    assert response.status_code in (400, 415) and response["Content-Type"] == "application/problem+json"


# --- deciding ---------------------------------------------------------------------------------------------------------


def test_approve__by_a_reviewer__makes_the_champion_and_records_who(alpha: Tenant) -> None:
    request = make_pending_request()
    response = decide(request, "approve", reviewer_key())
    assert response.status_code == 200 and response["Cache-Control"] == "no-store"
    body = response.json()
    assert (body["state"], body["decided_by"], body["decision_reason"]) == (
        "approved", "rita", "The evidence is strong"
    )  # fmt: skip
    reign = ChampionAssignment.objects.get()
    assert (reign.version_id, reign.request_id) == (request.candidate_id, request.pk)
    assert AuditEvent.objects.get(event="promotion.approved").actor_name == "rita"
    assert get("alpha", "/api/v1/champions/", viewer_key()).json()["results"][0]["assigned_by"] == "rita"


def test_decide__the_same_again_by_the_same_person__is_200_and_changes_nothing(alpha: Tenant) -> None:
    for verb, event in (("approve", "promotion.approved"), ("reject", "promotion.rejected")):
        request = make_pending_request(make_candidate(seed=len(verb)))
        key = reviewer_key()
        first, second = decide(request, verb, key), decide(request, verb, key, "Another reason")
        assert (first.status_code, second.status_code) == (200, 200)
        assert second["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first
        assert second.json() == first.json() and second.json()["decision_reason"] == "The evidence is strong"
        assert AuditEvent.objects.filter(event=event).count() == 1


def test_decide__otherwise_or_by_another__is_409(alpha: Tenant) -> None:
    request = make_pending_request()
    assert decide(request, "reject", reviewer_key()).status_code == 200
    for verb, key in (("approve", reviewer_key()), ("reject", reviewer_key("rolf"))):
        response = decide(request, verb, key)
        assert (response.status_code, response.json()["code"]) == (409, "request_not_pending")
    assert not ChampionAssignment.objects.exists()


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_decide__own_request__is_403_by_any_token(alpha: Tenant, verb: str) -> None:
    both = make_person("both", Role.ANALYST, Role.REVIEWER)
    both.is_superuser = True
    both.save()
    request = make_pending_request(requester=both)
    response = decide(request, verb, key_of(both))
    assert (response.status_code, response.json()["code"]) == (403, "own_request")
    request.refresh_from_db()
    assert request.state == RequestState.PENDING and not ChampionAssignment.objects.exists()


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.TENANT_ADMIN])
def test_decide__no_reviewer__is_403(alpha: Tenant, verb: str, role: Role) -> None:
    request = make_pending_request()
    response = decide(request, verb, key_of(make_person("x", role)))
    assert (response.status_code, response.json()["code"]) == (403, "role_required")
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


def test_decide__reviewer_deactivated_meanwhile__is_401(alpha: Tenant) -> None:
    request = make_pending_request()
    rita = make_person("rita", Role.REVIEWER)
    key = key_of(rita)
    rita.is_active = False
    rita.save()
    response = decide(request, "approve", key)
    assert (response.status_code, response.json()["code"]) == (401, "token_inactive_user")
    rita.is_active = True
    rita.save()
    rita.groups.clear()
    assert decide(request, "approve", key).status_code == 403
    assert not ChampionAssignment.objects.exists()


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_decide__evidence_changed__is_409_and_the_lapse_stays(alpha: Tenant, verb: str) -> None:
    request = make_pending_request()
    make_blocked_report(request.candidate)
    response = decide(request, verb, reviewer_key())
    assert (response.status_code, response.json()["code"]) == (409, "request_lapsed")
    assert "judged again" in response.json()["detail"]
    request.refresh_from_db()
    assert request.state == RequestState.LAPSED and not ChampionAssignment.objects.exists()
    assert AuditEvent.objects.filter(event="promotion.lapsed").count() == 1
    assert decide(request, verb, reviewer_key()).json()["code"] == "request_not_pending"


def test_decide__time_is_over__is_409(alpha: Tenant) -> None:
    request = make_pending_request()
    lapse_stale(now=request.expires_at + timedelta(seconds=1))
    assert decide(request, "approve", reviewer_key()).status_code == 409


@pytest.mark.parametrize("reason", ["", "   ", None, 7.5, "a\x00b", {"x": 1}])
def test_decide__without_a_reason__is_400_or_taken_as_text(alpha: Tenant, reason: Any) -> None:
    request = make_pending_request()
    response = decide(request, "approve", reviewer_key(), reason)
    wanted = 200 if reason == 7.5 else 400  # a number is a text that was not quoted
    assert response.status_code == wanted
    request.refresh_from_db()
    assert (request.state == RequestState.APPROVED) == (wanted == 200)


def test_withdraw__requester_and_admin_may__others_may_not(alpha: Tenant) -> None:
    asker = make_person("asker", Role.ANALYST)
    request = make_pending_request(requester=asker)
    refused = decide(request, "withdraw", reviewer_key())
    assert (refused.status_code, refused.json()["code"]) == (403, "not_your_request")
    assert decide(request, "withdraw", key_of(asker)).json()["state"] == "withdrawn"
    assert decide(request, "withdraw", key_of(asker))["Idempotency-Replayed"] == "true"
    other = make_pending_request(make_candidate(seed=4), requester=asker)
    assert decide(other, "withdraw", key_of(make_person("adam", Role.TENANT_ADMIN))).status_code == 200


def test_decide__foreign_request__is_404_and_untouched(alpha: Tenant, beta_tenant: Tenant) -> None:
    with schema_context("beta"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT setval(pg_get_serial_sequence('forecasting_promotionrequest', 'id'), 700000)")
        theirs = make_pending_request()
    key = reviewer_key()
    for verb in ("approve", "reject", "withdraw"):
        response = decide(theirs.pk, verb, key)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    with schema_context("beta"):
        theirs.refresh_from_db()
        assert theirs.state == RequestState.PENDING
        foreign = reviewer_key()
    assert post(f"{LIST}{theirs.pk}/approve/", foreign, {"reason": "x"}).status_code == 401


def test_decide__get__changes_nothing(alpha: Tenant) -> None:
    request = make_pending_request()
    key = reviewer_key()
    for verb in ("approve", "reject", "withdraw"):
        assert get("alpha", f"{LIST}{request.pk}/{verb}/", key).status_code == 405
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


def test_decide__browser_session_without_its_token__is_refused(alpha: Tenant) -> None:
    request = make_pending_request()
    browser = Client(enforce_csrf_checks=True, headers={"host": "alpha.localhost"})
    browser.force_login(make_person("rita", Role.REVIEWER))
    response = browser.post(f"{LIST}{request.pk}/approve/", {"reason": "x"}, content_type="application/json")
    assert response.status_code == 403
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


def test_decide__too_often__is_429_while_reading_goes_on(alpha: Tenant) -> None:
    from forecasting.api.promotions import DecisionRateThrottle

    cache.clear()
    request = make_pending_request()
    key = key_of(make_person("x", Role.VIEWER))
    DecisionRateThrottle.THROTTLE_RATES = {**DecisionRateThrottle.THROTTLE_RATES, "decision": "2/min"}
    try:
        codes = [decide(request, "approve", key).status_code for _ in range(3)]
        assert codes == [403, 403, 429]
        assert get("alpha", LIST, key).status_code == 200
    finally:
        del DecisionRateThrottle.THROTTLE_RATES
        cache.clear()
