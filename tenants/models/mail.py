"""Mails that are owed, and invitations that some of them carry."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone


class MailKind(models.TextChoices):
    CONFIRM = "confirm", "Confirm your e-mail address"
    REJECTED = "rejected", "Application rejected"
    INVITATION = "invitation", "Invitation"
    NOTICE = "notice", "Notice of a promotion"
    WEBHOOK = "webhook", "Webhook disabled"


class MailState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"
    DROPPED = "dropped", "Not needed any more"


MAIL_TRANSITIONS: dict[str, frozenset[str]] = {
    MailState.WAITING: frozenset({MailState.SENT, MailState.FAILED, MailState.DROPPED}),
    MailState.FAILED: frozenset({MailState.WAITING}),
    MailState.SENT: frozenset({MailState.WAITING}),  # sent again
    MailState.DROPPED: frozenset(),
}


class OutgoingMail(models.Model):
    """A mail that somebody is owed. Its text is made when it is sent, so no link lies in the database."""

    kind = models.CharField(max_length=12, choices=MailKind)
    reference = models.BigIntegerField(help_text="Number of what it is about, in public or in the tenant's schema.")
    schema_name = models.CharField(max_length=63, blank=True, help_text="The tenant whose affair it is; empty: public.")
    recipient = models.EmailField(max_length=150)
    state = models.CharField(max_length=12, choices=MailState, default=MailState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "mail"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in MailState]), name="tenants_mail_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="sent") | Q(sent_at__isnull=False), name="tenants_mail_sent_when"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"], name="tenants_mail_due_idx"),
            models.Index(fields=["kind", "reference"], name="tenants_mail_about_idx"),
        ]

    def __str__(self) -> str:
        return f"Mail {self.pk}: {self.get_kind_display()}"  # without the recipient: it stands in the audit chain


class InvitationState(models.TextChoices):
    OPEN = "open", "Open"
    ACCEPTED = "accepted", "Accepted"
    REVOKED = "revoked", "Revoked"


INVITATION_TRANSITIONS: dict[str, frozenset[str]] = {
    InvitationState.OPEN: frozenset({InvitationState.ACCEPTED, InvitationState.REVOKED}),
    InvitationState.ACCEPTED: frozenset(),
    InvitationState.REVOKED: frozenset(),
}


class Invitation(models.Model):
    """A person who may set their password on a tenant's host. In public, by schema name: no key leaves a schema."""

    schema_name = models.CharField(max_length=63)
    user_id = models.BigIntegerField(help_text="Number of the user in the tenant's schema.")
    username = models.CharField(max_length=150)
    email = models.EmailField(max_length=150)
    roles = models.JSONField(default=list)
    state = models.CharField(max_length=12, choices=InvitationState, default=InvitationState.OPEN)
    nonce = models.UUIDField(default=uuid.uuid4, editable=False, help_text="Part of the link; changes with its use.")
    expires_at = models.DateTimeField()
    invited_by_name = models.CharField(max_length=150, default="system")
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["schema_name", "user_id"], condition=Q(state="open"), name="tenants_one_open_invitation"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in InvitationState]),
                name="tenants_invitation_state_known",
            ),
        ]

    def __str__(self) -> str:
        return f"Invitation {self.pk} to {self.schema_name}"  # no personal data: it stands in the audit chain

    @property
    def is_open(self) -> bool:
        """Whether its link works now."""
        return self.state == InvitationState.OPEN and self.expires_at > timezone.now()
