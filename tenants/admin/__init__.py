"""Admin of tenants and people."""

from tenants.admin import people, tenant

__all__ = ["people", "tenant"]
