"""A migration rolled out over the fleet: two schemas are put one migration back, noticed, and brought forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from django_tenants.utils import schema_context, tenant_context

from config.staging.evidence import data_fingerprint, revision
from ledger.services.verify import verify_chain
from tenants.catalogue.comparing import differences
from tenants.catalogue.reading import quoted, run
from tenants.migration_state import TEMPLATE
from tenants.models import Rollout, RolloutState, Tenant
from tenants.selectors import get_tenant, missing_tables, serving_schemas
from tenants.services.fleet_migration import migrate_fleet
from tenants.services.templates import clone_into, ensure_template

SCRATCH = ("rollout_check_one", "rollout_check_two")
_APPS = ("forecasting", "integrations")
Say = Callable[[str], None]


def validate_rollout(*, say: Say) -> dict[str, Any]:
    """Put two schemas of its own one migration back, migrate the fleet, and look at all of it; the evidence as JSON
    values. Schemas of tenants are only looked at. Raises CommandError where no migration can be taken back."""
    app, name, before = _newest_that_goes_back()
    started, schemas = timezone.now(), serving_schemas()
    prints = {schema: _fingerprint(schema) for schema in schemas}
    ensure_template()
    with _scratch() as names:
        for schema in names:
            say(f"{schema}: back to {app}.{before}")
            call_command("migrate_schemas", app, before, schema_name=schema, verbosity=0, interactive=False)
        lacking = missing_tables(*names)
        first = migrate_fleet(processes=0, canaries=[names[0]], say=say)
        entries = list(first.entries.order_by("pk"))
        second = migrate_fleet(processes=0, say=say)
        checks = [
            _check("the missing tables were noticed", set(lacking) == set(names), _named(lacking)),
            _check("the rollout succeeded", first.state == RolloutState.SUCCEEDED, _counts(first)),
            _check("both were migrated, the canary first",
                   [(one.schema_name, one.outcome) for one in entries] == [(one, "migrated") for one in names],
                   ", ".join(f"{one.schema_name}: {one.outcome}" for one in entries)),
            _check("every readiness table stands in every schema", missing_tables(*names, *schemas) == {},
                   f"{len(names) + len(schemas)} schemas"),
            _check("both are as the template is, by catalogue",
                   not any(differences(schema, TEMPLATE) for schema in names), "tables, indexes, triggers"),
            _check("a second rollout does nothing", second.migrated == 0 and second.state == RolloutState.SUCCEEDED,
                   _counts(second)),
        ]  # fmt: skip
    after = {schema: _fingerprint(schema) for schema in schemas}
    checks.append(_check("no tenant's demand changed", prints == after, f"{len(after)} tenants, by SHA-256"))
    whole = [schema for schema in schemas if _chain_is_whole(schema)]
    checks.append(_check("every audit trail is whole", whole == schemas, f"{len(whole)} of {len(schemas)}"))
    return {
        "migration": f"{app}.{name}",
        "started_at": started.isoformat(),
        "ended_at": timezone.now().isoformat(),
        "revision": revision(),
        "tables": {schema: list(tables) for schema, tables in lacking.items()},
        "rollouts": [first.pk, second.pk],
        "schemas": [
            {"schema": one.schema_name, "canary": one.canary, "outcome": one.outcome, "before": one.before,
             "after": one.after, "seconds": one.seconds}
            for one in entries
        ],
        "data": after,
        "checks": checks,
        "verdict": "passed" if all(check["passed"] for check in checks) else "failed",
    }  # fmt: skip


def _newest_that_goes_back() -> tuple[str, str, str]:
    """The newest migration of a tenant's app that can be taken back, with the one before it."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for app in _APPS:
        names = sorted(name for label, name in loader.disk_migrations if label == app)
        newest = loader.disk_migrations[app, names[-1]]
        if len(names) > 1 and all(operation.reversible for operation in newest.operations):
            return app, names[-1], names[-2]
    raise CommandError("No newest migration of a tenant's app can be taken back, so no schema can be put behind.")


@contextmanager
def _scratch() -> Iterator[tuple[str, ...]]:
    """Two schemas as tenants have them; they are gone afterwards, and those of a run that was killed before."""
    _clear()
    try:
        for name in SCRATCH:
            with transaction.atomic():
                Tenant.objects.create(schema_name=name, name=f"Rollout check {name[-3:]}")
                clone_into(name)
        yield SCRATCH
    finally:
        _clear()


def _clear() -> None:
    for name in SCRATCH:
        run(f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")
    Tenant.objects.filter(schema_name__in=SCRATCH).delete()


def _fingerprint(schema: str) -> str:
    with tenant_context(get_tenant(schema)):
        return data_fingerprint()


def _chain_is_whole(schema: str) -> bool:
    with schema_context(schema):
        return verify_chain().intact


def _named(lacking: dict[str, list[str]]) -> str:
    return "; ".join(f"{schema}: {', '.join(tables)}" for schema, tables in lacking.items()) or "nothing was noticed"


def _counts(rollout: Rollout) -> str:
    return f"{rollout.at_target} at target, {rollout.migrated} migrated, {rollout.failed} failed, {rollout.left} left"


def _check(name: str, passed: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "passed": bool(passed), "detail": detail}


def as_markdown(report: dict[str, Any]) -> str:
    """The evidence for people."""
    began = report["started_at"][:16].replace("T", " ")
    lines = [
        "# Rollout of a migration, validated in staging",
        "",
        f"`{report['migration']}`, revision `{report['revision']}`, {began} UTC. Verdict: **{report['verdict']}**.",
        "",
        "Two schemas of its own were put one migration back, and `manage.py migrate_fleet` brought the fleet forward. "
        "It is made again with `manage.py validate_migration_rollout`; only ids and times differ.",
        "",
        "| schema | canary | outcome | migrations before | after | seconds |",
        "|---|---|---|--:|--:|--:|",
        *(
            f"| {one['schema']} | {'yes' if one['canary'] else 'no'} | {one['outcome']} | {one['before']} "
            f"| {one['after']} | {one['seconds'] or 0:.2f} |"
            for one in report["schemas"]
        ),
        "",
        "| holds | check | found |",
        "|---|---|---|",
        *(f"| {'yes' if one['passed'] else '**no**'} | {one['name']} | {one['detail']} |" for one in report["checks"]),
    ]
    return "\n".join(lines) + "\n"
