"""Admin of tenants, applications, people, dispatches and service levels."""

from tenants.admin import applications, dispatches, erasures, mails, migrations, people, slos, tenant

__all__ = ["applications", "dispatches", "erasures", "mails", "migrations", "people", "slos", "tenant"]
