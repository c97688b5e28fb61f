"""What people do on a tenant's pages: decide, ask, retrain, change the policy; by POST, through the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from forecasting import selectors
from forecasting.admin.review import GATES
from forecasting.engine.gates import GATE_NAMES
from forecasting.models import GatePolicy, PromotionRequest, RequestState
from forecasting.tests import factories
from forecasting.tests.admin_world import World, make_world
from ledger.models import AuditEvent, Run
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]


@pytest.fixture
def world(alpha: Tenant) -> World:
    return make_world()


def _decide(client: Client, request: PromotionRequest, decision: str, reason: str) -> Any:
    url = reverse("admin:forecasting_promotionrequest_decide", args=[request.pk])
    return client.post(url, {"decision": decision, "reason": reason}, follow=True)


def test_review_page__approved_by_reviewer__says_so_and_champion_changes(world: World, client_of: ClientOf) -> None:
    page = _decide(client_of("alpha", world.reviewer), world.pending, "approve", "Cheaper, and the bands hold")
    assert page.status_code == 200 and "is champion now" in page.content.decode()
    assert "Cheaper, and the bands hold" in page.content.decode()
    champion = selectors.current_champion()
    assert champion is not None and champion.version_id == world.pending.candidate_id


def test_review_page__rejected__champion_stays(world: World, client_of: ClientOf) -> None:
    before = selectors.current_champion()
    page = _decide(client_of("alpha", world.reviewer), world.pending, "reject", "Christmas is missing")
    assert "Rejected" in page.content.decode()
    assert selectors.current_champion() == before
    world.pending.refresh_from_db()
    assert (world.pending.state, world.pending.decision_reason) == (RequestState.REJECTED, "Christmas is missing")


@pytest.mark.parametrize(("reason", "said"), [("", "Say why"), ("...", "...")])
def test_review_page__reason_says_nothing__nothing_decided_and_text_kept(
    world: World, client_of: ClientOf, reason: str, said: str
) -> None:
    page = _decide(client_of("alpha", world.reviewer), world.pending, "approve", reason)
    assert page.status_code == 409 and said in page.content.decode()
    world.pending.refresh_from_db()
    assert world.pending.state == RequestState.PENDING


def test_review_page__requester_who_is_reviewer_too__is_told_why_not_and_cannot(
    world: World, client_of: ClientOf
) -> None:
    asker = factories.make_person("the-analyst", Role.ANALYST, Role.REVIEWER)
    client = client_of("alpha", asker)
    shown = client.get(reverse("admin:forecasting_promotionrequest_change", args=[world.pending.pk])).content.decode()
    assert "You asked for this promotion" in shown and 'value="approve"' not in shown
    page = _decide(client, world.pending, "approve", "I am sure of it")
    assert page.status_code == 409 and "I am sure of it" in page.content.decode()
    world.pending.refresh_from_db()
    assert world.pending.state == RequestState.PENDING


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.TENANT_ADMIN])
def test_review_page__decision_by_other_role__is_refused(world: World, client_of: ClientOf, role: Role) -> None:
    page = _decide(client_of("alpha", world.people[role]), world.pending, "approve", "Please")
    assert page.status_code == 409
    world.pending.refresh_from_db()
    assert world.pending.state == RequestState.PENDING


def test_review_page__champion_changed_since__says_why_and_lapses_on_decision(
    world: World, client_of: ClientOf
) -> None:
    factories.make_report(world.pending.candidate, factor=0.9)
    client = client_of("alpha", world.reviewer)
    url = reverse("admin:forecasting_promotionrequest_change", args=[world.pending.pk])
    assert "can no longer be decided" in client.get(url).content.decode()
    page = _decide(client, world.pending, "approve", "A long thought that must not be lost")
    assert page.status_code == 409 and "A long thought that must not be lost" in page.content.decode()
    world.pending.refresh_from_db()
    assert world.pending.state == RequestState.LAPSED
    assert "Lapsed" in client.get(url).content.decode()


def test_review_page__every_gate_of_the_judge__has_a_question_in_plain_words() -> None:
    assert set(GATES) == set(GATE_NAMES)


def test_withdraw__by_requester__is_withdrawn(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:forecasting_promotionrequest_withdraw", args=[world.pending.pk])
    page = client_of("alpha", world.analyst).post(url, {"reason": "Found a mistake"}, follow=True)
    assert "Withdrawn" in page.content.decode()
    world.pending.refresh_from_db()
    assert world.pending.state == RequestState.WITHDRAWN


def test_request_promotion__blocked_candidate__is_refused_and_text_kept(world: World, client_of: ClientOf) -> None:
    blocked = factories.make_candidate(family="prophet", forecasts=False)
    url = reverse("admin:forecasting_modelversion_request", args=[blocked.pk])
    page = client_of("alpha", world.analyst).post(url, {"reason": "Because it is newer"})
    assert page.status_code == 200 and "Because it is newer" in page.content.decode()
    assert not PromotionRequest.objects.filter(candidate=blocked).exists()


def test_retrain__short_history__is_refused_with_the_form_as_it_was(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.analyst)
    before = Run.objects.count()
    form = {"mode": "search", "families": ["lightgbm"], "as_of": "2019-01-01", "horizon": "14", "reason": "New shops"}
    page = client.post(reverse("admin:forecasting_modelversion_retrain"), form)
    text = page.content.decode()
    assert page.status_code == 200 and "New shops" in text and "2019-01-01" in text
    assert Run.objects.count() == before


def test_retrain__asked_by_analyst__queues_the_chain_and_shows_it(alpha: Tenant, client_of: ClientOf) -> None:
    factories.make_demand(days=400)
    analyst = factories.make_person("ann", Role.ANALYST)
    form = {"mode": "search", "families": ["lightgbm"], "reason": "New shops"}
    page = client_of("alpha", analyst).post(reverse("admin:forecasting_modelversion_retrain"), form, follow=True)
    run = Run.objects.get(kind="forecasting.retrain")
    assert page.redirect_chain[0][0] == reverse("admin:ledger_run_change", args=[run.pk])
    assert (run.inputs["reason"], run.requested_by_name) == ("New shops", "ann")
    assert "lightgbm" in run.inputs["families"] and "prophet" not in run.inputs["families"]


def test_judge_again__asked_by_analyst__queues_the_gate_and_shows_it(world: World, client_of: ClientOf) -> None:
    client, version = client_of("alpha", world.analyst), world.pending.candidate
    url = reverse("admin:forecasting_modelversion_judge", args=[version.pk])
    assert url in client.get(reverse("admin:forecasting_modelversion_change", args=[version.pk])).content.decode()
    page = client.post(url, {"reason": "The policy is stricter now"}, follow=True)
    run = Run.objects.get(kind="forecasting.gate")
    assert page.redirect_chain[0][0] == reverse("admin:ledger_run_change", args=[run.pk])
    assert (run.scope, run.inputs["reason"]) == (f"v{version.number}", "The policy is stricter now")
    again = client.post(url, {"reason": "Once more, please"}).content.decode()
    assert "Once more, please" in again and "started by the-analyst" in again
    assert Run.objects.filter(kind="forecasting.gate").count() == 1


def test_judge_again__champion_or_empty_reason_or_no_role__nothing_is_queued(world: World, client_of: ClientOf) -> None:
    champion = selectors.current_champion()
    assert champion is not None
    url = reverse("admin:forecasting_modelversion_judge", args=[champion.version_id])
    client = client_of("alpha", world.analyst)
    assert (
        url
        not in client.get(reverse("admin:forecasting_modelversion_change", args=[champion.version_id])).content.decode()
    )
    text = client.post(url, {"reason": "Just to see"}).content.decode()
    assert "Just to see" in text and "it is champion already" in text
    assert "Say why" in client.post(url, {"reason": ""}).content.decode()
    assert "Say why you judge" in client.post(url, {"reason": "..."}).content.decode()
    assert client_of("alpha", world.reviewer).post(url, {"reason": "Just to see"}).status_code == 403
    assert not Run.objects.filter(kind="forecasting.gate").exists()


def test_policy__changed_by_tenant_admin__is_a_new_version_with_reason(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.admin)
    url = reverse("admin:forecasting_gatepolicy_edit")
    form = client.get(url).context["form"]
    data = {name: field.initial for name, field in form.fields.items() if name != "reason"}
    bad = client.post(url, {**data, "gates.max_wape_ratio": "-1", "reason": "Stricter"})
    assert "Stricter" in bad.content.decode() and GatePolicy.objects.count() == 1
    stricter = {**data, "gates.max_wape_ratio": "1.0", "reason": "Stricter"}
    shown = client.post(url, stricter)
    text = shown.content.decode()
    assert "What this changes" in text and "The request of v2 by the-analyst lapses" in text
    assert GatePolicy.objects.count() == 1, "looking changes nothing"
    other = client.post(url, {**stricter, "gates.max_wape_ratio": "1.5", "confirm": shown.context["preview"].digest})
    assert "What this changes" in other.content.decode() and GatePolicy.objects.count() == 1, "not what was shown"
    page = client.post(url, {**stricter, "confirm": shown.context["preview"].digest}, follow=True)
    assert "is in force" in page.content.decode()
    policy = GatePolicy.objects.get(is_active=True)
    assert (policy.version, policy.reason, policy.body["gates"]["max_wape_ratio"]) == (2, "Stricter", 1.0)


def test_run__cancelled_and_resumed_by_analyst__leaves_events(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.analyst)
    client.post(reverse("admin:ledger_run_cancel", args=[world.running.pk]))
    client.post(reverse("admin:ledger_run_resume", args=[world.failed.pk]))
    world.running.refresh_from_db()
    world.failed.refresh_from_db()
    assert world.running.cancel_requested_at is not None
    assert world.failed.state == "queued"
    events = set(AuditEvent.objects.filter(actor_name="the-analyst").values_list("event", flat=True))
    assert {"run.cancel_requested", "run.resumed"} <= events


def test_run__cancel_by_reviewer__is_forbidden(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:ledger_run_cancel", args=[world.running.pk])
    assert client_of("alpha", world.reviewer).post(url).status_code == 403
    world.running.refresh_from_db()
    assert world.running.cancel_requested_at is None
