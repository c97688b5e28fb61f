"""A tenant as a backup and back, and a tenant deleted while its jobs run: real dumps, real commits."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connections, transaction
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context
from pytest_django import DjangoDbBlocker

from ledger.context import RunContext
from ledger.errors import TransitionRefused
from ledger.execution import execute
from ledger.jobs import job
from ledger.models import AuditEvent, Run, RunState
from ledger.services.runs import enqueue
from ledger.services.verify import verify_chain
from tenants.catalogue.reading import rows, run, schema_is_there
from tenants.errors import BackupRefused, PlatformOperatorRequired, TenantRefused
from tenants.models import Domain, ErasureCertificate, Heartbeat, SchemaMade, SchemaState, Tenant, TenantStatus
from tenants.services import deletion
from tenants.services.backup import backup_tenant, restore_tenant
from tenants.services.backup_files import DUMP, MANIFEST, read_manifest

WORK, STUBBORN = "tenants.test_work", "tenants.test_stubborn"
_started, _go_on = threading.Event(), threading.Event()


@job(WORK, title="Work until told to end", max_attempts=1)
def _work(context: RunContext) -> dict[str, Any]:
    _started.set()
    for number in range(600):
        _go_on.wait(0.05)
        context.progress(number, number, "At it")  # done = total, so that every one is written
    return {}


@job(STUBBORN, title="Work without a look", max_attempts=1)
def _stubborn(context: RunContext) -> dict[str, Any]:
    _started.set()
    _go_on.wait(30)
    with transaction.atomic():
        context.fence()
        User.objects.create_user("too late")
    return {}


@pytest.fixture
def stored(settings: Any, tmp_path: Path) -> Path:
    """Tenants' files and exports lie in a folder of the test's own."""
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path


@pytest.fixture
def shop(throwaway: Tenant, stored: Path) -> Tenant:
    """A tenant with a person, a run, and two files."""
    User.objects.create_user("ann", "ann@example.org")
    Run.objects.create(kind="tenants.test", idempotency_key="one", outputs={"text": "Ünïcode; '\"\\ \n\t"})
    default_storage.save("models/1/model.txt", ContentFile(b"tree\x00\xff" * 1000))
    default_storage.save("top.csv", ContentFile(b"a;b\n"))
    return throwaway


@pytest.fixture
def gone_after(django_db_blocker: DjangoDbBlocker) -> Iterator[list[str]]:
    """Names of tenants that the test makes and that are taken away afterwards."""
    names: list[str] = []
    yield names
    with django_db_blocker.unblock():
        for name in names:
            run(f"DROP SCHEMA IF EXISTS {name} CASCADE")
            Domain.objects.filter(tenant__schema_name=name).delete()
            Heartbeat.objects.filter(schema_name=name).delete()
            SchemaState.objects.filter(schema_name=name).delete()
            run(f"DELETE FROM tenants_tenant WHERE schema_name = '{name}'")
        connections.close_all()


def test_backup__restored_under_another_name__is_the_same_in_every_row_and_file_and_rests(
    shop: Tenant, stored: Path, gone_after: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored / "backup"
    call_command("backup_tenant", shop.schema_name, out=folder)
    manifest = read_manifest(folder)
    assert (manifest.tables["auth_user"]["count"], sorted(manifest.files)) == (1, ["models/1/model.txt", "top.csv"])
    assert (folder / DUMP).stat().st_mode & 0o077 == 0
    gone_after.append("copy_shop")
    call_command("restore_tenant", folder, schema="copy_shop")
    assert "every table, file and audit event is what was backed up" in capsys.readouterr().out
    copy = Tenant.objects.get(schema_name="copy_shop")
    assert (copy.status, "check it, then activate it" in copy.status_reason) == (TenantStatus.SUSPENDED, True)
    state = SchemaState.objects.get(schema_name="copy_shop")
    assert (state.made, state.standing) == (SchemaMade.RESTORE, "at_target")
    with schema_context("copy_shop"):
        assert Run.objects.get(idempotency_key="one").outputs == {"text": "Ünïcode; '\"\\ \n\t"}
        assert default_storage.open("models/1/model.txt").read() == b"tree\x00\xff" * 1000
        report = verify_chain()
        assert (report.intact, report.events) == (True, manifest.events + 1)
        assert AuditEvent.objects.values_list("event", flat=True).first() == "tenant.restored"
        assert User.objects.create_user("bob").pk > User.objects.get(username="ann").pk
        with pytest.raises(DatabaseError, match="append-only"):
            AuditEvent.objects.all().delete()
    assert rows("SELECT datname FROM pg_database WHERE datname LIKE 'forecourt_restore%%'") == []
    _bad_backups(folder, stored)


def _bad_backups(folder: Path, stored: Path) -> None:
    """Each refused in words, and nothing of it left; on the backup of the test above, for a dump takes its time."""

    def spoilt(name: str, spoil: Callable[[Path], object]) -> Path:
        copy = stored / name
        shutil.copytree(folder, copy)
        spoil(copy)
        return copy

    def edit(**changes: Any) -> Callable[[Path], object]:
        def change(path: Path) -> None:
            body = json.loads((path / MANIFEST).read_text())
            for key, value in changes.items():
                body[key] = value(body[key]) if callable(value) else value
            (path / MANIFEST).write_text(json.dumps(body))

        return change

    dump = (folder / DUMP).read_bytes()
    flipped = dump[:-100] + bytes([dump[-100] ^ 1]) + dump[-99:]
    more = {"auth_user": {"count": 2, "digest": "0/0"}}
    cases: dict[str, tuple[Callable[[Path], object], str]] = {
        "altered": (lambda path: (path / DUMP).write_bytes(flipped), "schema.dump was altered"),
        "cut": (lambda path: (path / DUMP).write_bytes(dump[:5000]), "5000 bytes, not"),
        "lost": (lambda path: (path / "files" / "top.csv").unlink(), "files/top.csv is missing"),
        "other_file": (lambda path: (path / "files" / "top.csv").write_bytes(b"a,b\n"), "top.csv was altered"),
        "no_manifest": (lambda path: (path / MANIFEST).unlink(), "no whole backup"),
        "half_manifest": (lambda path: (path / MANIFEST).write_text('{"schema_name": '), "cannot be read"),
        "newer": (edit(migrations=lambda names: [*names, "forecasting.9999_later"]), "newer release.*9999_later"),
        "newer_format": (edit(format=2), "has format 2"),
        "outside": (edit(files={"../../../etc/hostname": {"sha256": "", "bytes": 1}}), "outside of the backup"),
        "other_rows": (edit(tables=lambda tables: {**tables, **more}), "auth_user has other rows"),
        "other_chain": (edit(chain_head="0" * 64), "audit chain is not the one"),
    }
    for name, (spoil, words) in cases.items():
        with pytest.raises(BackupRefused, match=words):
            restore_tenant(folder=spoilt(name, spoil), schema_name="bad_copy")
        assert not schema_is_there("bad_copy"), name
    with pytest.raises(BackupRefused, match="not an empty folder"):
        backup_tenant(schema_name="alpha", folder=folder)
    for taken in ("copy_shop", "alpha", "_forecourt_template", "public"):
        with pytest.raises(TenantRefused):
            restore_tenant(folder=folder, schema_name=taken)
    with pytest.raises(CommandError) as caught:
        call_command("backup_tenant", "nobody", out=stored / "none")
    assert caught.value.returncode == 2
    assert not Tenant.objects.filter(schema_name="bad_copy").exists()
    with schema_context("bad_copy"):
        assert default_storage.exists("top.csv") is False


def _at_work(schema_name: str, kind: str) -> tuple[threading.Thread, Run]:
    """A run of that kind, started as a worker's process would start it."""
    _started.clear()
    _go_on.clear()
    with schema_context(schema_name):
        one = enqueue(kind=kind)

    def work() -> None:
        try:
            execute(schema_name, str(one.pk))
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert _started.wait(20)
    return thread, one


def test_deletion__while_jobs_run__ends_them_exports_erases_and_certifies_once(
    shop: Tenant, stored: Path, gone_after: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = shop.schema_name
    thread, one = _at_work(name, WORK)
    with schema_context(name):
        waiting = enqueue(kind=STUBBORN, scope="waits")
    asked = deletion.ask(schema_name=name, confirmation=name, reason="They left")
    assert Client(headers={"host": f"{name.replace('_', '-')}.localhost"}).get("/admin/login/").status_code == 403
    assert execute(name, str(waiting.pk)) == "waiting"
    with schema_context(name):
        refused = Run.objects.get(pk=waiting.pk)
        assert (refused.state, refused.error) == (RunState.CANCELLED, "Its tenant is being deleted.")
    thread.join(20)
    with schema_context(name):
        ended = Run.objects.get(pk=one.pk)
        assert (ended.state, ended.error_code) == (RunState.CANCELLED, "tenant_deleted")
    monkeypatch.setattr(deletion, "GRACE_SECONDS", 0.2)
    late, last = _late_worker(name)  # it does not look whether somebody cancelled it
    assert execute("public", str(asked.pk)) == RunState.SUCCEEDED
    assert not schema_is_there(name) and not Tenant.objects.filter(schema_name=name).exists()
    _go_on.set()
    late.join(20)
    assert not User.objects.filter(username="too late").exists()
    assert not Run.objects.filter(pk=last.pk).exists()
    assert execute(name, str(waiting.pk)) == "not queued"  # its message came once more
    certificate = ErasureCertificate.objects.get(schema_name=name)
    assert (certificate.tables["auth_user"], certificate.files, certificate.reason) == (1, 2, "They left")
    assert certificate.rows == sum(certificate.tables.values())
    told = AuditEvent.objects.filter(event="tenant.erased").latest("sequence")
    assert told.data["export_sha256"] == certificate.export_sha256
    with schema_context(name):
        assert default_storage.listdir("")[0] == []
    with pytest.raises(DatabaseError, match="stays as it was written"):
        ErasureCertificate.objects.update(rows=0)
    Run.objects.filter(pk=asked.pk).update(state=RunState.QUEUED)  # its worker went away between commit and end
    assert execute("public", str(asked.pk)) == RunState.SUCCEEDED
    assert ErasureCertificate.objects.filter(schema_name=name).count() == 1
    gone_after.append(name)
    restored = restore_tenant(folder=Path(certificate.export), schema_name=name)
    assert restored.name == shop.name


def _late_worker(schema_name: str) -> tuple[threading.Thread, Run]:
    """One that claimed its run in the moment in which the deletion was asked for."""
    Tenant.objects.filter(schema_name=schema_name).update(status=TenantStatus.ACTIVE)
    try:
        return _at_work(schema_name, STUBBORN)
    finally:
        Tenant.objects.filter(schema_name=schema_name).update(status=TenantStatus.DELETING)


def test_deletion__not_confirmed_not_allowed_or_twice__is_refused_and_changes_nothing(
    alpha: Tenant, client_of: Callable[..., Client]
) -> None:
    with schema_context("public"):
        viewer = User.objects.create_user("viewer", is_staff=True)
        for confirmation in ("", "Alpha", "alpha ", "beta"):
            with pytest.raises(TenantRefused, match="Type alpha to confirm"):
                deletion.ask(schema_name="alpha", confirmation=confirmation, reason="x")
        with pytest.raises(TenantRefused, match="Say why"):
            deletion.ask(schema_name="alpha", confirmation="alpha", reason=" ")
        with pytest.raises(TenantRefused, match="platform itself"):
            deletion.ask(schema_name="public", confirmation="public", reason="x")
        with pytest.raises(TenantRefused, match="no tenant 'nobody'"):
            deletion.ask(schema_name="nobody", confirmation="nobody", reason="x")
        with pytest.raises(PlatformOperatorRequired):
            deletion.ask(schema_name="alpha", confirmation="alpha", reason="x", actor=viewer)
        assert Tenant.objects.get(schema_name="alpha").status == TenantStatus.ACTIVE
        deletion.ask(schema_name="alpha", confirmation="alpha", reason="x")
        with pytest.raises(TransitionRefused):
            deletion.ask(schema_name="alpha", confirmation="alpha", reason="x")


def test_deletion__dialog__get_changes_nothing__a_wrong_name_keeps_the_form__the_right_one_queues_the_job(
    db: None,
) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("operator"))
    tenant = Tenant.objects.get(schema_name="beta")
    page = reverse("admin:tenants_tenant_erase", urlconf="config.urls_platform", args=[tenant.pk])
    detail = reverse("admin:tenants_tenant_change", urlconf="config.urls_platform", args=[tenant.pk])
    assert page in client.get(detail).content.decode()
    assert "Type the name of its schema" in client.get(page + "?confirmation=beta&reason=x").content.decode()
    wrong = client.post(page, {"confirmation": "Beta", "reason": "They left"})
    assert "Type beta to confirm" in wrong.content.decode() and "They left" in wrong.content.decode()
    tenant.refresh_from_db()
    assert tenant.status == TenantStatus.ACTIVE
    client.post(page, {"confirmation": "beta", "reason": "They left"})
    tenant.refresh_from_db()
    queued = Run.objects.get(kind=deletion.DELETE)
    assert (tenant.status, queued.requested_by_name, queued.scope) == (TenantStatus.DELETING, "operator", "beta")
    assert page not in client.get(detail).content.decode()
