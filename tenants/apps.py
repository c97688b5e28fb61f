"""Tenants: who they are, where they live, and how they are made."""

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django_tenants.utils import get_public_schema_name


def roles_follow_tables(sender: AppConfig, **kwargs: Any) -> None:
    """After the migration of a tenant's schema its roles may see the tables that it brought."""
    from ledger.schema import connection
    from tenants.roles import ensure_roles

    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]
    if sender is last and connection.schema_name != get_public_schema_name():  # all permissions are there by now
        ensure_roles()


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from ledger.jobs import jobs_wait_unless
        from tenants.selectors import is_not_suspended

        jobs_wait_unless(is_not_suspended)
        post_migrate.connect(roles_follow_tables, dispatch_uid="tenants.roles_follow_tables")
        from tenants import checks, jobs  # noqa: F401  # registers the system checks and the job kinds
