"""Tenants: who they are, where they live, and how they are made."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from ledger.jobs import jobs_wait_unless
        from tenants.selectors import is_not_suspended

        jobs_wait_unless(is_not_suspended)
        from tenants import checks, jobs  # noqa: F401  # registers the system checks and the job kinds
