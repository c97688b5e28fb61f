"""A tenant as a folder, and back: a dump of one moment, the files, and proof that what comes back is what went in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection as django_connection
from django.db import connections, transaction
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.services.audit import record
from ledger.services.verify import verify_chain
from tenants.catalogue.contents import digests, tables_of
from tenants.catalogue.reading import quoted, rows, run, schema_is_there
from tenants.errors import BackupRefused
from tenants.fleet_state import survey
from tenants.migration_state import names_in, target
from tenants.models import Domain, Heartbeat, SchemaMade, SchemaStanding, SchemaState, Tenant, TenantStatus
from tenants.selectors import get_tenant
from tenants.services.backup_files import (
    DUMP,
    Manifest,
    copy_in,
    copy_out,
    digest_of,
    erase_files,
    read_manifest,
    stored_files,
    write_manifest,
)
from tenants.services.pg_tools import pg_dump, pg_restore
from tenants.services.provisioning import host_of, require_makeable

_PROFILE = ("name", "tier", "status", "time_zone", "currency")


@dataclass(frozen=True)
class Backup:
    """A whole backup: where it lies, what is in it, and the digest that stands for all of it."""

    folder: Path
    manifest: Manifest
    sha256: str


def backup_tenant(
    *, schema_name: str, folder: Path, actor: AbstractBaseUser | None = None, broken_chain: bool = False
) -> Backup:
    """Write the tenant into ``folder``, which must be empty or not there; its schema is that of one moment.

    The dump and the digests of the tables read the same snapshot; the files are copied after it, so every file that a
    row names is among them. Raises ``UnknownTenant``, ``BackupRefused``.
    """
    tenant = get_tenant(schema_name)
    if not schema_is_there(schema_name):
        raise BackupRefused(f"{schema_name} has no schema, so there is nothing to back up.")
    _require_empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DUMP).touch(mode=0o600)  # it holds everything that the tenant has, its people's hashes included
    except OSError as error:
        raise BackupRefused(f"{folder} cannot be written to ({error.strerror}); name another.") from error
    with _one_moment() as snapshot:
        held = digests(schema_name, tables_of(schema_name))
        migrations = sorted(names_in(schema_name))
        with schema_context(schema_name):
            chain = verify_chain()
        options = ("--format=custom", "--no-owner", f"--schema={quoted(schema_name)}", f"--snapshot={snapshot}")
        pg_dump(*options, f"--file={folder / DUMP}")
    if not chain.intact and not broken_chain:
        raise BackupRefused(f"The audit chain of {schema_name} is broken; run verify_ledger {schema_name} first.")
    manifest = Manifest(
        schema_name=schema_name,
        made_at=timezone.now().isoformat(),
        tenant={name: str(getattr(tenant, name)) for name in _PROFILE},
        migrations=migrations,
        tables={table: {"count": one.count, "digest": one.digest} for table, one in held.items()},
        events=chain.events,
        chain_head=chain.head,
        dump=digest_of(folder / DUMP),
        files=copy_out(schema_name, folder),
    )
    made = Backup(folder, manifest, write_manifest(folder, manifest))
    with schema_context(get_public_schema_name()):
        record(event="tenant.backed_up", actor=actor, subject=tenant, data=facts_of(made))
    return made


def restore_tenant(
    *, folder: Path, schema_name: str, name: str | None = None, actor: AbstractBaseUser | None = None
) -> Tenant:
    """Make a tenant ``schema_name`` of a backup, all or nothing, and suspended until somebody activates it.

    What came back is compared with the manifest (rows and digest of every table, the audit chain and its head, every
    file) before there is a tenant. Raises ``BackupRefused``, ``TenantRefused`` where the name is taken or not allowed.
    """
    manifest = read_manifest(folder)
    fields = {**manifest.tenant, "status": TenantStatus.SUSPENDED, "name": name or manifest.tenant["name"]}
    require_makeable(schema_name=schema_name, **fields)
    if newer := sorted(set(manifest.migrations) - target().names):
        words = f"such as {newer[-1]}. Restore it with the release that made it, or a newer one."
        raise BackupRefused(f"This backup is of a newer release: it has {len(newer)} migrations unknown here, {words}")
    if stored_files(schema_name):
        raise BackupRefused(f"The storage of {schema_name} holds files already. Choose another name.")
    try:
        _bring_in(folder, manifest.schema_name, schema_name)
        copy_in(schema_name, folder, list(manifest.files))
        if problems := compare(manifest, schema_name):
            raise BackupRefused(f"What came back is not what was backed up: {'; '.join(problems[:3])}.")
        return _enter(manifest, schema_name, fields, actor)
    except BaseException:
        run(f"DROP SCHEMA IF EXISTS {quoted(schema_name)} CASCADE")
        erase_files(schema_name)
        raise


def compare(manifest: Manifest, schema_name: str) -> list[str]:
    """Where a restored schema and its files are not what the manifest says; empty where they are."""
    held = digests(schema_name, tables_of(schema_name))
    problems = [f"table {table} is missing" for table in sorted(set(manifest.tables) - set(held))]
    problems += [f"table {table} is new" for table in sorted(set(held) - set(manifest.tables))]
    for table, one in held.items():
        wanted = manifest.tables.get(table)
        if wanted is not None and (one.count, one.digest) != (wanted["count"], wanted["digest"]):
            problems.append(f"table {table} has other rows ({one.count}, and {wanted['count']} were backed up)")
    with schema_context(schema_name):
        chain = verify_chain()
    if not chain.intact or (chain.events, chain.head) != (manifest.events, manifest.chain_head):
        problems.append("the audit chain is not the one that was backed up")
    if stored_files(schema_name) != sorted(manifest.files):
        problems.append("its files are not those that were backed up")
    return problems


def facts_of(made: Backup) -> dict[str, Any]:
    """What the audit chain keeps of a backup."""
    manifest = made.manifest
    return {
        "schema_name": manifest.schema_name,
        "sha256": made.sha256,
        "rows": manifest.rows,
        "files": len(manifest.files),
        "events": manifest.events,
        "chain_head": manifest.chain_head,
    }


@transaction.atomic
def _enter(manifest: Manifest, schema_name: str, fields: dict[str, str], actor: AbstractBaseUser | None) -> Tenant:
    view = survey([schema_name]).views[schema_name]
    if view.standing not in (SchemaStanding.AT_TARGET, SchemaStanding.BEHIND):
        raise BackupRefused(f"What came back is {view.standing.label.lower()}: {view.reason}")
    with schema_context(get_public_schema_name()):
        source = f"{manifest.schema_name} of {manifest.made_at[:16]}"
        reason = f"Restored from a backup of {source}: check it, then activate it."
        tenant = Tenant.objects.create(schema_name=schema_name, status_reason=reason[:240], **fields)
        Domain.objects.create(domain=host_of(schema_name), tenant=tenant, is_primary=True)
        Heartbeat.objects.create(schema_name=schema_name)
        standing = {"standing": view.standing, "reason": view.reason, "state_key": view.state_key}
        made = {"made": SchemaMade.RESTORE, "migrations": view.migrations}
        SchemaState.objects.update_or_create(schema_name=schema_name, defaults={**standing, **made})
        facts = {"from": manifest.schema_name, "made_at": manifest.made_at, "schema_name": schema_name}
        record(event="tenant.restored", actor=actor, subject=tenant, data=facts)
        with schema_context(schema_name):
            record(event="tenant.restored", data=facts)
    return tenant


def _bring_in(folder: Path, source: str, schema_name: str) -> None:
    """Restore the dump; under another name by way of a database of its own, for a dump knows only the name it had."""
    options = ("--no-owner", "--exit-on-error", "--single-transaction")
    if source == schema_name:
        pg_restore(*options, str(folder / DUMP))
        return
    with _scratch_database() as database:
        pg_restore(*options, str(folder / DUMP), database=database)
        own = connections["default"].copy()
        own.settings_dict = {**own.settings_dict, "NAME": database}
        try:
            with own.cursor() as cursor:
                cursor.execute(f"ALTER SCHEMA {quoted(source)} RENAME TO {quoted(schema_name)}")
        finally:
            own.close()
        again = folder / f".{schema_name}.dump"
        try:
            only = f"--schema={quoted(schema_name)}"
            pg_dump("--format=custom", "--no-owner", only, f"--file={again}", database=database)
            pg_restore(*options, str(again))
        finally:
            again.unlink(missing_ok=True)


@contextmanager
def _scratch_database() -> Iterator[str]:
    name = f"forecourt_restore_{secrets.token_hex(4)}"
    own = connections["default"].copy()  # CREATE DATABASE is refused inside of a transaction
    try:
        with own.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE template0")
        try:
            yield name
        finally:
            with own.cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
    finally:
        own.close()


@contextmanager
def _one_moment() -> Iterator[str]:
    """A transaction that sees one state of the database, and the name under which another process sees the same."""
    if django_connection.in_atomic_block:
        raise BackupRefused("A backup cannot be made inside of a transaction: it would not be of one moment.")
    with transaction.atomic(durable=True):
        with django_connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield rows("SELECT pg_export_snapshot()")[0][0]


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupRefused(f"{folder} is not an empty folder; name a new one.")
