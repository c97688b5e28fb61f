"""Credentials at rest, connections' form and pages, and the way to the network."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from typing import Any

import asyncssh
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context

from forecasting.tests.admin_world import World, make_world
from integrations.checks import credentials_can_be_stored
from integrations.connection_errors import ConnectionRefused, KeyUnusable
from integrations.models import SftpConnection
from integrations.services.connections import ConnectionValues, reencrypt_connections, save_connection, target_of
from integrations.services.credentials import (
    NO_SECRET,
    CredentialKeyLost,
    CredentialsKeyMissing,
    CredentialUnreadable,
    Secret,
    seal,
    unseal,
)
from integrations.services.network import is_allowed, is_host
from integrations.services.sftp_keys import parse_private_key
from ledger.models import AuditEvent
from tenants.models import Tenant
from tenants.roles import Role

OLD, NEWEST = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
WORD = "a password that nobody may read"


@pytest.fixture
def world(alpha: Tenant) -> World:
    return make_world(series_count=2)


def test_credential__other_tenant_or_purpose__does_not_open(alpha: Tenant, beta_tenant: Tenant) -> None:
    sealed = seal(WORD, purpose="sftp/1/password")
    assert WORD not in sealed and unseal(sealed, purpose="sftp/1/password").reveal() == WORD
    with pytest.raises(CredentialUnreadable):
        unseal(sealed, purpose="sftp/2/password")
    with schema_context("beta"), pytest.raises(CredentialUnreadable):
        unseal(sealed, purpose="sftp/1/password")
    with pytest.raises(CredentialUnreadable):
        unseal(sealed[:-4] + "AAAA", purpose="sftp/1/password")


def test_credential__key_lost_or_missing__says_which(alpha: Tenant, settings: Any) -> None:
    settings.CREDENTIALS_KEYS = [OLD]
    sealed = seal(WORD, purpose="p")
    settings.CREDENTIALS_KEYS = [NEWEST]
    with pytest.raises(CredentialKeyLost) as caught:
        unseal(sealed, purpose="p")
    assert OLD not in str(caught.value) and "FORECOURT_CREDENTIALS_KEYS" in str(caught.value)
    settings.CREDENTIALS_KEYS = []
    with pytest.raises(CredentialsKeyMissing):
        seal(WORD, purpose="p")
    assert [found.id for found in credentials_can_be_stored()] == ["integrations.E001"]


def test_secret__printed__shows_nothing() -> None:
    assert WORD not in f"{Secret(WORD)} {Secret(WORD)!r} {[Secret(WORD)]}"


def given(**changes: Any) -> ConnectionValues:
    values: dict[str, Any] = {
        "host": "sftp.example.com", "port": 22, "username": "shop", "folder": ".", "auth": "password",
        "after_taking": "move", "move_to": "taken", "stable_seconds": 5, "enabled": True, "password": Secret(WORD),
    }  # fmt: skip
    return ConnectionValues(**{**values, **changes})


def test_rotation__newest_key__opens_alone_afterwards(world: World, settings: Any) -> None:
    settings.CREDENTIALS_KEYS = [OLD]
    row = save_connection(source_id=world.draft.source_id, values=given(), actor=None)
    settings.CREDENTIALS_KEYS = [NEWEST, OLD]
    assert reencrypt_connections() == (1, {}) and reencrypt_connections() == (0, {})
    settings.CREDENTIALS_KEYS = [NEWEST]
    row.refresh_from_db()
    assert target_of(row).password.reveal() == WORD


@pytest.mark.parametrize("changes", [{"host": "evil.example.com"}, {"port": 2222}, {"username": "other"}])
def test_connection__pointed_elsewhere__wants_the_password_again(world: World, changes: dict[str, Any]) -> None:
    save_connection(source_id=world.draft.source_id, values=given(), actor=None)
    with pytest.raises(ConnectionRefused, match="not sent to another host"):
        save_connection(source_id=world.draft.source_id, values=given(password=NO_SECRET, **changes), actor=None)
    kept = save_connection(source_id=world.draft.source_id, values=given(password=NO_SECRET, folder="in"), actor=None)
    assert target_of(kept).password.reveal() == WORD


def test_private_key__weak_or_broken__is_refused_without_repeating_it() -> None:
    weak = asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key("openssh").decode()
    strong = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh", passphrase="x").decode()
    for text, passphrase, said in ((weak, "", "too weak"), (strong, "", "passphrase"), (strong, "y", "passphrase")):
        with pytest.raises(KeyUnusable, match=said) as caught:
            parse_private_key(Secret(text), Secret(passphrase))
        assert text[60:120] not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True), ("127.0.0.1", False), ("10.1.2.3", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("::1", False), ("fe80::1", False), ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False), ("224.0.0.1", False), ("240.0.0.1", False), ("2606:4700::1111", True),
    ],
)  # fmt: skip
def test_address__in_production__only_public_ones(address: str, allowed: bool) -> None:
    assert is_allowed(ipaddress.ip_address(address), private=False) is allowed


@pytest.mark.parametrize("text", ["sftp://x", "a/b", "a b", "user@host", "", "-x", "host:22/"])
def test_host__that_is_more_than_a_host__is_refused(text: str) -> None:
    assert not is_host(text)


def test_form__saved__never_shows_the_password(world: World, client_of: Callable[..., Client]) -> None:
    row = SftpConnection.objects.get()
    client = client_of("alpha", world.admin)
    form = {
        "host": "sftp.example.com", "port": 22, "username": "shop", "folder": ".", "auth": "password", "password": WORD,
        "after_taking": "move", "move_to": "taken", "stable_seconds": 5, "enabled": "on",
    }  # fmt: skip
    url = reverse("admin:integrations_sftpconnection_settings", args=[row.pk])
    assert client.post(url, form).status_code == 302
    row.refresh_from_db()
    assert target_of(row).password.reveal() == WORD
    pages = ("settings", "change", "hostkey", "history")
    for name in pages:
        page = client.get(reverse(f"admin:integrations_sftpconnection_{name}", args=[row.pk]))
        assert (
            page.status_code == 200
            and WORD not in page.content.decode()
            and row.sealed_password[:30] not in str(page.content)
        )
    assert WORD not in client.post(url, {**form, "port": 0}).content.decode()
    assert not AuditEvent.objects.filter(data__icontains=WORD).exists()


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_posts__by_another_role__are_forbidden(world: World, client_of: Callable[..., Client], role: Role) -> None:
    client = client_of("alpha", world.people[role])
    row = SftpConnection.objects.get()
    for name in ("settings", "hostkey", "pull"):
        url = reverse(f"admin:integrations_sftpconnection_{name}", args=[row.pk])
        assert client.post(url, {"look": "1"}).status_code == 403


def test_pages__object_of_another_tenant__are_404(
    world: World, beta_tenant: Tenant, client_of: Callable[..., Client]
) -> None:
    client = client_of("alpha", world.admin)
    for model in ("sftpconnection", "driftitem"):
        assert client.get(reverse(f"admin:integrations_{model}_change", args=[987654])).status_code == 404


def test_rotate_credentials__of_one_tenant__says_what_it_did(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("rotate_credentials", "alpha")
    assert "alpha: 0 connections" in capsys.readouterr().out
