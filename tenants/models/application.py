"""A business that asks to become a tenant, and its way from the form to a schema of its own."""

from __future__ import annotations

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models.tenant import SCHEMA_NAME, Tenant, TenantTier, known_time_zone


class ApplicationState(models.TextChoices):
    SUBMITTED = "submitted", "Waiting for the e-mail to be confirmed"
    CONFIRMED = "confirmed", "Waiting for an operator"
    APPROVED = "approved", "Being set up"
    PROVISIONED = "provisioned", "Set up"
    FAILED = "failed", "Setting up failed"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"


APPLICATION_TRANSITIONS: dict[str, frozenset[str]] = {
    ApplicationState.SUBMITTED: frozenset(
        {ApplicationState.CONFIRMED, ApplicationState.REJECTED, ApplicationState.EXPIRED}
    ),
    ApplicationState.CONFIRMED: frozenset({ApplicationState.APPROVED, ApplicationState.REJECTED}),
    ApplicationState.APPROVED: frozenset({ApplicationState.PROVISIONED, ApplicationState.FAILED}),
    ApplicationState.FAILED: frozenset({ApplicationState.APPROVED, ApplicationState.REJECTED}),
    ApplicationState.PROVISIONED: frozenset(),
    ApplicationState.REJECTED: frozenset(),
    ApplicationState.EXPIRED: frozenset(),
}
# While one of these holds an address, nobody else can apply for it.
OPEN_STATES = (
    ApplicationState.SUBMITTED,
    ApplicationState.CONFIRMED,
    ApplicationState.APPROVED,
    ApplicationState.FAILED,
)


class TenantApplication(models.Model):
    """One application. Personal data: ``contact_name``, ``email``, ``about``; purging blanks or deletes them."""

    business_name = models.CharField(max_length=120)
    schema_name = models.CharField(max_length=63, validators=[SCHEMA_NAME], help_text="The address that was asked for.")
    tier = models.CharField(max_length=12, choices=TenantTier, default=TenantTier.SMB)
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166 code; empty where it is not listed.")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[known_time_zone])
    currency = models.CharField(
        max_length=3,
        default="USD",
        validators=[RegexValidator(r"\A[A-Z]{3}\Z", "Use an ISO 4217 code such as EUR.")],
    )
    contact_name = models.CharField(max_length=120, blank=True)
    email = models.EmailField(max_length=150, blank=True)
    about = models.TextField(max_length=2000, blank=True, help_text="What they sell, and in how many shops.")
    state = models.CharField(max_length=12, choices=ApplicationState, default=ApplicationState.SUBMITTED)
    nonce = models.UUIDField(default=uuid.uuid4, editable=False, help_text="Part of the link; changes with its use.")
    link_expires_at = models.DateTimeField()
    submitted_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by_name = models.CharField(max_length=150, blank=True)
    reason = models.TextField(max_length=2000, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it was set up, rejected or expired.")
    error = models.TextField(blank=True)
    run_id = models.UUIDField(null=True, blank=True, help_text="The newest run that set it up.")
    tenant = models.OneToOneField(Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="application")

    class Meta:
        verbose_name = "application"
        ordering = ["-submitted_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["schema_name"],
                condition=Q(state__in=["submitted", "confirmed", "approved", "failed"]),
                name="tenants_one_open_application",
            ),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in ApplicationState]),
                name="tenants_application_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "provisioned", "failed", "rejected"])
                | (~Q(decided_by_name="") & Q(decided_at__isnull=False)),
                name="tenants_application_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["confirmed", "approved", "provisioned", "failed"])
                | Q(confirmed_at__isnull=False),
                name="tenants_application_confirmed_first",
            ),
            models.CheckConstraint(
                condition=Q(state="provisioned", tenant__isnull=False) | (~Q(state="provisioned") & Q(tenant=None)),
                name="tenants_application_has_its_tenant",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["provisioned", "rejected", "expired"], ended_at__isnull=False)
                | (~Q(state__in=["provisioned", "rejected", "expired"]) & Q(ended_at=None)),
                name="tenants_application_end_known",
            ),
        ]
        indexes = [models.Index(fields=["state", "link_expires_at"], name="tenants_application_state_idx")]

    def __str__(self) -> str:
        # Stands in the audit chain, which keeps everything: no personal data here.
        return f"Application {self.pk} for {self.schema_name}"


class Attempt(models.Model):
    """One use of a public form, for its limits. The key is a keyed hash: no address or e-mail is kept."""

    key = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["key", "at"], name="tenants_attempt_key_idx")]

    def __str__(self) -> str:
        return self.key
