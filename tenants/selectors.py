"""Reads of the public schema."""

from __future__ import annotations

from functools import cache

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError
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
    """Whether the schema's jobs may start: a suspended tenant's wait, as do those of one being deleted."""
    with schema_context(get_public_schema_name()):
        resting = (TenantStatus.SUSPENDED, TenantStatus.DELETING)
        return not Tenant.objects.filter(schema_name=schema_name, status__in=resting).exists()


def current_tenant() -> Tenant:
    """The tenant row of the schema that the connection is on (from the middleware, or read)."""
    tenant = connection.tenant
    return tenant if isinstance(tenant, Tenant) else get_tenant(connection.schema_name)


@cache
def _tenant_tables() -> frozenset[str]:
    """Every table that a tenant's schema should hold."""
    labels = {config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS}
    return frozenset(
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in labels and model._meta.managed and not model._meta.proxy
    )


def missing_tables(*schema_names: str) -> dict[str, list[str]]:
    """Tables that each of these schemas should hold and does not, in one query; schemas that miss none are left out.

    A query for a missing table would silently fall through to public, so this is checked, not assumed.
    """
    wanted = _tenant_tables()
    found: dict[str, set[str]] = {name: set() for name in schema_names}
    with connection.cursor() as cursor:
        cursor.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)", [list(schema_names)])
        for schema_name, table in cursor.fetchall():
            found[schema_name].add(table)
    return {name: sorted(wanted - tables) for name, tables in found.items() if wanted - tables}


def incomplete_schemas(*schema_names: str) -> list[str]:
    """Those of these schemas that miss a table, in one query whose answer is as long as the list."""
    wanted = _tenant_tables()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname = ANY(%s) AND tablename = ANY(%s) GROUP BY 1",
            [list(schema_names), sorted(wanted)],
        )
        found = dict(cursor.fetchall())
    return sorted(name for name in schema_names if found.get(name, 0) < len(wanted))


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    """Every migration that this release has for the public schema."""
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(None)
    labels = {config.label for config in apps.get_app_configs() if config.name in settings.SHARED_APPS}
    return frozenset(key for key in loader.disk_migrations if key[0] in labels)


def unapplied_migrations() -> list[str]:
    """Migrations of this release that the public schema lacks; one query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM public.django_migrations")
        applied = set(cursor.fetchall())
    return sorted(f"{app}.{name}" for app, name in _migrations_on_disk() - applied)


def readiness_problems() -> list[str]:
    """Why this process should get no requests: the database does not answer, is older than the code, or a tenant's
    schema is incomplete.

    One line each, without names of tables or hosts: the page is public.
    """
    try:
        lacking = unapplied_migrations()
        incomplete = incomplete_schemas(*serving_schemas())
    except DatabaseError:
        connection.close()
        return ["the database does not answer, or is not migrated"]
    problems = [f"{len(lacking)} migrations are not applied: run manage.py migrate_fleet"] if lacking else []
    if incomplete:
        problems.append(f"{len(incomplete)} tenant schemas are incomplete: run manage.py migrate_fleet")
    return problems
