"""The approval page and the inbox: what a reviewer reads, what is kept where it is refused, whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from forecasting.admin.glossary import GLOSSARY
from forecasting.admin.review import GATES, gate_groups
from forecasting.models import MailPreference, PromotionComment, PromotionRequest, RequestState
from forecasting.services.discussion import comment_on_request
from forecasting.tests import factories
from forecasting.tests.admin_world import World, make_world
from ledger.services.audit import record
from tenants.models import Tenant
from tenants.roles import Role, people_with

ClientOf = Callable[..., Client]
MOST_QUERIES = 15


@pytest.fixture
def world(alpha: Tenant) -> World:
    return make_world()


def _page(client: Client, world: World) -> str:
    url = reverse("admin:forecasting_promotionrequest_change", args=[world.pending.pk])
    return client.get(url).content.decode()


def test_approval_page__for_a_reviewer__says_what_a_decision_does(world: World, client_of: ClientOf) -> None:
    User.objects.update(date_joined=timezone.now() - timedelta(days=100))
    text = _page(client_of("alpha", world.reviewer), world)
    for said in ("If it is approved", "v2 becomes champion at once", "v1 steps back", "roll back to v1", "6 series"):
        assert said in text, said
    assert "Remarks" in text and "What happened" in text
    assert text.index("Promotion requested") < text.index("About this request")
    assert 'optgroup label="To approve"' in text and "Everybody sees this" not in text


def test_approval_page__with_remarks__stays_within_its_queries(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.reviewer)
    for k in range(5):
        comment_on_request(request_id=world.pending.pk, actor=world.analyst, text=f"Remark {k}")
        factories.make_person(f"reviewer-{k}", Role.REVIEWER)
    _page(client, world)
    with CaptureQueriesContext(connection) as caught:
        assert "Remark 4" in _page(client, world)
    asked = [one["sql"] for one in caught if not one["sql"].startswith(("SET ", "SAVEPOINT", "RELEASE"))]
    assert len(asked) <= MOST_QUERIES, "\n".join(sql[:120] for sql in asked)


def test_approval_page__reviewer_made_by_the_requester__everybody_sees_it(world: World, client_of: ClientOf) -> None:
    record(event="user.invited", actor=world.analyst, subject=world.reviewer, data={"roles": ["reviewer"]})
    assert "Everybody sees this beside your decision" in _page(client_of("alpha", world.reviewer), world)
    text = _page(client_of("alpha", world.people[Role.VIEWER]), world)
    assert "Worth knowing about who may decide" in text and "the account was made by the-analyst, who asks" in text
    client_of("alpha", world.reviewer).post(
        reverse("admin:forecasting_promotionrequest_decide", args=[world.pending.pk]),
        {"decision": "reject", "reason": "Not convinced", "code": "risk"},
    )
    text = _page(client_of("alpha", world.people[Role.VIEWER]), world)
    assert "Look twice at who decided" in text and "the risk is too high" in text


def test_approval_page__no_reviewer_besides_the_requester__says_what_to_do(world: World, client_of: ClientOf) -> None:
    for person in people_with(Role.REVIEWER):
        person.groups.clear()
    assert "Nobody can decide this" in _page(client_of("alpha", world.admin), world)


def test_approval_page__changed_under_it__says_so_and_offers_no_decision(world: World, client_of: ClientOf) -> None:
    type(world.pending.candidate).objects.filter(pk=world.pending.candidate_id).update(status="retired")
    text = _page(client_of("alpha", world.reviewer), world)
    assert "can no longer be decided: v2 is retired" in text and 'value="approve"' not in text


def test_decision__reason_of_the_other_kind__is_refused_and_the_text_kept(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:forecasting_promotionrequest_decide", args=[world.pending.pk])
    page = client_of("alpha", world.reviewer).post(
        url, {"decision": "approve", "reason": "My long text", "code": "risk"}
    )
    text = page.content.decode()
    assert page.status_code == 409 and "This is no reason to approve" in text and "My long text" in text
    page = client_of("alpha", world.reviewer).post(
        url, {"decision": "approve", "reason": "My text", "code": "nonsense"}
    )
    assert page.status_code == 409 and "My text" in page.content.decode()
    world.pending.refresh_from_db()
    assert world.pending.state == RequestState.PENDING


def test_decision__approved__page_links_to_what_serves_now(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:forecasting_promotionrequest_decide", args=[world.pending.pk])
    form = {"decision": "approve", "reason": "Cheaper", "code": "lower_cost"}
    text = client_of("alpha", world.reviewer).post(url, form, follow=True).content.decode()
    assert "and serves now" in text and "lower cost at an acceptable risk" in text
    assert reverse("admin:forecasting_championassignment_changelist") in text


def test_comment__by_page__is_shown_escaped_and_a_bad_one_keeps_its_text(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:forecasting_promotionrequest_comment", args=[world.pending.pk])
    client = client_of("alpha", world.analyst)
    text = client.post(url, {"text": "What of <script>Easter</script>?"}, follow=True).content.decode()
    assert "What of &lt;script&gt;Easter&lt;/script&gt;?" in text
    refused = client.post(url, {"text": "....."})
    assert refused.status_code == 409 and "....." in refused.content.decode()
    assert client_of("alpha", world.people[Role.VIEWER]).post(url, {"text": "I too"}).status_code == 409
    assert PromotionComment.objects.count() == 1


def test_inbox__waiting_and_decided_requests__what_waits_stands_first_and_whose_turn_it_is(
    world: World, client_of: ClientOf
) -> None:
    url = reverse("admin:forecasting_promotionrequest_changelist")
    decided = PromotionRequest.objects.exclude(pk=world.pending.pk).get()
    text = client_of("alpha", world.reviewer).get(url).content.decode()
    ids = re.findall(r"/promotionrequest/(\d+)/change/", text)
    assert list(dict.fromkeys(ids)) == [str(world.pending.pk), str(decided.pk)]
    assert text.count("You decide") == 1 and "from now" in text
    assert "You asked; somebody else decides" in client_of("alpha", world.analyst).get(url).content.decode()
    assert "A reviewer decides" in client_of("alpha", world.admin).get(url).content.decode()


def test_inbox__empty__says_what_to_do(alpha: Tenant, client_of: ClientOf) -> None:
    viewer = factories.make_person("vera", Role.VIEWER)
    text = client_of("alpha", viewer).get(reverse("admin:forecasting_promotionrequest_changelist")).content.decode()
    assert "Nobody has asked for a promotion yet" in text and "Retrain now" in text


def test_mails__switched_off_and_on_by_post_alone(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:forecasting_promotionrequest_mails")
    client = client_of("alpha", world.reviewer)
    assert client.get(url + "?wanted=no").status_code == 200 and not MailPreference.objects.exists()
    client.post(url, {"wanted": "no"})
    assert not MailPreference.objects.get(user=world.reviewer).wanted
    client.post(url, {"wanted": "perhaps"})
    assert not MailPreference.objects.get(user=world.reviewer).wanted
    client.post(url, {"wanted": "yes"})
    assert MailPreference.objects.get(user=world.reviewer).wanted


def test_gates__of_a_blocked_report__failing_ones_stand_first(alpha: Tenant) -> None:
    groups = gate_groups(factories.make_blocked_report(), "EUR", "v1")
    failed = [bool(group["failed"]) for group in groups]
    assert failed == sorted(failed, reverse=True) and failed[0]
    for group in groups:
        passed = [row["passed"] for row in group["rows"]]
        assert passed == sorted(passed)


def test_glossary__every_gate__is_explained() -> None:
    assert set(GATES) <= set(GLOSSARY)
