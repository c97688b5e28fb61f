"""Where a request stands, read from the database; and how an owner of the tables would damage it."""

from __future__ import annotations

from django.db import connection

from forecasting.models import PromotionRequest
from tenants.models import Heartbeat


def pending_on_the_heartbeat() -> int:
    return Heartbeat.objects.get(schema_name="alpha").pending_approvals


def state_of(request: PromotionRequest) -> str:
    return PromotionRequest.objects.get(pk=request.pk).state


def tampered(table: str, change: str) -> None:
    """Change what is registered as only the owner of the tables can: with the triggers off that refuse it."""
    _as_owner(table, f"UPDATE forecasting_{table} SET {change}")


def lost(table: str, where: str) -> None:
    """Rows are gone as they could be only by a fault of the disk or by the owner of the tables."""
    _as_owner(table, f"DELETE FROM forecasting_{table} WHERE {where}")


def _as_owner(table: str, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE forecasting_{table} DISABLE TRIGGER USER")
        cursor.execute(statement)
        cursor.execute(f"ALTER TABLE forecasting_{table} ENABLE TRIGGER USER")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
