"""A customer with a schema of its own, and the hosts it answers on."""

from __future__ import annotations

import zoneinfo
from functools import lru_cache

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django_tenants.models import DomainMixin, TenantMixin

SCHEMA_NAME = RegexValidator(
    r"\A(?!pg_)(?!public\Z)(?!information_schema\Z)[a-z][a-z0-9_]{1,62}\Z",
    "Use 2 to 63 lower-case letters, digits and underscores, starting with a letter.",
)


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    """Read from the disk once a process."""
    return frozenset(zoneinfo.available_timezones())


def known_time_zone(name: str) -> None:
    """Refuse a name that is no IANA time zone."""
    if name not in _time_zones():
        raise ValidationError(f"{name!r} is no IANA time zone; use one such as Europe/Berlin.")


class TenantTier(models.TextChoices):
    SMB = "smb", "Small business"
    ENTERPRISE = "enterprise", "Enterprise"


class TenantStatus(models.TextChoices):
    TRIAL = "trial", "Trial"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    DELETING = "deleting", "Being deleted"


# To being deleted there is a way from each of them, by another service: ``services.deletion``.
TENANT_TRANSITIONS: dict[str, frozenset[str]] = {
    TenantStatus.TRIAL: frozenset({TenantStatus.ACTIVE, TenantStatus.SUSPENDED}),
    TenantStatus.ACTIVE: frozenset({TenantStatus.SUSPENDED}),
    TenantStatus.SUSPENDED: frozenset({TenantStatus.ACTIVE}),
    TenantStatus.DELETING: frozenset(),
}


SERVING = (TenantStatus.TRIAL, TenantStatus.ACTIVE)
"""Their hosts answer and their jobs run."""


class Tenant(TenantMixin, models.Model):  # type: ignore[misc]  # the library has no type information
    """A customer. The row lives in public; everything that is the customer's lives in ``schema_name``."""

    auto_create_schema = False  # provisioning is a service, not a side effect of save()
    auto_drop_schema = False

    schema_name = models.CharField(max_length=63, unique=True, validators=[SCHEMA_NAME])
    name = models.CharField(max_length=120)
    tier = models.CharField(max_length=12, choices=TenantTier, default=TenantTier.SMB)
    status = models.CharField(max_length=12, choices=TenantStatus, default=TenantStatus.TRIAL)
    status_reason = models.CharField(max_length=240, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[known_time_zone])
    currency = models.CharField(
        max_length=3,
        default="USD",
        validators=[RegexValidator(r"\A[A-Z]{3}\Z", "Use an ISO 4217 code such as EUR.")],
    )
    canary = models.BooleanField(default=False, help_text="Migrated before the others; a failure there stops the rest.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return str(self.name)

    @property
    def is_serving(self) -> bool:
        """Whether its hosts answer and its jobs run."""
        return self.status in SERVING


class Domain(DomainMixin, models.Model):  # type: ignore[misc]  # the library has no type information
    """A host name that leads to a tenant."""

    class Meta:
        ordering = ["domain"]

    def __str__(self) -> str:
        return str(self.domain)
