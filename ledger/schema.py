"""The database connection, typed with what django-tenants adds to it."""

from __future__ import annotations

from typing import Any, Protocol, cast

from django.db import connection as _connection
from django.db.backends.utils import CursorWrapper


class TenantConnection(Protocol):
    """What the code uses of the connection: its schema, and ways to change it."""

    schema_name: str
    tenant: Any
    settings_dict: dict[str, Any]
    in_atomic_block: bool

    def set_schema_to_public(self) -> None: ...
    def set_schema(self, schema_name: str, include_public: bool = True) -> None: ...
    def set_tenant(self, tenant: Any) -> None: ...
    def cursor(self) -> CursorWrapper: ...
    def close(self) -> None: ...


connection = cast(TenantConnection, _connection)
