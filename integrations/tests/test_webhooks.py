"""Webhooks: owed where it happens, signed, tried again, disabled, sent again by a person; a secret stays one."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_tenants.utils import schema_context
from hypothesis import given
from hypothesis import strategies as st

from integrations.models import EndpointState, SendState, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent
from integrations.services import webhook_sending, webhooks
from integrations.services.credentials import CredentialUnreadable
from integrations.services.webhook_sending import KIND, pause_after, publish, redeliver, send_due, send_test
from integrations.services.webhooks import change_endpoint, create_endpoint, rotate_secret, switch_endpoint
from integrations.tests.webhook_server import Receiver, serving
from integrations.webhook_errors import WebhookIdle, WebhookRefused
from integrations.webhook_events import EventType, register_event
from ledger.execution import execute
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection
from tenants.errors import RoleRequired
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role
from tenants.tests.application_world import work_mails

SAID = "test.happened"
register_event(EventType(SAID, "Something", "In tests.", {"what": "What."}, {"what": "this"}))


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with serving() as made:
        yield made


def make_endpoint(receiver: Receiver, path: str = "/as-told", name: str = "Ordering") -> tuple[WebhookEndpoint, str]:
    return create_endpoint(name=name, url=receiver.url(path), events=[SAID], actor=None)


def work() -> list[str]:
    """Make the attempts that are queued; the state that each run ended in."""
    queued = Run.objects.filter(kind=KIND, state=RunState.QUEUED).order_by("queued_at")
    ended = []
    for pk in list(queued.values_list("pk", flat=True)):
        ended.append(execute("alpha", str(pk)))
        connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
    return ended


def come_due() -> int:
    """Let every pause be over, and queue what waits as the worker does."""
    past = timezone.now() - timedelta(seconds=1)
    WebhookDelivery.objects.filter(state=SendState.WAITING).update(next_attempt_at=past)
    Heartbeat.objects.filter(schema_name="alpha").update(webhooks_due_at=past)
    return send_due()


def check(secret: str, header: str, body: bytes) -> bool:
    """As a receiver does."""
    parts = [part.split("=", 1) for part in header.split(",")]
    at = next(value for key, value in parts if key == "t")
    wanted = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(value, wanted) for key, value in parts if key == "v1")


def test_webhook__event__arrives_signed_with_id_and_is_logged(alpha: Tenant, receiver: Receiver) -> None:
    endpoint, secret = make_endpoint(receiver)
    event = publish(event=SAID, data={"what": "a decision"})
    assert event is not None and work() == [RunState.SUCCEEDED]
    headers, body = receiver.got[0]
    assert check(secret, headers["Forecourt-Signature"], body) and not check(
        "whsec_x", headers["Forecourt-Signature"], body
    )
    assert not check(secret, headers["Forecourt-Signature"], body + b" ")
    told = json.loads(body)
    assert (told["id"], told["type"], told["tenant"], told["data"]) == (
        str(event.pk),
        SAID,
        "alpha",
        {"what": "a decision"},
    )
    assert (headers["Forecourt-Event"], headers["Forecourt-Event-Id"]) == (SAID, str(event.pk))
    delivery = WebhookDelivery.objects.get()
    attempt = delivery.log.get()
    assert (delivery.state, attempt.status, attempt.answer) == (SendState.DELIVERED, 200, "as told � <b>&")
    assert Heartbeat.objects.get(schema_name="alpha").webhooks_due_at is None and send_due() == 0
    endpoint.refresh_from_db()
    assert secret not in json.dumps([endpoint.sealed_secret, *AuditEvent.objects.values_list("data", flat=True)])


def test_webhook__server_fails_then_recovers__tried_again_with_the_same_id(alpha: Tenant, receiver: Receiver) -> None:
    make_endpoint(receiver)
    receiver.status = 500
    publish(event=SAID, data={"what": "x"})
    assert work() == [RunState.FAILED]
    delivery = WebhookDelivery.objects.get()
    due = Heartbeat.objects.get(schema_name="alpha").webhooks_due_at
    assert (delivery.state, delivery.attempts) == (SendState.WAITING, 1) and due == delivery.next_attempt_at
    assert due is not None and due > timezone.now() and send_due() == 0, "not before its pause is over"
    receiver.status = 200
    assert come_due() == 1 and send_due() == 0, "one at a time"
    assert work() == [RunState.SUCCEEDED]
    bodies = [body for _, body in receiver.got]
    assert len(bodies) == 2 and bodies[0] == bodies[1]
    assert [one.status for one in WebhookAttempt.objects.order_by("pk")] == [500, 200]
    assert WebhookEndpoint.objects.get().failures == 0


def test_webhook__all_attempts_fail__gives_up_and_a_person_sends_it_again(alpha: Tenant, receiver: Receiver) -> None:
    make_endpoint(receiver)
    receiver.status = 503
    publish(event=SAID, data={"what": "x"})
    work()
    while come_due():
        work()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == (SendState.FAILED, webhook_sending.ATTEMPTS)
    assert Heartbeat.objects.get(schema_name="alpha").webhooks_due_at is None
    receiver.status = 204
    redeliver(delivery_id=delivery.pk, actor=None)
    assert work() == [RunState.SUCCEEDED]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.log.count()) == (SendState.DELIVERED, webhook_sending.ATTEMPTS + 1)


def test_pause__grows_fourfold_to_six_hours_and_differs_by_chance() -> None:
    for attempt, minutes in enumerate((1, 4, 16, 64, 256, 360, 360), 1):
        pauses = {pause_after(attempt).total_seconds() / 60 for _ in range(20)}
        assert len(pauses) > 1 and all(0.8 * minutes <= pause <= 1.2 * minutes for pause in pauses)


def test_webhook__too_many_failures_in_a_row__is_disabled_and_the_admins_are_told(
    alpha: Tenant, receiver: Receiver, make_user: Any, settings: Any
) -> None:
    make_user("boss", Role.TENANT_ADMIN, email="boss@example.com")
    make_user("other", Role.ANALYST, email="other@example.com")
    endpoint, _ = make_endpoint(receiver)
    receiver.status = 500
    WebhookEndpoint.objects.update(failures=webhook_sending.FAILURES_IN_A_ROW - 1)
    publish(event=SAID, data={"what": "first"})
    publish(event=SAID, data={"what": "second"})
    work()
    endpoint.refresh_from_db()
    assert endpoint.state == EndpointState.DISABLED and "status 500" in endpoint.state_reason
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {SendState.FAILED}
    assert len(receiver.got) == 1, "the second one is not sent any more"
    assert publish(event=SAID, data={"what": "third"}) is None
    with pytest.raises(WebhookIdle):
        redeliver(delivery_id=WebhookDelivery.objects.latest("pk").pk, actor=None)
    connection.set_schema_to_public()
    work_mails()
    assert [(sent.to, endpoint.name in sent.body) for sent in mail.outbox] == [(["boss@example.com"], True)]
    connection.set_tenant(alpha)
    switch_endpoint(endpoint_id=endpoint.pk, on=True, actor=None)
    receiver.status = 200
    redeliver(delivery_id=WebhookDelivery.objects.latest("pk").pk, actor=None)
    assert work() == [RunState.SUCCEEDED]


def test_webhook__switched_off_with_one_on_its_way__nothing_is_sent(alpha: Tenant, receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(receiver)
    publish(event=SAID, data={"what": "x"})
    switch_endpoint(endpoint_id=endpoint.pk, on=False, actor=None)
    work()
    assert not receiver.got and WebhookDelivery.objects.get().state == SendState.FAILED


def test_publish__caller_rolls_back__nothing_is_owed(throwaway: Tenant, receiver: Receiver) -> None:
    make_endpoint(receiver)
    before = Run.objects.count()
    with pytest.raises(RuntimeError), transaction.atomic():
        publish(event=SAID, data={"what": "never"})
        raise RuntimeError
    assert not WebhookEvent.objects.exists() and Run.objects.count() == before
    with transaction.atomic():
        publish(event=SAID, data={"what": "once"})
        assert not receiver.got, "nothing is sent before the commit"
    assert WebhookEvent.objects.count() == 1 and Run.objects.filter(kind=KIND, state=RunState.QUEUED).count() == 1


def test_publish__data_that_the_catalogue_does_not_describe__is_an_error_of_ours(alpha: Tenant) -> None:
    with pytest.raises(ValueError, match="carries"):
        publish(event=SAID, data={"what": "x", "secret": "y"})
    with pytest.raises(KeyError):
        publish(event="test.unknown", data={})


@given(
    st.recursive(
        st.text() | st.emails() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_payload__e_mail_addresses_anywhere__are_taken_out(value: Any) -> None:
    def texts(one: Any) -> Iterator[str]:
        if isinstance(one, dict):
            for inner in one.values():
                yield from texts(inner)
        elif isinstance(one, list):
            for inner in one:
                yield from texts(inner)
        elif isinstance(one, str):
            yield one

    shown = webhook_sending.without_addresses(value)
    for text in texts(shown):
        assert not webhook_sending._ADDRESS.search(text)


def test_payload__address_within_a_sentence__only_the_address_goes() -> None:
    said = "Ask ann.b+c@example.com, or <bob@shop.example>."
    assert webhook_sending.without_addresses(said) == "Ask (address), or <(address)>."


def test_event__rewritten_or_deleted__is_refused_by_the_database(alpha: Tenant, receiver: Receiver) -> None:
    make_endpoint(receiver)
    event = publish(event=SAID, data={"what": "x"})
    assert event is not None
    for act in (
        lambda: WebhookEvent.objects.update(body="{}"),
        lambda: WebhookEvent.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            act()


def test_rotation__with_overlap__both_secrets_sign_until_it_ends(alpha: Tenant, receiver: Receiver) -> None:
    endpoint, former = make_endpoint(receiver)
    _, fresh = rotate_secret(endpoint_id=endpoint.pk, overlap_hours=24, actor=None)
    publish(event=SAID, data={"what": "x"})
    work()
    headers, body = receiver.got[-1]
    assert fresh != former and all(check(one, headers["Forecourt-Signature"], body) for one in (former, fresh))
    WebhookEndpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    publish(event=SAID, data={"what": "y"})
    work()
    headers, body = receiver.got[-1]
    assert check(fresh, headers["Forecourt-Signature"], body) and not check(
        former, headers["Forecourt-Signature"], body
    )
    _, newest = rotate_secret(endpoint_id=endpoint.pk, overlap_hours=0, actor=None)
    assert webhooks.signing_secrets(WebhookEndpoint.objects.get()) == [newest]
    with pytest.raises(WebhookRefused):
        rotate_secret(endpoint_id=endpoint.pk, overlap_hours=10_000, actor=None)


def test_secret__copied_to_another_endpoint_or_altered__signs_nothing(alpha: Tenant, receiver: Receiver) -> None:
    one, _ = make_endpoint(receiver)
    two, _ = make_endpoint(receiver, name="Second")
    WebhookEndpoint.objects.filter(pk=two.pk).update(sealed_secret=one.sealed_secret)
    with pytest.raises(CredentialUnreadable):
        webhooks.signing_secrets(WebhookEndpoint.objects.get(pk=two.pk))
    publish(event=SAID, data={"what": "x"})
    work()
    assert len(receiver.got) == 1, "only the whole one is sent"
    assert "altered" in WebhookAttempt.objects.get(delivery__endpoint=two).problem


def test_keys__rotated__secrets_stay_and_open_with_the_newest(alpha: Tenant, receiver: Receiver, settings: Any) -> None:
    _, secret = make_endpoint(receiver)
    settings.CREDENTIALS_KEYS = ["k" * 43, *settings.CREDENTIALS_KEYS]
    assert webhooks.reencrypt_webhooks() == (1, {}) and webhooks.reencrypt_webhooks() == (0, {})
    settings.CREDENTIALS_KEYS = ["k" * 43]
    assert webhooks.signing_secrets(WebhookEndpoint.objects.get()) == [secret]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "  "}, "name"), ({"name": "x" * 81}, "name"), ({"name": "Taken"}, "name"),
        ({"url": "http://user:word@example.com/"}, "url"), ({"url": "gopher://example.com"}, "url"),
        ({"events": []}, "events"), ({"events": ["nothing.known"]}, "events"), ({"events": ["webhook.ping"]}, "events"),
    ],
)  # fmt: skip
def test_endpoint__bad_input__is_refused_beside_its_field(
    alpha: Tenant, receiver: Receiver, changes: dict[str, Any], field: str
) -> None:
    make_endpoint(receiver, name="Taken")
    good: dict[str, Any] = {"name": "New", "url": "https://example.com/", "events": [SAID]}
    with pytest.raises(WebhookRefused) as refused:
        create_endpoint(**{**good, **changes}, actor=None)
    assert set(refused.value.problems) == {field}


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_endpoint__by_other_roles_and_superusers__is_refused(
    alpha: Tenant, receiver: Receiver, make_user: Any, role: Role
) -> None:
    endpoint, _ = make_endpoint(receiver)
    publish(event=SAID, data={"what": "x"})
    delivery = WebhookDelivery.objects.get()
    person: User = make_user("somebody", role, is_superuser=True)
    acts = (
        lambda: create_endpoint(name="N", url="https://example.com/", events=[SAID], actor=person),
        lambda: change_endpoint(endpoint_id=endpoint.pk, name="N", url="https://e.com/", events=[SAID], actor=person),
        lambda: rotate_secret(endpoint_id=endpoint.pk, overlap_hours=0, actor=person),
        lambda: switch_endpoint(endpoint_id=endpoint.pk, on=False, actor=person),
        lambda: send_test(endpoint_id=endpoint.pk, actor=person),
        lambda: redeliver(delivery_id=delivery.pk, actor=person),
    )
    for act in acts:
        with pytest.raises(RoleRequired):
            act()


def test_due__of_another_tenant__is_sent_in_its_schema_and_suspended_ones_wait(
    alpha: Tenant, beta_tenant: Tenant, receiver: Receiver
) -> None:
    with schema_context("beta"):
        make_endpoint(receiver)
        publish(event=SAID, data={"what": "theirs"})
        Run.objects.filter(kind=KIND).update(state=RunState.CANCELLED)
    assert not WebhookDelivery.objects.exists()
    Tenant.objects.filter(pk=beta_tenant.pk).update(status="suspended")
    assert send_due() == 0
    Tenant.objects.filter(pk=beta_tenant.pk).update(status="active")
    assert send_due() == 1 and not Run.objects.filter(kind=KIND).exists()
