"""Where benchmarks run: a database of their own, and tenants that come and go. Import it before any other app."""

from __future__ import annotations

import time
from collections.abc import Callable

import django

from benchmarks import BUILD

django.setup()

from django.core.management import call_command  # noqa: E402  # after Django

from ledger.schema import connection  # noqa: E402
from tenants.models import TenantStatus  # noqa: E402
from tenants.services.provisioning import create_tenant, ensure_platform  # noqa: E402
from tenants.services.templates import ensure_template  # noqa: E402


def timed(step: Callable[[], object]) -> float:
    """Seconds that a step takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def prepare() -> None:
    """Make the folder and the platform's tables."""
    BUILD.mkdir(parents=True, exist_ok=True)
    call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
    ensure_platform()
    ensure_template()


def fresh_tenant(schema: str) -> None:
    """An empty active tenant under that name, whatever was there before."""
    drop_tenant(schema)
    create_tenant(schema_name=schema, name="Benchmark", status=TenantStatus.ACTIVE)


def drop_tenant(schema: str) -> None:
    """Take a benchmark's tenant away again."""
    connection.set_schema_to_public()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        cursor.execute(
            "DELETE FROM tenants_domain WHERE tenant_id IN (SELECT id FROM tenants_tenant WHERE schema_name = %s)",
            [schema],
        )
        for table in ("tenants_heartbeat", "tenants_schemastate", "tenants_tenant"):
            cursor.execute(f"DELETE FROM {table} WHERE schema_name = %s", [schema])  # noqa: S608  # three literals
