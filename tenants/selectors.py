"""Reads of the public schema."""

from __future__ import annotations

from django_tenants.utils import get_public_schema_name, schema_context

from ledger.schema import connection
from tenants.errors import UnknownTenant
from tenants.models import Tenant, TenantStatus


def get_tenant(schema_name: str) -> Tenant:
    """Return the customer of that schema; raise ``UnknownTenant`` with the names that exist."""
    with schema_context(get_public_schema_name()):
        customers = Tenant.objects.exclude(schema_name=get_public_schema_name())
        tenant = customers.filter(schema_name=schema_name).first()
        if tenant is None:
            raise UnknownTenant(
                schema_name, list(customers.values_list("schema_name", flat=True).order_by("schema_name"))
            )
        return tenant


def serving_schemas() -> list[str]:
    """Schemas of the tenants whose jobs run (trial and active), by name."""
    with schema_context(get_public_schema_name()):
        return list(
            Tenant.objects.exclude(schema_name=get_public_schema_name())
            .filter(status__in=[TenantStatus.TRIAL, TenantStatus.ACTIVE])
            .values_list("schema_name", flat=True)
            .order_by("schema_name")
        )


def is_not_suspended(schema_name: str) -> bool:
    """Whether the schema's jobs may start: a suspended tenant's wait."""
    with schema_context(get_public_schema_name()):
        return not Tenant.objects.filter(schema_name=schema_name, status=TenantStatus.SUSPENDED).exists()


def current_tenant() -> Tenant:
    """The tenant row of the schema that the connection is on (from the middleware, or read)."""
    tenant = connection.tenant
    return tenant if isinstance(tenant, Tenant) else get_tenant(connection.schema_name)


def missing_tables(schema_name: str) -> list[str]:
    """Tables that ``schema_name`` should hold and does not.

    A query for a missing table would silently fall through to public, so this is checked, not assumed.
    """
    from django.apps import apps
    from django.conf import settings

    labels = {config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS}
    wanted = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in labels and model._meta.managed and not model._meta.proxy
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", [schema_name])
        found = {row[0] for row in cursor.fetchall()}
    return sorted(wanted - found)
