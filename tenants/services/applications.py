"""The way of an application: submitted, confirmed, approved (and set up by a job) or rejected; expired, purged."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import TransitionRefused
from ledger.services.audit import actor_name, record
from ledger.services.runs import enqueue
from tenants.errors import AddressRefused, LinkRefused, TenantRefused
from tenants.models import APPLICATION_TRANSITIONS, ApplicationState, MailKind, TenantApplication, TenantTier
from tenants.services import mails
from tenants.services.addresses import TAKEN, label_of, require_free
from tenants.services.links import read_token
from tenants.services.mail_texts import CONFIRM
from tenants.services.operators import require_operator

PROVISION = "tenants.provision"
DECIDE = "tenants.change_tenantapplication"
CORRECTABLE = (ApplicationState.SUBMITTED, ApplicationState.CONFIRMED, ApplicationState.FAILED)


@dataclass(frozen=True)
class Wish:
    """What the form asks; the fields were cleaned by it."""

    business_name: str
    address: str
    tier: TenantTier | str
    country: str
    time_zone: str
    currency: str
    contact_name: str
    email: str
    about: str


@transaction.atomic
def submit(*, wish: Wish) -> TenantApplication:
    """Keep an application and mail the link that confirms it; raises ``AddressRefused``, ``TenantRefused``."""
    with schema_context(get_public_schema_name()):
        expire_due()  # an address that nobody confirmed is free again
        require_free(wish.address)
        application = TenantApplication(
            business_name=wish.business_name,
            schema_name=wish.address.replace("-", "_"),
            tier=wish.tier,
            country=wish.country,
            time_zone=wish.time_zone,
            currency=wish.currency,
            contact_name=wish.contact_name,
            email=wish.email,
            about=wish.about,
            link_expires_at=timezone.now() + timedelta(hours=settings.APPLICATION_CONFIRM_HOURS),
        )
        _save_checked(application)
        mails.post(kind=MailKind.CONFIRM, reference=application.pk, recipient=application.email)
        record(event="application.submitted", subject=application, data=_facts(application))
    return application


def open_link(*, token: str) -> TenantApplication:
    """The application that a mailed link confirms; raises ``LinkRefused``. Changes nothing: scanners open links."""
    pk, nonce = read_token(CONFIRM, get_public_schema_name(), token)
    return _usable(TenantApplication.objects.filter(pk=pk).first(), nonce)


@transaction.atomic
def confirm(*, token: str) -> TenantApplication:
    """Note that the applicant reads mail at the address given; raises ``LinkRefused`` for a used or expired link."""
    pk, nonce = read_token(CONFIRM, get_public_schema_name(), token)
    application = _usable(TenantApplication.objects.select_for_update().filter(pk=pk).first(), nonce)
    move(application, ApplicationState.CONFIRMED, confirmed_at=timezone.now(), nonce=uuid.uuid4())
    record(event="application.confirmed", subject=application, data=_facts(application))
    return application


@transaction.atomic
def correct(
    *,
    application_id: int,
    business_name: str,
    address: str,
    tier: str,
    time_zone: str,
    currency: str,
    actor: AbstractBaseUser | None,
) -> TenantApplication:
    """Change what an application asks for, before it is approved.

    Raises ``PlatformOperatorRequired``, ``AddressRefused``, ``TenantRefused``.
    """
    require_operator(actor, DECIDE)
    application = _locked(application_id)
    if application.state not in CORRECTABLE:
        raise TenantRefused(f"It is {application.get_state_display().lower()}; it cannot be changed any more.")
    require_free(address, except_application=application.pk)
    wanted = {
        "business_name": business_name,
        "schema_name": address.replace("-", "_"),
        "tier": tier,
        "time_zone": time_zone,
        "currency": currency,
    }
    changes = {name: [getattr(application, name), value] for name, value in wanted.items()}
    changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
    if changes:
        for name, (_, value) in changes.items():
            setattr(application, name, value)
        _save_checked(application)
        record(event="application.corrected", actor=actor, subject=application, data={"changes": changes})
    return application


@transaction.atomic
def approve(*, application_id: int, reason: str, actor: AbstractBaseUser | None) -> TenantApplication:
    """Have the tenant set up by a job; also tries again where that failed.

    Checked under the row's lock. Raises ``PlatformOperatorRequired``, ``TransitionRefused`` where somebody decided
    already, ``AddressRefused`` where the address was taken meanwhile.
    """
    require_operator(actor, "tenants.add_tenant")
    require_operator(actor, DECIDE)
    application = _locked(application_id)
    if ApplicationState.APPROVED not in APPLICATION_TRANSITIONS[application.state]:
        raise TransitionRefused(str(application), application.state, ApplicationState.APPROVED)
    _require_reason(reason)
    require_free(label_of(application.schema_name), except_application=application.pk)
    run = enqueue(
        kind=PROVISION, inputs={"application": application.pk}, scope=application.schema_name, requested_by=actor
    )
    _decide(application, ApplicationState.APPROVED, reason, actor, error="", run_id=run.pk)
    record(event="application.approved", actor=actor, subject=application, data=_facts(application, reason=reason))
    return application


@transaction.atomic
def reject(*, application_id: int, reason: str, actor: AbstractBaseUser | None) -> TenantApplication:
    """Turn an application down and mail the reason to who confirmed the e-mail address.

    Raises ``PlatformOperatorRequired``, ``TransitionRefused``.
    """
    require_operator(actor, DECIDE)
    application = _locked(application_id)
    if ApplicationState.REJECTED not in APPLICATION_TRANSITIONS[application.state]:
        raise TransitionRefused(str(application), application.state, ApplicationState.REJECTED)
    _require_reason(reason)
    _decide(application, ApplicationState.REJECTED, reason, actor, ended_at=timezone.now(), nonce=uuid.uuid4())
    if application.confirmed_at is not None:
        mails.post(kind=MailKind.REJECTED, reference=application.pk, recipient=application.email)
    record(event="application.rejected", actor=actor, subject=application, data=_facts(application, reason=reason))
    return application


def expire_due() -> int:
    """End every application that nobody confirmed in time; returns how many."""
    ended = 0
    with schema_context(get_public_schema_name()), transaction.atomic():
        due = TenantApplication.objects.filter(
            state=ApplicationState.SUBMITTED, link_expires_at__lte=timezone.now()
        ).select_for_update(skip_locked=True)
        for application in due[:500]:
            move(application, ApplicationState.EXPIRED, ended_at=timezone.now(), nonce=uuid.uuid4())
            record(event="application.expired", subject=application)
            ended += 1
    return ended


def _usable(application: TenantApplication | None, nonce: uuid.UUID) -> TenantApplication:
    if application is None or application.nonce != nonce or application.state != ApplicationState.SUBMITTED:
        raise LinkRefused("This link was used already, or is not needed any more.")
    if application.link_expires_at <= timezone.now():
        raise LinkRefused("This link has expired. Apply again to get a new one.")
    return application


def _locked(application_id: int) -> TenantApplication:
    return TenantApplication.objects.select_for_update().get(pk=application_id)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise TenantRefused("Say why: the reason is kept with the decision.")


def _decide(
    application: TenantApplication,
    state: ApplicationState,
    reason: str,
    actor: AbstractBaseUser | None,
    **fields: Any,
) -> None:
    move(
        application,
        state,
        reason=reason.strip()[:2000],
        decided_at=timezone.now(),
        decided_by_name=actor_name(actor),
        **fields,
    )


def move(application: TenantApplication, state: ApplicationState, **fields: Any) -> None:
    """Move a locked application along the transition table and save it."""
    if state not in APPLICATION_TRANSITIONS[application.state]:
        raise TransitionRefused(str(application), application.state, state)
    application.state = state
    for name, value in fields.items():
        setattr(application, name, value)
    application.save()


def _save_checked(application: TenantApplication) -> None:
    """Save with the model's validation; two who ask for one address at once are told apart by the database."""
    try:
        application.full_clean(validate_constraints=False)
    except ValidationError as error:
        problems = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise TenantRefused(f"The application was not kept. {problems}") from error
    try:
        with transaction.atomic():
            application.save()
    except IntegrityError as error:
        raise AddressRefused(TAKEN) from error


def _facts(application: TenantApplication, **more: Any) -> dict[str, Any]:
    """What the audit chain says: nothing personal, for it forgets nothing."""
    return {"schema_name": application.schema_name, "tier": application.tier, "state": application.state, **more}
