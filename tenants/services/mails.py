"""Sending mail so that none is lost: a row first, then a job, tried again with growing pauses, then a person's turn."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import RunAlreadyLive, TransitionRefused
from ledger.models import Run
from ledger.services.audit import record
from ledger.services.runs import enqueue
from tenants.errors import MailNotSent
from tenants.models import MAIL_TRANSITIONS, MailKind, MailState, OutgoingMail
from tenants.services.mail_texts import Written, write
from tenants.services.operators import require_operator

SEND = "tenants.send_mail"
# Pauses before the second, third, … attempt; after the last one a person decides.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))
_MOST_AT_ONCE = 100


@transaction.atomic
def post(*, kind: MailKind, reference: int, recipient: str, schema_name: str = "") -> OutgoingMail:
    """Owe ``recipient`` a mail; it is sent by a job after the caller's transaction has committed.

    ``schema_name`` names the tenant in whose schema the reference is, where it is not in public.
    """
    with schema_context(get_public_schema_name()):
        mail = OutgoingMail.objects.create(kind=kind, reference=reference, recipient=recipient, schema_name=schema_name)
        _enqueue(mail)
    return mail


def deliver(*, mail_id: int) -> str:
    """Send one mail that waits, and return its state. One that was sent, or is being sent elsewhere, is not sent twice.

    Raises ``MailNotSent`` after it was noted when to try again. What else goes wrong is noted likewise and raised as it
    is: a mail that cannot be written must not be tried every few seconds for ever.
    """
    try:
        with transaction.atomic():
            mail = OutgoingMail.objects.select_for_update().filter(pk=mail_id).first()
            if mail is None:
                return "gone"
            if mail.state != MailState.WAITING:
                return mail.state
            written = write(mail)
            if written is None:
                return _close(mail, MailState.DROPPED, attempts=mail.attempts + 1).state
            problem = _send(mail, written)
            if not problem:
                sent = {"attempts": mail.attempts + 1, "sent_at": timezone.now(), "error": ""}
                return _close(mail, MailState.SENT, **sent).state
            _put_off(mail, problem)
    except Exception as error:
        with transaction.atomic():
            waiting = OutgoingMail.objects.select_for_update().filter(pk=mail_id, state=MailState.WAITING).first()
            if waiting is not None:
                _put_off(waiting, f"{type(error).__name__}: {error}"[:500])
        raise
    # Without the server's words: runs and the audit chain keep this for ever, and servers name the recipient.
    then = (
        "tried again by itself" if mail.state == MailState.WAITING else "not tried again: send it again from its page"
    )
    raise MailNotSent(f"{mail} did not go out; the server's answer stands on the mail's page. It is {then}.")


def send_due() -> int:
    """Queue every mail whose next attempt is due; returns how many. The worker calls this every few seconds."""
    queued = 0
    with schema_context(get_public_schema_name()):
        due = OutgoingMail.objects.filter(state=MailState.WAITING, next_attempt_at__lte=timezone.now())
        for mail in due.order_by("next_attempt_at")[:_MOST_AT_ONCE]:
            queued += _enqueue(mail) is not None
    return queued


@transaction.atomic
def send_again(*, mail_id: int, actor: AbstractBaseUser | None) -> OutgoingMail:
    """Send a failed or sent mail once more; raises ``PlatformOperatorRequired``, ``TransitionRefused``."""
    require_operator(actor, "tenants.change_outgoingmail")
    mail = OutgoingMail.objects.select_for_update().get(pk=mail_id)
    if mail.state == MailState.WAITING:
        mail.next_attempt_at = timezone.now()
        mail.save(update_fields=["next_attempt_at"])
    else:
        _close(mail, MailState.WAITING, attempts=0, next_attempt_at=timezone.now())
    record(event="mail.sent_again", actor=actor, subject=mail, data={"kind": mail.kind, "reference": mail.reference})
    _enqueue(mail)
    return mail


def _send(mail: OutgoingMail, written: Written) -> str:
    """Hand the mail to the server; returns what went wrong, in words, or nothing."""
    if not settings.EMAIL_CONFIGURED:
        return "No mail server is set: set FORECOURT_EMAIL_URL and restart."
    try:
        EmailMessage(subject=written.subject, body=written.text, to=[mail.recipient]).send()
    except (OSError, ValueError) as error:  # a server that is down or refuses; an address that cannot be encoded
        return f"{type(error).__name__}: {error}"[:500]
    return ""


def _put_off(mail: OutgoingMail, problem: str) -> None:
    """Count a failed attempt of a locked mail, and note when the next one is due; after the last one it has failed."""
    mail.attempts += 1
    if mail.attempts > len(PAUSES):
        _close(mail, MailState.FAILED, error=problem)
    else:
        mail.error, mail.next_attempt_at = problem, timezone.now() + PAUSES[mail.attempts - 1]
        mail.save()


def _close(mail: OutgoingMail, state: MailState, **fields: object) -> OutgoingMail:
    if state not in MAIL_TRANSITIONS[mail.state]:
        raise TransitionRefused(str(mail), mail.state, state)
    mail.state = state
    for name, value in fields.items():
        setattr(mail, name, value)
    mail.save()
    return mail


def _enqueue(mail: OutgoingMail) -> Run | None:
    try:
        return enqueue(kind=SEND, inputs={"mail": mail.pk}, scope=f"mail {mail.pk}")
    except RunAlreadyLive:
        return None  # on its way already
