"""Keeps the fleet's one-row summary of a tenant current."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django_tenants.utils import get_public_schema_name

from ledger.schema import connection
from tenants.models import Heartbeat


def touch(**fields: Any) -> None:
    """Write ``fields`` into the current tenant's heartbeat, in this transaction. Does nothing on public."""
    schema_name = connection.schema_name
    if schema_name == get_public_schema_name():
        return
    # The table is only in public, so it is found from the tenant's search path too.
    Heartbeat.objects.update_or_create(
        schema_name=schema_name, defaults={**fields, "updated_at": timezone.now()}, create_defaults={**fields}
    )
