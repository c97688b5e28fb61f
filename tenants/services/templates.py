"""The template that new tenants are cloned from: kept at the newest migration, and never written into otherwise."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction
from django.db import connection as django_connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import DomainError, RunAlreadyLive
from ledger.schema import connection
from ledger.services.audit import record
from ledger.services.runs import enqueue
from tenants.catalogue.blueprint import Blueprint, draw
from tenants.catalogue.contents import TableRows, copy_rows, digests, filled
from tenants.catalogue.reading import only_in, quoted, rows, run, schema_is_there
from tenants.catalogue.shape import shapes
from tenants.errors import TemplateUnfit
from tenants.migration_state import TEMPLATE, have_migrations, key_of, names_in, target
from tenants.models import KnownShape, SchemaMade, SchemaTemplate

logger = logging.getLogger(__name__)
REFRESH = "tenants.refresh_template"
_LOCK = 712_301
_NEWER = "Refresh it with manage.py migrate_fleet."


@dataclass(frozen=True)
class Made:
    """How a schema came to be, and why not by a clone."""

    by: SchemaMade
    reason: str = ""


def make_schema(schema_name: str) -> Made:
    """Make a tenant's schema, all of it, in the caller's transaction: a clone of the template, else by every migration.

    Where the template is no good the reason is returned, and a job that mends it is queued.
    """
    try:
        with transaction.atomic():
            clone_into(schema_name)
        return Made(SchemaMade.CLONE)
    except (DomainError, DatabaseError) as error:
        reason = str(error).strip().splitlines()[0]
    logger.warning("%s is migrated, not cloned: %s", schema_name, reason)
    migrate(schema_name)
    with schema_context(get_public_schema_name()), suppress(RunAlreadyLive):
        enqueue(kind=REFRESH, scope="template")
    return Made(SchemaMade.MIGRATION, reason)


@transaction.atomic
def clone_into(schema_name: str) -> None:
    """Make ``schema_name`` as the template is; raise ``TemplateUnfit`` where it is missing, behind or was written into.

    The structure comes from the script that was kept when the template was made, so the time does not depend on the
    number of migrations or of schemas; the rows are those that the migrations wrote, never others.
    """
    with schema_context(get_public_schema_name()):
        _lock(shared=True)
        template = SchemaTemplate.objects.filter(pk=1).first()
        _require_fit(template)
        assert template is not None  # noqa: S101  # for the type checker
        blueprint = Blueprint(TEMPLATE, [template.ground], [template.top])
    run(f"CREATE SCHEMA {quoted(schema_name)}")
    with only_in(schema_name):
        run(blueprint.ground(schema_name))
        for table, held in _held(template).items():
            now = frozenset({"applied"} if table == "django_migrations" else ())
            copy_rows(TEMPLATE, schema_name, table, held, now=now)
        run(blueprint.top(schema_name))


def why_unfit() -> str:
    """Why tenants cannot be cloned just now, in words; empty where they can."""
    with schema_context(get_public_schema_name()):
        try:
            _require_fit(SchemaTemplate.objects.filter(pk=1).first())
        except TemplateUnfit as error:
            return str(error)
    return ""


def ensure_template() -> SchemaTemplate:
    """Bring the template to the newest migration, or make it; idempotent, and one process at a time.

    One that was changed by somebody is made anew. What goes wrong is kept on its row and raised.
    """
    with schema_context(get_public_schema_name()):
        try:
            return _refreshed()
        except (DomainError, DatabaseError) as error:
            words = str(error).strip().splitlines()[0]
            SchemaTemplate.objects.update_or_create(pk=1, defaults={"problem": words})
            raise


@transaction.atomic
def _refreshed() -> SchemaTemplate:
    _lock(shared=False)
    template, _ = SchemaTemplate.objects.get_or_create(pk=1)
    unfit = why_unfit()
    if not unfit and not template.problem and shapes([TEMPLATE]).get(TEMPLATE) == template.shape:
        return template
    started = time.perf_counter()
    if not _can_go_on(template):
        run(f"DROP SCHEMA IF EXISTS {quoted(TEMPLATE)} CASCADE")
    migrate(TEMPLATE)
    blueprint, now = draw(TEMPLATE), target()
    template.state_key, template.migrations = now.key, len(now.names)
    template.ground, template.top = blueprint.ground(TEMPLATE), blueprint.top(TEMPLATE)
    template.rows = {table: asdict(held) for table, held in filled(TEMPLATE).items()}
    template.shape = shapes([TEMPLATE])[TEMPLATE]
    template.built_at, template.problem = timezone.now(), ""
    template.seconds = round(time.perf_counter() - started, 2)
    template.save()
    remember_shape(now.key, now.names, template.shape)
    facts = {"migrations": template.migrations, "why": unfit or "its shape was not what was kept"}
    record(event="template.refreshed", subject=template, data=facts)
    return template


def remember_shape(state_key: str, names: frozenset[str], shape: str) -> None:
    """Keep what a schema at these migrations looks like."""
    KnownShape.objects.update_or_create(state_key=state_key, defaults={"shape": shape, "migrations": sorted(names)})


def _can_go_on(template: SchemaTemplate) -> bool:
    """Whether the template is as it was left, and only older migrations stand in it."""
    if not template.state_key or not have_migrations([TEMPLATE]).get(TEMPLATE):
        return False
    untouched = shapes([TEMPLATE])[TEMPLATE] == template.shape and not _changed_rows(template)
    return untouched and names_in(TEMPLATE) <= target().names


def _require_fit(template: SchemaTemplate | None) -> None:
    if template is None or not template.state_key or not schema_is_there(TEMPLATE):
        raise TemplateUnfit(f"There is no template yet. {_NEWER}")
    now = target()
    if template.state_key != now.key:
        gap = len(now.names) - template.migrations
        words = f"{gap} migrations behind" if gap > 0 else "at other migrations than this code"
        raise TemplateUnfit(f"The template is {words}. {_NEWER}")
    if changed := _changed_rows(template):
        raise TemplateUnfit(f"The template was written into: {', '.join(changed)} changed. {_NEWER}")


def _changed_rows(template: SchemaTemplate) -> list[str]:
    """Tables whose rows are not those that the migrations left."""
    try:
        with transaction.atomic():
            found = digests(TEMPLATE, list(template.rows))
    except DatabaseError:
        return ["a table that is not there any more"]
    kept = _held(template)
    return [
        table for table in kept if (found[table].count, found[table].digest) != (kept[table].count, kept[table].digest)
    ]


def _held(template: SchemaTemplate) -> dict[str, TableRows]:
    return {
        table: TableRows(one["count"], one["digest"], tuple(one["columns"]), tuple(one["sequences"]))
        for table, one in template.rows.items()
    }


def migrate(schema_name: str) -> None:
    """Make the schema where it is missing, and apply every migration; leaves the connection on public.

    What the command ``migrate`` does, but each migration is one transaction together with the note that it was applied:
    Django writes that note after the commit where a migration leaves statements for its end, so a kill in between would
    leave tables that no record knows of.
    """
    run(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema_name)}")
    with only_in(schema_name):
        MigrationRecorder(django_connection).ensure_schema()
    with schema_context(schema_name):
        executor = _WholeExecutor(django_connection)
        executor.loader.check_consistent_history(django_connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        before = executor._create_project_state(with_applied_migrations=True)  # type: ignore[attr-defined]  # as migrate does
        emit_pre_migrate_signal(0, False, DEFAULT_DB_ALIAS, apps=before.apps, plan=plan)
        after = executor.migrate(executor.loader.graph.leaf_nodes(), plan=plan, state=before.clone())
        after.clear_delayed_apps_cache()
        emit_post_migrate_signal(0, False, DEFAULT_DB_ALIAS, apps=after.apps, plan=plan)
    connection.set_schema_to_public()


class _WholeExecutor(MigrationExecutor):
    """Applies a migration and notes it in one transaction."""

    def apply_migration(self, state: Any, migration: Migration, fake: bool = False, fake_initial: bool = False) -> Any:
        if not migration.atomic:
            return super().apply_migration(state, migration, fake, fake_initial)
        with transaction.atomic():
            return super().apply_migration(state, migration, fake, fake_initial)


def _lock(*, shared: bool) -> None:
    """Until the transaction ends: many clones at once, or one refresh."""
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    rows(f"SELECT {function}(%s)", [_LOCK])


def learn_shape(names: frozenset[str]) -> None:
    """Find out what a schema at exactly these migrations looks like, by making one and taking it away again."""
    with transaction.atomic():
        scratch = f"{TEMPLATE}_scratch"
        run(f"CREATE SCHEMA {quoted(scratch)}")
        migrate_to(scratch, names)
        shape = shapes([scratch])[scratch]
        run(f"DROP SCHEMA {quoted(scratch)} CASCADE")
        remember_shape(key_of(names), names, shape)


def migrate_to(schema_name: str, names: frozenset[str]) -> None:
    """Apply exactly these migrations, which are complete in themselves, to an empty schema."""
    inner = {parent for name in names for parent in target().parents[name]}
    leaves = [(app, name) for app, _, name in (one.partition(".") for one in sorted(names - inner))]
    with only_in(schema_name):
        MigrationRecorder(django_connection).ensure_schema()
    with schema_context(schema_name):
        _WholeExecutor(django_connection).migrate(leaves)
