"""Admin of tenants, applications, people, dispatches and service levels."""

from tenants.admin import applications, dispatches, mails, people, slos, tenant

__all__ = ["applications", "dispatches", "mails", "people", "slos", "tenant"]
