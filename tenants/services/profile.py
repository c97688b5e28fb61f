"""Changing what a tenant is called and how its pages read."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.services.audit import record
from tenants.errors import TenantRefused
from tenants.models import Tenant

_FIELDS = ("name", "tier", "time_zone", "currency")


@transaction.atomic
def change_profile(
    *, schema_name: str, name: str, tier: str, time_zone: str, currency: str, actor: AbstractBaseUser | None = None
) -> Tenant:
    """Set a tenant's name, tier, time zone and currency; raises ``TenantRefused`` with what to change."""
    with schema_context(get_public_schema_name()):
        tenant = Tenant.objects.select_for_update().get(schema_name=schema_name)
        wanted = {"name": name, "tier": tier, "time_zone": time_zone, "currency": currency}
        changes = {field: [getattr(tenant, field), wanted[field]] for field in _FIELDS}
        changes = {field: pair for field, pair in changes.items() if pair[0] != pair[1]}
        for field, (_, value) in changes.items():
            setattr(tenant, field, value)
        try:
            tenant.full_clean()
        except ValidationError as error:
            problems = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
            raise TenantRefused(f"The tenant was not changed. {problems}") from error
        if changes:
            tenant.save(update_fields=list(changes))
            record(event="tenant.changed", actor=actor, subject=tenant, data={"changes": changes})
    return tenant
