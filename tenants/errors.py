"""Errors of the tenants' domain."""

from __future__ import annotations

from ledger.errors import DomainError


class TenantRefused(DomainError):
    """A tenant cannot be made or changed as asked; the message says why."""

    code = "tenant_refused"


class UnknownTenant(DomainError):
    code = "unknown_tenant"

    def __init__(self, schema_name: str, known: list[str]) -> None:
        self.schema_name = schema_name
        names = ", ".join(known[:8]) or "none yet: make one with create_tenant"
        super().__init__(f"There is no tenant {schema_name!r}. Tenants: {names}.")


class RoleRequired(DomainError):
    """The person does not hold a role that this act needs."""

    code = "role_required"

    def __init__(self, username: str, roles: tuple[str, ...]) -> None:
        self.username, self.roles = username, roles
        super().__init__(f"{username} needs the role {' or '.join(roles)} for this. A tenant admin can grant it.")
