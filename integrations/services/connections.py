"""A source's SFTP connection: saved, its server's key pinned, its secrets encrypted again, its pull started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from integrations.connection_errors import ConnectionRefused, KeyUnusable
from integrations.models import SftpConnection, Source
from integrations.models.connection import AfterTaking, SftpAuth
from integrations.services.credentials import NO_SECRET, Secret, reseal, seal, unseal
from integrations.services.delivery_life import check_takes_files
from integrations.services.network import is_host
from integrations.services.sftp import Target, shown_host_key
from integrations.services.sftp_keys import fingerprint, key_text, parse_private_key, parse_public_key
from ledger.errors import DomainError
from ledger.models import Run
from ledger.services import runs
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role

KIND = "integrations.sftp_pull"
_PLAIN = ("host", "port", "username", "folder", "auth", "after_taking", "move_to", "stable_seconds", "enabled")
_SECRETS = {"password": "sealed_password", "private_key": "sealed_key", "passphrase": "sealed_passphrase"}


@dataclass(frozen=True, slots=True)
class ConnectionValues:
    """What the form says. An empty secret keeps the stored one."""

    host: str
    port: int
    username: str
    folder: str
    auth: str
    after_taking: str
    move_to: str
    stable_seconds: int
    enabled: bool
    password: Secret = NO_SECRET
    private_key: Secret = NO_SECRET
    passphrase: Secret = NO_SECRET


@transaction.atomic
def save_connection(*, source_id: int, values: ConnectionValues, actor: AbstractBaseUser | None) -> SftpConnection:
    """Make or change the connection of a source; ``actor`` is a tenant admin, or None for the system.

    Another host or port is another server: its key has to be pinned anew. A stored password is never sent to another
    host, port or user than it was entered for, so it has to be entered again with those.

    Raises ``ConnectionRefused`` with the problem of each field, ``CredentialsKeyMissing``, ``RoleRequired``.
    """
    _require_admin(actor)
    source = Source.objects.select_for_update().get(pk=source_id)
    row = SftpConnection.objects.select_for_update().filter(source=source).first()
    before = {name: getattr(row, name) for name in _PLAIN} if row is not None else {}
    row = row or SftpConnection(source=source)
    moved = bool(before) and (before["host"], before["port"]) != (values.host, values.port)
    elsewhere = moved or (bool(before) and before["username"] != values.username)
    _refuse_bad(row, values, elsewhere)
    for name in _PLAIN:
        setattr(row, name, getattr(values, name))
    replaced = _keep_secrets(row, values)
    if moved:
        row.host_key, row.host_key_pinned_at, row.host_key_pinned_by_name = "", None, ""
    row.changed_by_name = actor_name(actor)
    row.save()
    changed = {
        name: [before.get(name), getattr(row, name)] for name in _PLAIN if before.get(name) != getattr(row, name)
    }
    record(
        event="connection.saved",
        actor=actor,
        subject=row,
        data={"source": source.name, "changed": changed, "replaced": replaced, "host_key_dropped": moved},
    )
    return row


def _refuse_bad(row: SftpConnection, values: ConnectionValues, elsewhere: bool) -> None:
    problems: dict[str, str] = {}
    if not is_host(values.host):
        problems["host"] = "Write the host's name or address alone, such as sftp.example.com."
    if not 1 <= values.port <= 65535:
        problems["port"] = "A port is a number from 1 to 65535; SFTP's is 22."
    if not values.username.strip() or not values.username.isprintable():
        problems["username"] = "Say as whom to sign in."
    if not values.folder.strip() or not values.folder.isprintable():
        problems["folder"] = "Name the folder that the files arrive in; . is the one after signing in."
    if values.after_taking == AfterTaking.MOVE and not _is_inner(values.move_to):
        problems["move_to"] = "Name a folder inside the folder, such as taken: no leading slash and no '..'."
    if not 1 <= values.stable_seconds <= 300:
        problems["stable_seconds"] = "Choose 1 to 300 seconds."
    if values.auth == SftpAuth.PASSWORD:
        kept = bool(row.sealed_password) and not elsewhere
        if not values.password and not kept:
            problems["password"] = (
                "Enter the password again: it is not sent to another host, port or user than it was entered for."
                if row.sealed_password
                else "Enter the password."
            )
    elif not values.private_key and not row.sealed_key:
        problems["private_key"] = "Paste the private key."
    elif values.private_key:
        try:
            parse_private_key(values.private_key, values.passphrase)
        except KeyUnusable as problem:
            problems["private_key"] = str(problem)
    elif values.passphrase:
        problems |= {"passphrase": "A passphrase belongs to a key: paste the private key again with it."}
    if problems:
        raise ConnectionRefused(problems)


def _is_inner(folder: str) -> bool:
    parts = folder.split("/")
    return folder.isprintable() and all(part.strip() and part not in (".", "..") for part in parts)


def _keep_secrets(row: SftpConnection, values: ConnectionValues) -> list[str]:
    """Seal what was entered, drop what the other way to sign in no longer needs; the names of what was replaced."""
    replaced: list[str] = []
    if values.auth == SftpAuth.PASSWORD:
        row.sealed_key = row.sealed_passphrase = row.public_key = ""
        if values.password:
            row.sealed_password = seal(values.password.reveal(), purpose=_purpose(row, "password"))
            replaced.append("password")
    else:
        row.sealed_password = ""
        if values.private_key:
            row.public_key = key_text(parse_private_key(values.private_key, values.passphrase))
            row.sealed_key = seal(values.private_key.reveal(), purpose=_purpose(row, "private_key"))
            row.sealed_passphrase = seal(values.passphrase.reveal(), purpose=_purpose(row, "passphrase"))
            replaced += ["private_key", "passphrase"] if values.passphrase else ["private_key"]
    return replaced


@transaction.atomic
def pin_host_key(*, connection_id: int, public_key: str, actor: AbstractBaseUser | None) -> SftpConnection:
    """Trust this public key, and no other, to be the server's. ``actor`` is a tenant admin, or None for the system.

    Raises ``KeyUnusable``, ``RoleRequired``.
    """
    _require_admin(actor)
    row = SftpConnection.objects.select_for_update().get(pk=connection_id)
    key = key_text(parse_public_key(public_key))
    before = row.host_key
    row.host_key, row.host_key_pinned_at, row.host_key_pinned_by_name = key, timezone.now(), actor_name(actor)
    row.last_error = ""
    row.save()
    record(
        event="connection.host_key_pinned",
        actor=actor,
        subject=row,
        data={
            "host": row.host,
            "port": row.port,
            "fingerprint": fingerprint(key),
            "before": fingerprint(before) if before else None,
        },
    )
    return row


def look_up_host_key(*, connection: SftpConnection, actor: AbstractBaseUser | None) -> str:
    """The public key that the server shows now, as text; nothing is pinned.

    Raises ``AddressRefused``, ``ServerUnreachable``, ``KeyUnusable``, ``RoleRequired``.
    """
    _require_admin(actor)
    return shown_host_key(connection.host, connection.port)


def start_pull(*, connection_id: int, actor: AbstractBaseUser | None) -> Run:
    """Queue a pull of the connection; ``actor`` is a tenant admin, or None for the system.

    Raises ``ConnectionRefused`` where it is switched off, ``SourcePaused``, ``TenantSuspended``, ``RunAlreadyLive``,
    ``RoleRequired``.
    """
    _require_admin(actor)
    row = SftpConnection.objects.select_related("source").get(pk=connection_id)
    refuse_idle(row)
    return runs.enqueue(kind=KIND, inputs={"connection": row.pk}, scope=row.source.name, requested_by=actor)


def start_pulls(*, actor: AbstractBaseUser | None) -> dict[str, list[str]]:
    """Queue a pull of every connection that is switched on; one that cannot be pulled now does not stop the others.

    Returns the names of the sources that are pulled, and of those that are not with the reason.
    """
    told: dict[str, list[str]] = {"queued": [], "left": []}
    for row in SftpConnection.objects.filter(enabled=True).select_related("source").order_by("source__name"):
        try:
            start_pull(connection_id=row.pk, actor=actor)
        except DomainError as error:
            told["left"].append(f"{row.source.name}: {error}")
        else:
            told["queued"].append(row.source.name)
    return told


def refuse_idle(row: SftpConnection) -> None:
    """Raise ``ConnectionRefused``, ``SourcePaused`` or ``TenantSuspended`` where nothing is pulled now."""
    check_takes_files(row.source)
    if not row.enabled:
        raise ConnectionRefused({"enabled": f"{row} is switched off. Switch it on in its form first."})


def target_of(row: SftpConnection) -> Target:
    """Everything a session needs, with the secrets opened; raises what ``credentials.unseal`` raises."""
    secrets = {name: unseal(getattr(row, field), purpose=_purpose(row, name)) for name, field in _SECRETS.items()}
    return Target(
        host=row.host,
        port=row.port,
        username=row.username,
        password=secrets["password"],
        private_key=secrets["private_key"],
        passphrase=secrets["passphrase"],
        host_key=row.host_key,
        folder=row.folder,
    )


def reencrypt_connections() -> tuple[int, dict[str, str]]:
    """Encrypt every secret of the current tenant with the newest key.

    Returns how many connections changed, and by name why others could not be opened; those stay as they are.
    """
    changed, problems = 0, {}
    for pk in SftpConnection.objects.values_list("pk", flat=True):
        with transaction.atomic():
            row = SftpConnection.objects.select_for_update(of=("self",)).select_related("source").get(pk=pk)
            try:
                fresh: dict[str, Any] = {
                    field: reseal(getattr(row, field), purpose=_purpose(row, name)) for name, field in _SECRETS.items()
                }
            except DomainError as problem:
                problems[str(row)] = str(problem)
                continue
            if any(getattr(row, field) != value for field, value in fresh.items()):
                SftpConnection.objects.filter(pk=pk).update(**fresh)
                record(event="connection.reencrypted", subject=row, data={"source": row.source.name})
                changed += 1
    return changed, problems


def _purpose(row: SftpConnection, name: str) -> str:
    return f"sftp/{row.source_id}/{name}"


def _require_admin(actor: AbstractBaseUser | None) -> None:
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
