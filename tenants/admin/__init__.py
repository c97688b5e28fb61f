"""Admin of tenants, applications and people."""

from tenants.admin import applications, mails, people, tenant

__all__ = ["applications", "mails", "people", "tenant"]
