"""The roles of a tenant follow its tables."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.management import call_command
from django_tenants.utils import schema_context

from tenants.models import Tenant
from tenants.roles import Role


def test_roles__after_a_migration_of_the_schema__see_every_table_again(throwaway: Tenant) -> None:
    reviewers = Group.objects.get(name=Role.REVIEWER.value)
    wanted = set(reviewers.permissions.values_list("codename", flat=True))
    assert "view_driftitem" in wanted
    reviewers.permissions.filter(codename="view_driftitem").delete()  # as if its table had just come
    call_command("migrate_schemas", schema_name=throwaway.schema_name, verbosity=0, interactive=False)
    with schema_context(throwaway.schema_name):
        assert set(reviewers.permissions.values_list("codename", flat=True)) == wanted
        assert not Group.objects.get(name=Role.VIEWER.value).permissions.filter(codename="change_source").exists()
