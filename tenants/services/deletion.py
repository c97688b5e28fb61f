"""Deleting a tenant: confirmed by its name, its jobs ended, exported, erased, and certified; all by one job."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.context import RunContext
from ledger.errors import TransitionRefused
from ledger.models import LIVE_STATES, Run, RunState
from ledger.services import runs
from ledger.services.audit import record
from tenants.catalogue.contents import digests, tables_of
from tenants.catalogue.reading import quoted, rows, run, schema_is_there
from tenants.errors import BackupRefused, TenantRefused
from tenants.models import (
    Domain,
    ErasureCertificate,
    Heartbeat,
    Invitation,
    OutgoingMail,
    SchemaState,
    Tenant,
    TenantApplication,
    TenantStatus,
)
from tenants.services.backup import Backup, backup_tenant
from tenants.services.backup_files import MANIFEST, digest_of, erase_files, read_manifest
from tenants.services.operators import require_operator

DELETE = "tenants.delete"
GRACE_SECONDS = 60.0
"""How long running jobs get to end by themselves, once they were cancelled."""
_WORDS = "Its tenant is being deleted."
_CODE = "tenant_deleted"


@transaction.atomic
def ask(*, schema_name: str, confirmation: str, reason: str, actor: AbstractBaseUser | None = None) -> Run:
    """Have a tenant deleted by a job: its hosts answer 403 now, none of its jobs starts, those at work are cancelled.

    There is no way back but the export that the job makes first. Needs the platform permission to delete tenants, or
    None for the system. Raises ``TenantRefused`` where ``confirmation`` is not the schema's name,
    ``TransitionRefused`` where it is being deleted already.
    """
    if actor is not None:
        require_operator(actor, "tenants.delete_tenant")
    if not reason.strip():
        raise TenantRefused("Say why: the reason stands in the certificate.")
    with schema_context(get_public_schema_name()):
        tenant = _customer(schema_name)
        if confirmation != schema_name:
            words = f"Type {schema_name} to confirm; {confirmation!r} is something else."
            raise TenantRefused(f"{words} Nothing was deleted.")
        if tenant.status == TenantStatus.DELETING:
            raise TransitionRefused(str(tenant), tenant.status, TenantStatus.DELETING)
        before, tenant.status, tenant.status_reason = tenant.status, TenantStatus.DELETING, reason.strip()[:240]
        tenant.save(update_fields=["status", "status_reason"])
        inputs = {"schema_name": schema_name, "reason": reason.strip()}
        queued = runs.enqueue(kind=DELETE, inputs=inputs, scope=schema_name, requested_by=actor)
        facts = {"from": before, "to": tenant.status, "reason": reason.strip()}
        record(event="tenant.deletion_asked", actor=actor, subject=tenant, data=facts)
    if _has_ledger(schema_name):
        end_runs(schema_name)
    return queued


def end_runs(schema_name: str) -> int:
    """Cancel every live run of a tenant, with the reason; return how many are still at work."""
    with schema_context(schema_name):
        for one in Run.objects.filter(state__in=LIVE_STATES, cancel_requested_at__isnull=True):
            with transaction.atomic():
                locked = Run.objects.select_for_update().get(pk=one.pk)
                if locked.is_live and locked.cancel_requested_at is None:
                    runs.cancel(run_id=locked.pk, actor=None)
                    Run.objects.filter(pk=locked.pk).update(error=_WORDS, error_code=_CODE, progress_message=_WORDS)
        return Run.objects.filter(state__in=LIVE_STATES).count()


def delete(*, schema_name: str, reason: str, context: RunContext) -> dict[str, Any]:
    """End the tenant's jobs, export it, erase it, and write the certificate; at least once means once."""
    certificate = ErasureCertificate.objects.filter(run_id=context.run.pk).first()
    if certificate is None:
        context.progress(0, 3, "Ending its jobs")
        there = schema_is_there(schema_name)
        if there and _has_ledger(schema_name):
            _wait_for_jobs(schema_name, context)
        context.progress(1, 3, "Exporting it")
        made = _exported(schema_name, context.run) if there else None
        context.progress(2, 3, "Erasing it")
        erased = erase_files(schema_name)
        certificate = _erase(schema_name, reason, made, erased, context)
    context.progress(3, 3, f"{schema_name} is erased.")
    return {
        "certificate": certificate.pk,
        "rows": certificate.rows,
        "files": certificate.files,
        "export": certificate.export,
        "export_sha256": certificate.export_sha256,
    }


def _wait_for_jobs(schema_name: str, context: RunContext) -> None:
    """Until none is at work; those that do not end in time lose their run, so that they cannot commit any more."""
    until = time.monotonic() + GRACE_SECONDS
    while left := end_runs(schema_name):
        if time.monotonic() > until:
            break
        context.progress(0, 3, f"Waiting for {left} running jobs to end")
        time.sleep(0.5)
    with schema_context(schema_name), transaction.atomic():
        for one in Run.objects.select_for_update().filter(state__in=LIVE_STATES):
            runs.change_state(one, RunState.FAILED, finished_at=timezone.now(), error=_WORDS, error_code=_CODE)
            record(event="run.failed", subject=one, data={"error_code": _CODE}, correlation_id=one.correlation_id)


def _exported(schema_name: str, run_row: Run) -> Backup:
    """The export of this run: the whole one of an earlier attempt, for that had all the files, or a new one."""
    folder = Path(settings.DATA_DIR) / "deleted" / f"{schema_name}-{str(run_row.pk)[:8]}"
    if (folder / MANIFEST).exists():
        return Backup(folder, read_manifest(folder), digest_of(folder / MANIFEST)["sha256"])
    shutil.rmtree(folder, ignore_errors=True)
    return backup_tenant(schema_name=schema_name, folder=folder, actor=run_row.requested_by, broken_chain=True)


@transaction.atomic
def _erase(schema_name: str, reason: str, made: Backup | None, files: int, context: RunContext) -> ErasureCertificate:
    with schema_context(get_public_schema_name()):
        context.fence()
        tenant = _customer(schema_name)
        if made is not None:
            _require_unchanged(schema_name, made)
        hosts = list(Domain.objects.filter(tenant=tenant).values_list("domain", flat=True))
        certificate = ErasureCertificate.objects.create(
            schema_name=schema_name,
            tenant_name=tenant.name,
            hosts=hosts,
            tables={table: one["count"] for table, one in made.manifest.tables.items()} if made else {},
            rows=made.manifest.rows if made else 0,
            files=len(made.manifest.files) if made else files,
            bytes=made.manifest.bytes if made else 0,
            events=made.manifest.events if made else 0,
            chain_head=made.manifest.chain_head if made else "",
            public_rows=_erase_public(tenant),
            export=str(made.folder) if made else "",
            export_sha256=made.sha256 if made else "",
            reason=reason,
            requested_by_name=context.run.requested_by_name,
            requested_at=context.run.first_queued_at,
            run_id=context.run.pk,
        )
        run(f"SET LOCAL lock_timeout = '60s'; DROP SCHEMA IF EXISTS {quoted(schema_name)} CASCADE")
        facts: dict[str, Any] = {"certificate": certificate.pk, "rows": certificate.rows, "files": certificate.files}
        facts |= {"reason": reason, "export_sha256": certificate.export_sha256, "chain_head": certificate.chain_head}
        record(event="tenant.erased", actor=context.run.requested_by, subject=certificate, data=facts)
    return certificate


def _erase_public(tenant: Tenant) -> dict[str, int]:
    """Delete what public knows of a tenant besides its certificate, its runs and its audit events; rows by table."""
    name = tenant.schema_name
    applications = TenantApplication.objects.filter(tenant=tenant)
    counts = {
        "invitations": Invitation.objects.filter(schema_name=name).delete()[0],
        "mails": OutgoingMail.objects.filter(schema_name=name).delete()[0],
        "applications": applications.delete()[0],
        "heartbeats": Heartbeat.objects.filter(schema_name=name).delete()[0],
        "states": SchemaState.objects.filter(schema_name=name).delete()[0],
        "hosts": Domain.objects.filter(tenant=tenant).delete()[0],
    }
    run_messages = "DELETE FROM django_q_ormq WHERE split_part(key, '/', 2) = %s RETURNING 1"
    counts["messages"] = len(rows(run_messages, [name]))
    rows("DELETE FROM tenants_tenant WHERE id = %s RETURNING 1", [tenant.pk])
    return {what: count for what, count in counts.items() if count}


def _require_unchanged(schema_name: str, made: Backup) -> None:
    """What is dropped is what was exported, or nothing is dropped."""
    held = digests(schema_name, tables_of(schema_name))
    now = {table: (one.count, one.digest) for table, one in held.items()}
    then = {table: (one["count"], one["digest"]) for table, one in made.manifest.tables.items()}
    if changed := sorted(table for table in {*now, *then} if now.get(table) != then.get(table)):
        shutil.rmtree(made.folder, ignore_errors=True)
        raise BackupRefused(f"{', '.join(changed[:3])} changed after the export. Nothing was dropped; resume the run.")


def _customer(schema_name: str) -> Tenant:
    if schema_name == get_public_schema_name():
        raise TenantRefused("The platform itself is no tenant and cannot be deleted.")
    tenant: Tenant | None = Tenant.objects.select_for_update().filter(schema_name=schema_name).first()
    if tenant is None:
        raise TenantRefused(f"There is no tenant {schema_name!r}.")
    return tenant


def _has_ledger(schema_name: str) -> bool:
    query = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'ledger_run'"
    return bool(rows(query, [schema_name]))
