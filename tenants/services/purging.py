"""Deleting personal data of applications, invitations and mails when their time is over."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.services.audit import record
from tenants.models import (
    ApplicationState,
    Attempt,
    Invitation,
    InvitationState,
    MailKind,
    MailState,
    OutgoingMail,
    TenantApplication,
)
from tenants.services.applications import expire_due
from tenants.services.limits import LONGEST


def purge() -> dict[str, int]:
    """Expire what is due, then delete what is past ``FORECOURT_APPLICATION_RETENTION_DAYS``; returns counts.

    Rejected and expired applications go entirely; of those that became tenants the personal part is blanked. Ended or
    expired invitations, mails that do not wait, and counted attempts go as well.
    """
    with schema_context(get_public_schema_name()), transaction.atomic():
        counts = {"expired": expire_due()}
        before = timezone.now() - timedelta(days=settings.APPLICATION_RETENTION_DAYS)
        over = TenantApplication.objects.filter(ended_at__lte=before)
        gone = over.filter(state__in=[ApplicationState.REJECTED, ApplicationState.EXPIRED])
        numbers = list(gone.values_list("pk", flat=True))
        about = Q(kind__in=[MailKind.CONFIRM, MailKind.REJECTED], reference__in=numbers)
        old = Q(created_at__lte=before) & ~Q(state=MailState.WAITING)
        counts["mails"] = OutgoingMail.objects.filter(about | old).delete()[0]
        counts["applications"] = gone.delete()[0]
        counts["blanked"] = (
            over.filter(state=ApplicationState.PROVISIONED)
            .exclude(email="", contact_name="", about="")
            .update(email="", contact_name="", about="")
        )
        ended = Q(ended_at__lte=before) | Q(state=InvitationState.OPEN, expires_at__lte=before)
        counts["invitations"] = Invitation.objects.filter(ended).delete()[0]
        Attempt.objects.filter(at__lt=timezone.now() - LONGEST).delete()
        if any(counts.values()):
            record(event="application.purged", data=counts)
    return counts
