"""Making tenants and changing their status."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django_tenants.utils import get_public_schema_name, schema_context, schema_exists

from ledger.errors import TransitionRefused
from ledger.schema import connection
from ledger.services.audit import record
from ledger.services.runs import send_queued
from tenants.errors import TenantRefused
from tenants.migration_state import target
from tenants.models import (
    TENANT_TRANSITIONS,
    Domain,
    Heartbeat,
    SchemaStanding,
    SchemaState,
    Tenant,
    TenantStatus,
    TenantTier,
)
from tenants.roles import ensure_roles
from tenants.services.templates import Made, make_schema


def host_of(schema_name: str) -> str:
    """The host that a tenant gets: its schema's name in DNS form below the tenant domain."""
    return f"{schema_name.replace('_', '-')}.{settings.TENANT_DOMAIN}"


def ensure_platform() -> Tenant:
    """Make the public tenant's row and hosts; idempotent. django-tenants resolves every host through such rows."""
    public, _ = Tenant.objects.get_or_create(
        schema_name=get_public_schema_name(), defaults={"name": "Platform", "status": TenantStatus.ACTIVE}
    )
    hosts = dict.fromkeys([settings.PLATFORM_HOST, "127.0.0.1"])
    for host in hosts:
        Domain.objects.get_or_create(
            domain=host, defaults={"tenant": public, "is_primary": host == settings.PLATFORM_HOST}
        )
    return public


def create_tenant(
    *,
    schema_name: str,
    name: str,
    tier: str = TenantTier.SMB,
    status: str = TenantStatus.TRIAL,
    time_zone: str = "UTC",
    currency: str = "USD",
    host: str | None = None,
    actor: AbstractBaseUser | None = None,
) -> Tenant:
    """Make a tenant: its row, host, schema with every table, roles and heartbeat. All or nothing.

    The schema is a clone of the template; where that is no good it is migrated, and the reason is kept.

    Raises ``TenantRefused`` with what to change.
    """
    tenant = Tenant(
        schema_name=schema_name, name=name, tier=tier, status=status, time_zone=time_zone, currency=currency
    )
    domain = Domain(domain=host or host_of(schema_name), is_primary=True)
    with schema_context(get_public_schema_name()):
        _validate(tenant, domain)
        with transaction.atomic():
            tenant.save()
            domain.tenant = tenant
            domain.save()
            Heartbeat.objects.create(schema_name=schema_name)
            made = make_schema(schema_name)
            _note_schema(schema_name, made)
            facts = {**_facts(tenant), "made": made.by, "made_reason": made.reason}
            record(event="tenant.created", actor=actor, subject=tenant, data=facts)
            with schema_context(schema_name):
                ensure_roles()
                record(event="tenant.created", data=facts)
    return tenant


@transaction.atomic
def change_status(*, schema_name: str, status: str, reason: str, actor: AbstractBaseUser | None = None) -> Tenant:
    """Suspend or activate a tenant, with a reason; raises ``TenantRefused``, ``TransitionRefused``.

    Jobs of a suspended tenant that are queued wait; they go on when it is activated.
    """
    if not reason.strip():
        raise TenantRefused("Say why: the reason is kept with the change of status.")
    with schema_context(get_public_schema_name()):
        tenant = Tenant.objects.select_for_update().get(schema_name=schema_name)
        if status not in TENANT_TRANSITIONS[tenant.status]:
            raise TransitionRefused(str(tenant), tenant.status, status)
        before, tenant.status, tenant.status_reason = tenant.status, status, reason.strip()[:240]
        tenant.save(update_fields=["status", "status_reason"])
        record(
            event="tenant.status_changed",
            actor=actor,
            subject=tenant,
            data={"from": before, "to": status, "reason": reason.strip()},
        )
    if before == TenantStatus.SUSPENDED:
        with schema_context(schema_name):
            send_queued()
    return tenant


def require_makeable(**fields: Any) -> None:
    """Raise ``TenantRefused`` where ``create_tenant`` would refuse these fields; makes nothing."""
    with schema_context(get_public_schema_name()):
        _validate(Tenant(**fields), Domain(domain=host_of(fields["schema_name"]), is_primary=True))


def _validate(tenant: Tenant, domain: Domain) -> None:
    try:
        tenant.full_clean()
        domain.full_clean(exclude=["tenant"])
    except ValidationError as error:
        problems = "; ".join(f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items())
        raise TenantRefused(f"The tenant was not created. {problems}") from error
    if schema_exists(tenant.schema_name):
        raise TenantRefused(
            f"A schema {tenant.schema_name!r} exists without a tenant. Choose another name, or remove the schema."
        )


def _note_schema(schema_name: str, made: Made) -> None:
    now = target()
    SchemaState.objects.update_or_create(
        schema_name=schema_name,
        defaults={
            "made": made.by,
            "made_reason": made.reason,
            "state_key": now.key,
            "migrations": len(now.names),
            "standing": SchemaStanding.AT_TARGET,
            "reason": "",
        },
    )


def _facts(tenant: Tenant) -> dict[str, Any]:
    return {
        "schema_name": tenant.schema_name,
        "name": tenant.name,
        "tier": tenant.tier,
        "status": tenant.status,
        "database": connection.settings_dict["NAME"],
    }
