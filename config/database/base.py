"""The backend that Django loads: it makes sure of the embedded server at the first connection, not at import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantDatabaseWrapper

from config.database import embedded


class DatabaseWrapper(TenantDatabaseWrapper):  # type: ignore[misc]  # the library has no type information
    """django-tenants' wrapper, which starts or finds the embedded server where ``EMBEDDED`` names its folder."""

    def get_connection_params(self) -> dict[str, Any]:
        data_dir = self.settings_dict.get("EMBEDDED")
        if data_dir:
            self.settings_dict["HOST"] = embedded.ensure_server(
                Path(data_dir), create_database=self.settings_dict["EMBEDDED_DATABASE"]
            )
        params: dict[str, Any] = super().get_connection_params()
        return params
