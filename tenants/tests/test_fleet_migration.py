"""Migrating the fleet: states found and named, canaries, error budget, going on, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django_tenants.utils import schema_context
from pytest_django import DjangoDbBlocker

from ledger.models import AuditEvent
from tenants.catalogue.comparing import differences
from tenants.catalogue.reading import rows, run
from tenants.fleet_state import customer_schemas, survey
from tenants.migration_state import TEMPLATE, target
from tenants.models import KnownShape, Rollout, RolloutOutcome, RolloutState, SchemaStanding, SchemaState, Tenant
from tenants.services import fleet_migration, migrating
from tenants.services.fleet_migration import migrate_fleet
from tenants.services.templates import clone_into


def _last_of_public() -> str:
    """A migration that nothing follows and that makes nothing in a tenant's schema: quick to apply."""
    inner = {parent for parents in target().parents.values() for parent in parents}
    return next(name for name in sorted(target().names - inner) if name.startswith("tenants."))


def _put_behind(*schema_names: str) -> None:
    app, name = _last_of_public().split(".", 1)
    for schema_name in schema_names:
        run(f"DELETE FROM {schema_name}.django_migrations WHERE app = '{app}' AND name = '{name}'")


def _made(*schema_names: str) -> None:
    for schema_name in schema_names:
        Tenant.objects.create(schema_name=schema_name, name=schema_name)
        clone_into(schema_name)


BROKEN = {
    "half": ("DELETE FROM {}.django_migrations WHERE app = 'ledger' AND name = '0002_append_only'",
             SchemaStanding.HALF_MIGRATED, "is recorded without ledger.0002_append_only"),
    "bare": ("DROP TABLE {}.django_migrations", SchemaStanding.HALF_MIGRATED, "no record of its migrations"),
    "newer": ("INSERT INTO {}.django_migrations (app, name, applied) VALUES ('ledger', '9999_future', now())",
              SchemaStanding.AHEAD, "such as ledger.9999_future"),
    "drifted": ("DROP INDEX {}.ledger_one_live_run", SchemaStanding.DRIFTED, "- index ledger_one_live_run"),
    "unguarded": ("ALTER TABLE {}.ledger_auditevent DISABLE TRIGGER ledger_audit_no_change",
                  SchemaStanding.DRIFTED, "ledger_audit_no_change"),
    "gone": ("DROP SCHEMA {} CASCADE", SchemaStanding.MISSING, "no schema of this name"),
}  # fmt: skip


def test_fleet__with_schemas_in_every_wrong_state__names_each_touches_none_and_migrates_the_one_behind(
    db: None,
) -> None:
    _made("late", *BROKEN)
    _put_behind("late")
    for name, (damage, _, _) in BROKEN.items():
        run(damage.format(name))
    before = {name: differences(name, TEMPLATE) for name in BROKEN}
    said: list[str] = []
    rollout = migrate_fleet(processes=0, say=said.append)
    assert (rollout.state, rollout.migrated, rollout.untouched, rollout.failed) == (
        RolloutState.INCOMPLETE, 1, len(BROKEN), 0,
    )  # fmt: skip
    assert rollout.at_target == rollout.tenants - 1 - len(BROKEN)
    for name, (_, standing, words) in BROKEN.items():
        state = SchemaState.objects.get(schema_name=name)
        assert (state.standing, words in state.reason) == (standing, True), state.reason
        entry = rollout.entries.get(schema_name=name)
        assert (entry.outcome, entry.error) == (RolloutOutcome.UNTOUCHED, state.reason)
        assert any(line.startswith(f"{name}: ") and words in line for line in said)
        assert differences(name, TEMPLATE) == before[name]
    late = rollout.entries.get(schema_name="late")
    assert (late.outcome, late.canary, late.after - late.before) == (RolloutOutcome.MIGRATED, True, 1)
    assert SchemaState.objects.get(schema_name="late").standing == SchemaStanding.AT_TARGET
    ended = AuditEvent.objects.filter(event="rollout.ended").latest("sequence")
    assert ended.data["untouched"] == len(BROKEN)
    with pytest.raises(CommandError, match="6 of") as caught:
        call_command("migrate_fleet", check=True)
    assert caught.value.returncode == 1


def test_survey__of_more_tenants__asks_no_more_questions(db: None) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connections["default"]) as queries:
            assert set(survey(names).standing(SchemaStanding.AT_TARGET)) == set(names)
        return len(queries)

    names = customer_schemas()
    few = asked()
    _made("one_more", "two_more", "three_more")
    names = customer_schemas()
    assert asked() == few <= 5


def test_fleet__at_target__does_nothing_and_says_so(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("migrate_fleet", processes=2)
    assert "0 migrated, 0 failed, 0 not touched, 0 left" in capsys.readouterr().out
    assert Rollout.objects.get().state == RolloutState.SUCCEEDED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"canaries": "nobody"}, "no tenant nobody"), ({"processes": -1}, "0 or more"), ({"json": "/proc/x"}, "folder")],
)
def test_fleet__wrong_usage__is_one_line_and_status_2(db: None, arguments: dict[str, Any], words: str) -> None:
    from pathlib import Path

    if "json" in arguments:
        arguments = {"json": Path(arguments["json"])}
    with pytest.raises(CommandError, match=words) as caught:
        call_command("migrate_fleet", **arguments)
    assert caught.value.returncode == 2 and not Rollout.objects.exists()


@pytest.fixture
def trio(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[str]]:
    """Three tenants that are really there and one migration behind; taken away afterwards."""
    names = ["trio_a", "trio_b", "trio_c"]
    with django_db_blocker.unblock():
        try:
            _made(*names)
            _put_behind(*names)
            yield names
        finally:
            for name in names:
                run(f"DROP SCHEMA IF EXISTS {name} CASCADE")
            Rollout.objects.all().delete()
            KnownShape.objects.exclude(state_key=target().key).delete()
            SchemaState.objects.filter(schema_name__in=names).delete()
            run("DELETE FROM tenants_tenant WHERE schema_name LIKE 'trio!__' ESCAPE '!'")
            connections.close_all()


def test_fleet__a_locked_tenant__fails_alone__a_locked_canary_stops_all__and_the_next_call_goes_on(
    trio: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "LOCK_SECONDS", 1)
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE trio_a.django_migrations IN ROW EXCLUSIVE MODE")
            cursor.execute("LOCK TABLE trio_a.auth_permission, trio_a.django_migrations IN EXCLUSIVE MODE")
            stopped = migrate_fleet(processes=2, canaries=["trio_a"], max_errors=5)
            assert (stopped.state, stopped.failed, stopped.migrated, stopped.left) == (RolloutState.STOPPED, 1, 0, 2)
            assert "lock timeout" in stopped.entries.get().error
            passed = migrate_fleet(processes=2, canaries=["trio_b"], max_errors=1)
            assert (passed.state, passed.failed, passed.migrated) == (RolloutState.INCOMPLETE, 1, 2)
            cursor.execute("SELECT pg_advisory_lock(%s)", [fleet_migration._LOCK])
            Rollout.objects.filter(pk=passed.pk).update(state=RolloutState.RUNNING)
            with pytest.raises(CommandError, match="Another migration of the fleet is under way") as caught:
                call_command("migrate_fleet")
            assert caught.value.returncode == 2 and str(passed) in str(caught.value)
            cursor.execute("SELECT pg_advisory_unlock(%s); ROLLBACK", [fleet_migration._LOCK])
    finally:
        other.close()
    last = migrate_fleet(processes=1)
    assert (last.state, last.migrated, last.follows) == (RolloutState.SUCCEEDED, 1, passed)
    passed.refresh_from_db()
    assert (passed.state, passed.reason) == (RolloutState.INTERRUPTED, "Its process went away.")
    with schema_context("trio_a"):
        assert rows("SELECT count(*) FROM django_migrations") == [(len(target().names),)]
