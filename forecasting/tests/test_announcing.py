"""Who hears of a request, its end, a remark and a rollback: once, in the same transaction, and without addresses."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, transaction
from django.utils import timezone

from forecasting.errors import CannotActOnOwnRequest
from forecasting.errors_promotion import CommentRefused, DecisionCodeUnknown
from forecasting.models import Channel, DecisionCode, MailPreference, PromotionComment, PromotionNotice
from forecasting.models.assignment import AssignmentKind
from forecasting.services import champions
from forecasting.services.discussion import comment_on_request, set_mail_preference
from forecasting.services.promotion import (
    approve_promotion,
    lapse_stale,
    reject_promotion,
    request_promotion,
    withdraw_promotion,
)
from forecasting.tests import factories
from forecasting.webhook_events import EVENTS
from integrations.models import WebhookDelivery, WebhookEvent
from integrations.services.webhooks import create_endpoint
from ledger.models import AuditEvent
from ledger.schema import connection
from tenants.errors import RoleRequired
from tenants.models import OutgoingMail, Tenant
from tenants.roles import Role
from tenants.tests.application_world import work_mails

NAMES = [event.name for event in EVENTS]


@pytest.fixture
def people(alpha: Tenant) -> dict[str, User]:
    """An analyst who asks, two reviewers and a tenant admin, each with an address; and an endpoint that takes all."""
    create_endpoint(name="All", url="https://hooks.example.com/", events=NAMES, actor=None)
    made = {}
    roles = {"asker": Role.ANALYST, "rita": Role.REVIEWER, "rob": Role.REVIEWER, "boss": Role.TENANT_ADMIN}
    for name, role in roles.items():
        made[name] = factories.make_person(name, role)
        made[name].email = f"{name}@example.com"
        made[name].save()
    return made


def told() -> list[str]:
    return list(WebhookEvent.objects.order_by("at").values_list("type", flat=True))


def data_of(event: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(WebhookEvent.objects.get(type=event).body)["data"]
    return found


def mails_to(event: str) -> set[str]:
    return set(PromotionNotice.objects.filter(event=event).values_list("recipient__username", flat=True))


def sent() -> dict[str, str]:
    """Who got which subject, of the mails that went out now."""
    mail.outbox.clear()
    tenant = connection.tenant
    work_mails()
    connection.set_tenant(tenant)
    return {one.to[0].partition("@")[0]: f"{one.subject}\n{one.body}" for one in mail.outbox}


def test_request__made__reviewers_get_a_mail_and_webhooks_are_told(people: dict[str, User]) -> None:
    asked = factories.make_pending_request(requester=people["asker"], reason="Write to me: asker@example.com")
    assert told() == ["promotion.requested"] and mails_to("promotion.requested") == {"rita", "rob"}
    data = data_of("promotion.requested")
    assert (data["request"], data["requested_by"]) == (asked.pk, people["asker"].pk)
    assert data["reason"] == "Write to me: (address)" and "@" not in WebhookEvent.objects.get().body
    written = sent()
    assert set(written) == {"rita", "rob"}
    assert "waits for your decision" in written["rita"] and f"/promotionrequest/{asked.pk}/change/" in written["rita"]
    assert "http://alpha.localhost" in written["rita"] and data["sentence"] in written["rita"]


@pytest.mark.parametrize(
    ("act", "code", "event"),
    [
        (approve_promotion, DecisionCode.LOWER_COST, "promotion.approved"),
        (reject_promotion, DecisionCode.RISK, "promotion.rejected"),
    ],
)
def test_decision__made__requester_and_the_other_reviewer_hear_of_it(
    people: dict[str, User], act: Any, code: str, event: str
) -> None:
    asked = factories.make_pending_request(requester=people["asker"])
    sent()
    act(request_id=asked.pk, actor=people["rita"], reason="After a long look", code=code)
    assert told() == ["promotion.requested", event] and mails_to(event) == {"asker", "rob"}
    data = data_of(event)
    assert (data["decided_by"], data["code"], data["reason"]) == (people["rita"].pk, code, "After a long look")
    written = sent()
    assert set(written) == {"asker", "rob"} and "rita" in written["asker"] and "> After a long look" in written["asker"]
    asked.refresh_from_db()
    assert asked.decision_code == code
    with pytest.raises(IntegrityError), transaction.atomic():
        type(asked).objects.filter(pk=asked.pk).update(decision_code=DecisionCode.OTHER)


def test_decision__refused_by_the_domain__nobody_hears_of_it(people: dict[str, User]) -> None:
    both = factories.make_person("asker", Role.ANALYST, Role.REVIEWER)
    asked = factories.make_pending_request(requester=both)
    with pytest.raises(CannotActOnOwnRequest):
        approve_promotion(request_id=asked.pk, actor=both, reason="I like it")
    with pytest.raises(DecisionCodeUnknown):
        approve_promotion(request_id=asked.pk, actor=people["rita"], reason="Yes", code=DecisionCode.RISK)
    with pytest.raises(DecisionCodeUnknown):
        reject_promotion(request_id=asked.pk, actor=people["rita"], reason="No", code="whatever")
    assert told() == ["promotion.requested"]


def test_request__withdrawn_or_lapsed__is_told_with_the_reason(people: dict[str, User]) -> None:
    asked = factories.make_pending_request(requester=people["asker"])
    withdraw_promotion(request_id=asked.pk, actor=people["asker"], reason="A better one comes")
    assert told()[-1] == "promotion.withdrawn" and mails_to("promotion.withdrawn") == {"rita", "rob"}
    again = request_promotion(candidate=asked.candidate, actor=people["asker"], reason="Now really")
    lapse_stale(now=timezone.now() + timedelta(days=30))
    assert told()[-1] == "promotion.lapsed" and mails_to("promotion.lapsed") == {"asker", "rita", "rob"}
    assert "not decided by" in data_of("promotion.lapsed")["reason"]
    written = sent()
    assert "has lapsed" in written["asker"] and f"/promotionrequest/{again.pk}/" in written["asker"]
    assert all("waits for your decision" not in text for text in written.values()), "nothing is left to decide"


def test_rollback__of_the_live_champion__is_told_and_a_drill_is_not(people: dict[str, User]) -> None:
    first = factories.make_candidate(family="seasonal_naive")
    factories.promote(first, reviewer=people["rita"], requester=people["asker"])
    factories.promote(factories.make_candidate(), reviewer=people["rita"], requester=people["asker"])
    count = WebhookEvent.objects.count()
    champions.assign(version=first, kind=AssignmentKind.ROLLBACK, reason="Too low", actor=people["rob"])
    assert told()[-1] == "champion.rolled_back" and WebhookEvent.objects.count() == count + 1
    data = data_of("champion.rolled_back")
    assert (data["version"], data["displaced"], data["by"], data["reason"]) == (1, 2, people["rob"].pk, "Too low")
    assert mails_to("champion.rolled_back") == {"asker", "rita", "boss"}
    assert "v1 serves again" in sent()["boss"]
    champions.assign(version=first, kind=AssignmentKind.ROLLBACK, channel=Channel.DRILL, actor=None)
    assert WebhookEvent.objects.count() == count + 1


def test_announcement__caller_rolls_back__nothing_is_owed(people: dict[str, User]) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        factories.make_pending_request(requester=people["asker"])
        raise RuntimeError
    assert not WebhookDelivery.objects.exists() and not OutgoingMail.objects.exists()
    assert not PromotionNotice.objects.exists()


def test_mails__switched_off_or_person_gone__are_not_sent(people: dict[str, User]) -> None:
    set_mail_preference(actor=people["rita"], wanted=False)
    factories.make_pending_request(requester=people["asker"])
    assert mails_to("promotion.requested") == {"rob"}
    User.objects.filter(username="rob").update(is_active=False)
    assert sent() == {}, "who left between the request and the mail gets none"
    set_mail_preference(actor=people["rita"], wanted=True)
    assert (
        MailPreference.objects.get().wanted and AuditEvent.objects.filter(event="mails.preference_changed").count() == 2
    )


def test_comment__made__is_kept_audited_and_mailed_to_those_concerned(people: dict[str, User]) -> None:
    asked = factories.make_pending_request(requester=people["asker"])
    made = comment_on_request(request_id=asked.pk, actor=people["boss"], text="  What about <b>Easter</b>?  ")
    assert (made.text, made.author_name) == ("What about <b>Easter</b>?", "boss")
    assert mails_to("promotion.commented") == {"asker", "rita", "rob"}
    comment_on_request(request_id=asked.pk, actor=people["asker"], text="It is in the holdout.")
    assert PromotionNotice.objects.filter(comment__author=people["asker"], recipient=people["boss"]).exists()
    event = AuditEvent.objects.filter(event="promotion.commented").latest("sequence")
    assert event.actor_name == "asker" and event.data["text"] == "It is in the holdout."
    assert "> It is in the holdout." in sent()["boss"] and told() == ["promotion.requested"]


def test_comment__rewritten_or_deleted__is_refused_by_the_database(people: dict[str, User]) -> None:
    asked = factories.make_pending_request(requester=people["asker"])
    comment_on_request(request_id=asked.pk, actor=people["rita"], text="As I said")
    rows = PromotionComment.objects.all()
    changes: tuple[dict[str, Any], ...] = ({"text": "Never"}, {"author_name": "rob"}, {"author": people["rob"]})
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        rows._raw_delete("default")


@pytest.mark.parametrize("text", ["", "   ", "...", "\x00", "x" * 4001])
def test_comment__that_says_nothing_or_too_much__is_refused(people: dict[str, User], text: str) -> None:
    asked = factories.make_pending_request(requester=people["asker"])
    with pytest.raises(CommentRefused):
        comment_on_request(request_id=asked.pk, actor=people["rita"], text=text)


def test_comment__by_viewer_superuser_or_nobody__is_refused(people: dict[str, User]) -> None:
    asked = factories.make_pending_request(requester=people["asker"])
    viewer = factories.make_person("vera", Role.VIEWER)
    viewer.is_superuser = True
    viewer.save()
    for actor in (viewer, None):
        with pytest.raises(RoleRequired):
            comment_on_request(request_id=asked.pk, actor=actor, text="Hello")
