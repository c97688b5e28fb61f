"""A tenant's endpoints: made, changed, switched, their secrets replaced. Needs tenant_admin, or None for the system."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from integrations.models import SendState, WebhookDelivery, WebhookEndpoint
from integrations.models.webhook import ENDPOINT_TRANSITIONS, SEND_TRANSITIONS, EndpointState
from integrations.services.credentials import reseal, seal, unseal
from integrations.services.webhook_post import target_of
from integrations.services.webhook_signing import new_secret
from integrations.webhook_errors import WebhookNotFound, WebhookRefused
from integrations.webhook_events import PING, all_events
from ledger.errors import DomainError, TransitionRefused
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role

OVERLAP_HOURS = (0, 24, 168)
"""For how long the former secret may go on signing."""
MOST_ENDPOINTS = 20


@transaction.atomic
def create_endpoint(
    *, name: str, url: str, events: Sequence[str], actor: AbstractBaseUser | None
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is shown once and then kept encrypted.

    Raises ``WebhookRefused`` with the problem of each field, ``CredentialsKeyMissing``, ``RoleRequired``.
    """
    _require_admin(actor)
    if WebhookEndpoint.objects.count() >= MOST_ENDPOINTS:
        raise WebhookRefused({"name": f"There are {MOST_ENDPOINTS} endpoints already. Change one of them instead."})
    name, chosen = _checked(None, name, url, events)
    endpoint, secret = WebhookEndpoint(name=name, url=url, events=chosen), new_secret()
    endpoint.created_by_name = actor_name(actor)
    endpoint.sealed_secret = seal(secret, purpose=_purpose(endpoint, "secret"))
    endpoint.save(force_insert=True)
    record(event="webhook.created", actor=actor, subject=endpoint, data=_facts(endpoint))
    return endpoint, secret


@transaction.atomic
def change_endpoint(
    *, endpoint_id: int, name: str, url: str, events: Sequence[str], actor: AbstractBaseUser | None
) -> WebhookEndpoint:
    """Another name, address or choice of events; the secret stays. Raises as ``create_endpoint``."""
    _require_admin(actor)
    endpoint = locked_endpoint(endpoint_id)
    before = _facts(endpoint)
    moved = endpoint.url != url
    endpoint.name, endpoint.events = _checked(endpoint.pk, name, url, events)
    endpoint.url = url
    endpoint.save(update_fields=["name", "url", "events", "changed_at"])
    facts = {"before": before, "after": _facts(endpoint), "address_changed": moved}
    record(event="webhook.changed", actor=actor, subject=endpoint, data=facts)
    return endpoint


@transaction.atomic
def rotate_secret(
    *, endpoint_id: int, overlap_hours: int, actor: AbstractBaseUser | None
) -> tuple[WebhookEndpoint, str]:
    """A new secret, shown once; the former one goes on signing beside it for ``overlap_hours`` (0: it ends now).

    Raises ``WebhookRefused``, ``WebhookNotFound``, ``RoleRequired``, and what ``credentials.unseal`` raises.
    """
    _require_admin(actor)
    if overlap_hours not in OVERLAP_HOURS:
        raise WebhookRefused({"overlap_hours": f"Choose one of {', '.join(map(str, OVERLAP_HOURS))} hours."})
    endpoint, secret = locked_endpoint(endpoint_id), new_secret()
    if overlap_hours:
        former = unseal(endpoint.sealed_secret, purpose=_purpose(endpoint, "secret")).reveal()
        endpoint.sealed_previous = seal(former, purpose=_purpose(endpoint, "previous"))
        endpoint.previous_until = timezone.now() + timedelta(hours=overlap_hours)
    else:
        endpoint.sealed_previous, endpoint.previous_until = "", None
    endpoint.sealed_secret = seal(secret, purpose=_purpose(endpoint, "secret"))
    endpoint.save()
    record(
        event="webhook.secret_rotated",
        actor=actor,
        subject=endpoint,
        data={"overlap_hours": overlap_hours, "former_until": endpoint.previous_until},
    )
    return endpoint, secret


@transaction.atomic
def switch_endpoint(*, endpoint_id: int, on: bool, actor: AbstractBaseUser | None) -> WebhookEndpoint:
    """Switch an endpoint on or off. Off: what still waits is not sent; the log offers to send it again.

    Raises ``TransitionRefused``, ``WebhookNotFound``, ``RoleRequired``.
    """
    _require_admin(actor)
    endpoint = locked_endpoint(endpoint_id)
    set_state(endpoint, EndpointState.ACTIVE if on else EndpointState.OFF, reason="")
    record(event=f"webhook.switched_{'on' if on else 'off'}", actor=actor, subject=endpoint, data=_facts(endpoint))
    return endpoint


def set_state(endpoint: WebhookEndpoint, state: EndpointState, *, reason: str) -> None:
    """Move a locked endpoint along its transition table; leaving ``active`` ends what waits for it."""
    if state not in ENDPOINT_TRANSITIONS[endpoint.state]:
        raise TransitionRefused(endpoint.name, endpoint.get_state_display().lower(), state.label.lower())
    endpoint.state, endpoint.state_reason, endpoint.failures = state, reason[:300], 0
    endpoint.save(update_fields=["state", "state_reason", "failures", "changed_at"])
    if state == EndpointState.ACTIVE:
        return
    for waiting in WebhookDelivery.objects.select_for_update().filter(endpoint=endpoint, state=SendState.WAITING):
        move(waiting, SendState.FAILED)


def move(delivery: WebhookDelivery, state: SendState, **fields: Any) -> None:
    """Move a locked delivery along its transition table and save it."""
    if state not in SEND_TRANSITIONS[delivery.state]:
        raise TransitionRefused(f"Delivery {delivery.pk}", delivery.get_state_display().lower(), state.label.lower())
    delivery.state = state
    for field, value in fields.items():
        setattr(delivery, field, value)
    delivery.save()


def signing_secrets(endpoint: WebhookEndpoint) -> list[str]:
    """The secrets that sign now, newest first; raises what ``credentials.unseal`` raises."""
    found = [unseal(endpoint.sealed_secret, purpose=_purpose(endpoint, "secret")).reveal()]
    if endpoint.previous_until is not None and endpoint.previous_until > timezone.now():
        found.append(unseal(endpoint.sealed_previous, purpose=_purpose(endpoint, "previous")).reveal())
    return found


def locked_endpoint(endpoint_id: int) -> WebhookEndpoint:
    """The endpoint, locked; who only refers to it (a new delivery) is not held up. Raises ``WebhookNotFound``."""
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise WebhookNotFound("webhook", endpoint_id)
    return endpoint


def reencrypt_webhooks() -> tuple[int, dict[str, str]]:
    """Encrypt every secret of the current tenant with the newest key.

    Returns how many endpoints changed, and by name why others could not be opened; those stay as they are.
    """
    changed, problems = 0, {}
    for pk in WebhookEndpoint.objects.values_list("pk", flat=True):
        with transaction.atomic():
            endpoint = locked_endpoint(pk)
            try:
                fresh = {
                    "sealed_secret": reseal(endpoint.sealed_secret, purpose=_purpose(endpoint, "secret")),
                    "sealed_previous": reseal(endpoint.sealed_previous, purpose=_purpose(endpoint, "previous")),
                }
            except DomainError as problem:
                problems[f"webhook {endpoint.name}"] = str(problem)
                continue
            if any(getattr(endpoint, field) != value for field, value in fresh.items()):
                WebhookEndpoint.objects.filter(pk=pk).update(**fresh)
                record(event="webhook.reencrypted", subject=endpoint)
                changed += 1
    return changed, problems


def _checked(own: int | None, name: str, url: str, events: Sequence[str]) -> tuple[str, list[str]]:
    problems: dict[str, str] = {}
    name = " ".join(name.split())
    if not name or len(name) > 80 or not name.isprintable():
        problems["name"] = "Give it a name of up to 80 signs, such as that of the system that listens."
    elif WebhookEndpoint.objects.filter(name=name).exclude(pk=own or 0).exists():
        problems["name"] = "There is a webhook of this name already."
    known = [event.name for event in all_events() if event != PING]
    chosen = [event for event in known if event in set(events)]
    if not chosen or not set(events) <= set(known):
        problems["events"] = "Choose at least one event."
    try:
        target_of(url)
    except WebhookRefused as refused:
        problems |= refused.problems
    if problems:
        raise WebhookRefused(problems)
    return name, chosen


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """For the audit chain: the host alone, since a path or query may hold a token."""
    return {"name": endpoint.name, "host": target_of(endpoint.url).host, "events": endpoint.events}


def _purpose(endpoint: WebhookEndpoint, field: str) -> str:
    return f"webhook:{endpoint.key}:{field}"


def _require_admin(actor: AbstractBaseUser | None) -> None:
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
