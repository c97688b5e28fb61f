"""Telling endpoints what happened: a row in the transaction in which it happened, then a job, tried again with growing
pauses, then a person's turn. At least once; an event's id stays the same however often it is sent."""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Min
from django.utils import timezone
from django_tenants.utils import schema_context

from integrations.models import EndpointState, SendState, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent
from integrations.services.webhook_post import Answer, post
from integrations.services.webhook_signing import HEADER, signature
from integrations.services.webhooks import locked_endpoint, move, set_state, signing_secrets
from integrations.webhook_errors import WebhookIdle, WebhookNotDelivered, WebhookNotFound
from integrations.webhook_events import PING, event_type
from ledger.context import RunContext
from ledger.errors import DomainError, RunAlreadyLive
from ledger.schema import connection
from ledger.services import runs
from ledger.services.audit import record
from tenants.models import Heartbeat, MailKind
from tenants.roles import Role, people_with, require_role
from tenants.selectors import serving_schemas
from tenants.services import mails

KIND = "integrations.webhook"
ATTEMPTS = 8
"""Of one delivery; after the last one a person decides."""
FAILURES_IN_A_ROW = 24
"""Failed attempts, over all deliveries, after which an endpoint is disabled."""
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 6 * 3600.0
_MOST_AT_ONCE = 100
_ADDRESS = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")


@transaction.atomic
def publish(*, event: str, data: Mapping[str, Any]) -> WebhookEvent | None:
    """Owe the event to every active endpoint that takes it; None where none does. Call it where it happens: the rows
    stand and fall with the caller's transaction.

    ``data`` has exactly the catalogue's entries; e-mail addresses in its texts are taken out.
    """
    _require_described(event, data)
    wanted = [one for one in WebhookEndpoint.objects.filter(state=EndpointState.ACTIVE) if event in one.events]
    return _owe(event, data, wanted) if wanted else None


@transaction.atomic
def send_test(*, endpoint_id: int, actor: AbstractBaseUser | None) -> WebhookDelivery:
    """Owe a test event to one endpoint. Raises ``WebhookIdle``, ``WebhookNotFound``, ``RoleRequired``."""
    _require_admin(actor)
    endpoint = locked_endpoint(endpoint_id)
    _require_active(endpoint)
    event = _owe(PING.name, {"endpoint": endpoint.name}, [endpoint])
    record(event="webhook.tested", actor=actor, subject=endpoint, data={"event": str(event.pk)})
    return event.deliveries.get()


@transaction.atomic
def redeliver(*, delivery_id: int, actor: AbstractBaseUser | None) -> WebhookDelivery:
    """Send one event once more, with all its attempts; the id stays. One that waits is tried at once.

    Raises ``WebhookIdle``, ``WebhookNotFound``, ``RoleRequired``.
    """
    _require_admin(actor)
    delivery = _locked(delivery_id)
    _require_active(delivery.endpoint)
    if delivery.state == SendState.WAITING:
        delivery.next_attempt_at = timezone.now()
        delivery.save(update_fields=["next_attempt_at"])
    else:
        move(delivery, SendState.WAITING, attempts=0, next_attempt_at=timezone.now())
    record(event="webhook.redelivered", actor=actor, subject=delivery.endpoint, data={"event": str(delivery.event_id)})
    _enqueue(delivery)
    _note_due()
    return delivery


def deliver(*, ctx: RunContext, delivery_id: int) -> str:
    """Make one attempt and return the delivery's state; one that does not wait any more is left as it is.

    Raises ``WebhookNotDelivered`` after it was noted when to try again.
    """
    delivery = WebhookDelivery.objects.select_related("endpoint", "event").filter(pk=delivery_id).first()
    if delivery is None:
        raise WebhookNotFound("delivery", delivery_id)
    if delivery.state != SendState.WAITING:
        return delivery.state
    if delivery.endpoint.state != EndpointState.ACTIVE:
        return _give_up(ctx, delivery_id)
    at, answer = timezone.now(), _attempt(delivery)
    with transaction.atomic():
        ctx.fence()
        endpoint = locked_endpoint(delivery.endpoint_id)
        delivery = _locked(delivery_id)
        WebhookAttempt.objects.create(
            delivery=delivery, at=at, seconds=answer.seconds, status=answer.status, answer=answer.body,
            problem=answer.problem,
        )  # fmt: skip
        if delivery.state == SendState.WAITING:
            _note(delivery, endpoint, answer)
        _note_due()
    if not answer.ok:
        again = "tried again by itself" if delivery.state == SendState.WAITING else "not tried again by itself"
        raise WebhookNotDelivered(f"{delivery} did not arrive: {answer.problem} It is {again}.")
    return delivery.state


def send_due() -> int:
    """Queue every delivery whose next attempt is due, of any serving tenant; returns how many. The worker calls this
    every few seconds; the fleet's heartbeats say where something is due, so that no schema is opened in vain."""
    due = Heartbeat.objects.filter(webhooks_due_at__lte=timezone.now()).values_list("schema_name", flat=True)
    queued = 0
    for schema_name in sorted(set(due) & set(serving_schemas())):
        with schema_context(schema_name):
            waiting = WebhookDelivery.objects.filter(state=SendState.WAITING, next_attempt_at__lte=timezone.now())
            for delivery in waiting.select_related("endpoint", "event").order_by("next_attempt_at")[:_MOST_AT_ONCE]:
                queued += _enqueue(delivery)
            with transaction.atomic():
                _note_due()
    return queued


def pause_after(attempts: int) -> timedelta:
    """Until the next attempt: 1, 4, 16, … minutes, at most six hours, each a fifth shorter or longer by chance, so that
    what failed together does not come back together."""
    seconds = min(_FIRST_PAUSE * 4 ** (attempts - 1), _LONGEST_PAUSE)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311  # no secret depends on it


def _owe(event: str, data: Mapping[str, Any], endpoints: list[WebhookEndpoint]) -> WebhookEvent:
    made = WebhookEvent(id=uuid.uuid4(), type=event, at=timezone.now())
    made.body = json.dumps(
        {
            "id": str(made.pk),
            "type": event,
            "at": made.at,
            "tenant": connection.schema_name,
            "data": without_addresses(dict(data)),
        },
        cls=DjangoJSONEncoder,
        sort_keys=True,
        ensure_ascii=False,
    )
    made.save(force_insert=True)
    for endpoint in endpoints:
        _enqueue(WebhookDelivery.objects.create(endpoint=endpoint, event=made))
    _note_due()
    return made


def without_addresses(value: Any) -> Any:
    """``value`` with every e-mail address in its texts taken out: people's addresses are nobody's business."""
    if isinstance(value, Mapping):
        return {key: without_addresses(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_addresses(one) for one in value]
    return _ADDRESS.sub("(address)", value) if isinstance(value, str) else value


def _attempt(delivery: WebhookDelivery) -> Answer:
    body, at = delivery.event.body.encode(), int(time.time())
    try:
        signed = signature(body, at=at, keys=signing_secrets(delivery.endpoint))
    except DomainError as error:  # a key that is lost or a secret that was altered
        return Answer(None, "", str(error)[:400], 0.0)
    return post(
        delivery.endpoint.url,
        body,
        {
            HEADER: signed,
            "Content-Type": "application/json",
            "User-Agent": "Forecourt-Webhooks/1",
            "Forecourt-Event": delivery.event.type,
            "Forecourt-Event-Id": str(delivery.event_id),
            "Forecourt-Delivery": str(delivery.pk),
        },
    )


@transaction.atomic
def _give_up(ctx: RunContext, delivery_id: int) -> str:
    """End what waits for an endpoint that was switched off meanwhile."""
    ctx.fence()
    delivery = _locked(delivery_id)
    if delivery.state == SendState.WAITING and delivery.endpoint.state != EndpointState.ACTIVE:
        move(delivery, SendState.FAILED)
    _note_due()
    return delivery.state


def _note(delivery: WebhookDelivery, endpoint: WebhookEndpoint, answer: Answer) -> None:
    """Keep what an attempt led to, in the delivery and in the endpoint; both are locked."""
    delivery.attempts += 1
    if answer.ok:
        move(delivery, SendState.DELIVERED, delivered_at=timezone.now())
    elif delivery.attempts >= ATTEMPTS:
        move(delivery, SendState.FAILED)
    else:
        delivery.next_attempt_at = timezone.now() + pause_after(delivery.attempts)
        delivery.save()
    endpoint.failures = 0 if answer.ok else endpoint.failures + 1
    endpoint.save(update_fields=["failures"])
    if endpoint.failures >= FAILURES_IN_A_ROW and endpoint.state == EndpointState.ACTIVE:
        _disable(endpoint, answer)
        delivery.refresh_from_db()


def _disable(endpoint: WebhookEndpoint, answer: Answer) -> None:
    """Stop bothering an endpoint that takes nothing, and tell the tenant's admins."""
    failures = endpoint.failures
    set_state(
        endpoint, EndpointState.DISABLED, reason=f"{failures} attempts in a row failed; the last one: {answer.problem}"
    )
    record(event="webhook.disabled", subject=endpoint, data={"failures": failures, "last_status": answer.status})
    for address in people_with(Role.TENANT_ADMIN).exclude(email="").values_list("email", flat=True):
        mails.post(kind=MailKind.WEBHOOK, reference=endpoint.pk, recipient=address, schema_name=connection.schema_name)


def _note_due() -> None:
    """Tell the fleet when the next attempt of this tenant is due. The row is locked before it is reckoned, so that two
    who write at the same time both count."""
    mine = Heartbeat.objects.select_for_update().filter(schema_name=connection.schema_name)
    if not mine.exists():
        Heartbeat.objects.get_or_create(schema_name=connection.schema_name)
    list(mine)
    waiting = WebhookDelivery.objects.filter(state=SendState.WAITING)
    Heartbeat.objects.filter(schema_name=connection.schema_name).update(
        webhooks_due_at=waiting.aggregate(due=Min("next_attempt_at"))["due"]
    )


def _enqueue(delivery: WebhookDelivery) -> bool:
    try:
        runs.enqueue(kind=KIND, inputs={"delivery": delivery.pk}, scope=f"webhook {delivery.pk}")
    except RunAlreadyLive:
        return False  # on its way already
    return True


def _locked(delivery_id: int) -> WebhookDelivery:
    found = WebhookDelivery.objects.select_for_update(of=("self",)).select_related("endpoint", "event")
    delivery = found.filter(pk=delivery_id).first()
    if delivery is None:
        raise WebhookNotFound("delivery", delivery_id)
    return delivery


def _require_described(event: str, data: Mapping[str, Any]) -> None:
    described = set(event_type(event).data)
    if set(data) != described:
        raise ValueError(f"{event} carries {sorted(described)}, not {sorted(data)}")


def _require_active(endpoint: WebhookEndpoint) -> None:
    if endpoint.state != EndpointState.ACTIVE:
        raise WebhookIdle(endpoint.name, endpoint.get_state_display().lower())


def _require_admin(actor: AbstractBaseUser | None) -> None:
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
