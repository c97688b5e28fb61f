"""Tenants cloned from the template: equal to migrated ones, empty, and migrated where the template is no good."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django_tenants.utils import schema_context

from ledger.models import AuditEvent, AuditHead, Run
from ledger.services.verify import verify_chain
from tenants.catalogue.comparing import differences
from tenants.catalogue.contents import digests, filled
from tenants.catalogue.reading import rows, run
from tenants.catalogue.shape import shapes
from tenants.errors import TemplateUnfit
from tenants.migration_state import TEMPLATE, applied, names_in, target
from tenants.models import SchemaMade, SchemaState, SchemaTemplate, Tenant
from tenants.roles import Role
from tenants.services.provisioning import create_tenant
from tenants.services.templates import REFRESH, clone_into, ensure_template, why_unfit

# What a tenant's own creation writes; everything else has to be what the migrations left.
_ITS_OWN = {"ledger_auditevent", "ledger_audithead"}


def _reference_rows(schema_name: str) -> dict[str, Any]:
    with schema_context(schema_name):
        return {
            "migrations": names_in(schema_name),
            "types": set(ContentType.objects.values_list("id", "app_label", "model")),
            "permissions": set(Permission.objects.values_list("id", "codename", "name", "content_type__model")),
            "groups": {
                group.name: set(group.permissions.values_list("codename", "content_type__model"))
                for group in Group.objects.all()
            },
            "filled": set(filled(schema_name)),
            "sequences": set(
                rows("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = %s", [schema_name])
            ),
        }


def test_clone__beside_a_tenant_that_was_migrated_for_a_stale_template__is_equal_in_catalogue_and_rows(
    db: None,
) -> None:
    run("UPDATE tenants_schematemplate SET state_key = 'of an older release', migrations = migrations - 2")
    migrated = create_tenant(schema_name="migrated", name="Migrated")
    state = SchemaState.objects.get(schema_name="migrated")
    assert (state.made, "2 migrations behind" in state.made_reason) == (SchemaMade.MIGRATION, True)
    told = AuditEvent.objects.filter(event="tenant.created", subject_id=str(migrated.pk)).get()
    assert told.data["made_reason"] == state.made_reason
    assert Run.objects.get(kind=REFRESH).state == "queued"
    SchemaTemplate.objects.update(state_key=target().key, migrations=len(target().names))
    create_tenant(schema_name="cloned", name="Cloned")
    assert SchemaState.objects.get(schema_name="cloned").made == SchemaMade.CLONE
    assert differences("cloned", "migrated") == []
    assert shapes(["cloned"])["cloned"] == shapes(["migrated"])["migrated"]
    one, other = _reference_rows("cloned"), _reference_rows("migrated")
    for what in one:
        assert one[what] == other[what], what
    assert one["migrations"] == target().names and set(one["groups"]) == {role.value for role in Role}
    assert applied(["cloned", "migrated"])["cloned"] == (target().key, len(target().names))


def test_clone__of_a_template__starts_its_own_chain_and_numbers(db: None) -> None:
    create_tenant(schema_name="fresh", name="Fresh")
    with schema_context("fresh"):
        assert (verify_chain().events, verify_chain().intact, AuditHead.objects.get().sequence) == (1, True, 1)
        assert User.objects.create_user("first").pk == 1
        assert Group.objects.create(name="fifth").pk == 5
    assert SchemaTemplate.objects.get().problem == ""
    assert digests(TEMPLATE, ["ledger_auditevent"])["ledger_auditevent"].count == 0


def test_clone__a_person_in_the_template__does_not_come_along(db: None) -> None:
    run(f"""INSERT INTO {TEMPLATE}.auth_user (username, password, first_name, last_name, email, is_superuser, is_staff,
        is_active, date_joined) VALUES ('intruder', '', '', '', '', true, true, true, now())""")
    clone_into("fresh")
    with schema_context("fresh"):
        assert not User.objects.exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (f"INSERT INTO {TEMPLATE}.auth_group (name) VALUES ('owners')", "written into: auth_group changed"),
        (f"DELETE FROM {TEMPLATE}.auth_group_permissions", "written into: auth_group_permissions changed"),
        (f"DROP TABLE {TEMPLATE}.auth_group CASCADE", "a table that is not there any more"),
        (f"DROP SCHEMA {TEMPLATE} CASCADE", "no template yet"),
        ("DELETE FROM tenants_schematemplate", "no template yet"),
        ("UPDATE tenants_schematemplate SET state_key = 'x'", "at other migrations than this code"),
    ],
)
def test_clone__of_a_template_that_is_no_good__is_refused_with_the_reason_and_leaves_nothing(
    db: None, damage: str, words: str
) -> None:
    run(damage)
    assert words in why_unfit()
    with pytest.raises(TemplateUnfit, match=words):
        clone_into("fresh")
    assert rows("SELECT 1 FROM pg_namespace WHERE nspname = 'fresh'") == []


def test_template__as_it_should_be__is_left_alone__changed_by_hand__is_made_anew(db: None) -> None:
    before = ensure_template()
    assert ensure_template().built_at == before.built_at
    run(f"ALTER TABLE {TEMPLATE}.forecasting_series DISABLE TRIGGER ALL; DROP VIEW {TEMPLATE}.forecast_daily")
    made = ensure_template()
    assert made.built_at != before.built_at and differences("beta", TEMPLATE) == []
    assert made.shape == before.shape


def test_template__is_no_tenant(db: None) -> None:
    assert not Tenant.objects.filter(schema_name=TEMPLATE).exists()
