"""Connections through their pages and commands, with a real SFTP server behind them."""

# ruff: noqa: F811  # two names are fixtures, asked for by their names
from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context

from integrations.models import Delivery, DriftItem, Source
from integrations.services.credentials import CredentialKeyLost
from integrations.services.sources import create_source
from integrations.tests.conftest import probe_rows
from integrations.tests.sftp_server import PASSWORD, SftpServer
from integrations.tests.test_pull import KEYS, TEXT, connect, pull, server, source  # noqa: F401  # two are fixtures
from ledger.execution import execute
from ledger.schema import connection as db
from tenants.models import Tenant
from tenants.roles import Role


def test_pull__changed_columns__are_held_and_the_file_is_not_taken_again(source: Source, server: SftpServer) -> None:
    server.put("sales_1.csv", TEXT)
    row = connect(source, server)
    pull(row)
    server.put("sales_2.csv", TEXT.replace("qty", "pieces"))
    assert pull(row)["taken"] == ["sales_2.csv"]
    item = DriftItem.objects.get()
    assert (item.delivery.state, item.delivery.via) == ("held", "sftp")
    assert pull(row)["taken"] == [] and server.names("taken") == ["sales_1.csv", "sales_2.csv"]


def test_pull_sources__two_sources_one_of_them_in_trouble__loads_the_other_and_says_so(
    source: Source, server: SftpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("sales.csv", TEXT)
    connect(source, server)
    other = create_source(name="other", source_type="smb_csv", actor=None)
    connect(other, server, folder="nowhere")
    tenant = db.tenant
    with pytest.raises(CommandError, match="1 of 2 sources had trouble"):
        call_command("pull_sources", "alpha")
    db.set_tenant(tenant)
    told = capsys.readouterr()
    assert "till: 1 file taken: sales.csv" in told.out and "is loaded" in told.out and "other:" in told.err
    assert len(probe_rows()) == 3


def test_host_key__looked_up_and_pinned_by_the_page__is_the_one_that_is_trusted(
    source: Source, server: SftpServer, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    row = connect(source, server, pin=False)
    client = client_of("alpha", make_user("ann", Role.TENANT_ADMIN))
    url = reverse("admin:integrations_sftpconnection_hostkey", args=[row.pk])
    page = client.post(url, {"look": "1"})
    shown = KEYS["ssh-ed25519"].get_fingerprint()
    assert page.status_code == 200 and shown in page.content.decode()
    row.refresh_from_db()
    assert row.host_key == "" and PASSWORD not in page.content.decode()
    assert "public_key" in client.post(url, {"pin": "1", "public_key": "ssh-ed25519 nonsense"}).context["form"].errors
    assert client.post(url, {"pin": "1", "public_key": page.context["shown"]}).status_code == 302
    row.refresh_from_db()
    assert (row.host_key, row.host_key_pinned_by_name) == (page.context["shown"], "ann")
    server.put("sales.csv", TEXT)
    answer = client.post(reverse("admin:integrations_sftpconnection_pull", args=[row.pk]))
    tenant = db.tenant
    assert execute("alpha", answer["Location"].rstrip("/").split("/")[-2]) == "succeeded"
    db.set_tenant(tenant)
    assert Delivery.objects.get().received_by_name == "ann"
    server.stop()
    assert "nothing listens" in client.post(url, {"look": "1"}).content.decode()


def test_pull__encryption_key_lost__is_told_on_the_connections_page(
    source: Source, server: SftpServer, settings: Any, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    settings.CREDENTIALS_KEYS = [secrets.token_urlsafe(32)]
    row = connect(source, server)
    settings.CREDENTIALS_KEYS = [secrets.token_urlsafe(32)]
    with pytest.raises(CredentialKeyLost):
        pull(row)
    client = client_of("alpha", make_user("ann", Role.TENANT_ADMIN))
    page = client.get(reverse("admin:integrations_sftpconnection_change", args=[row.pk])).content.decode()
    assert "The last pull had trouble" in page and "FORECOURT_CREDENTIALS_KEYS" in page


def test_rotate_credentials__every_tenant__a_pull_works_with_the_newest_key_alone(
    source: Source, server: SftpServer, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old, newest = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    settings.CREDENTIALS_KEYS = [old]
    row = connect(source, server)
    settings.CREDENTIALS_KEYS = [newest, old]
    tenant = db.tenant
    call_command("rotate_credentials")
    db.set_tenant(tenant)
    assert "alpha: 1 connections and 0 webhooks encrypted anew." in capsys.readouterr().out
    settings.CREDENTIALS_KEYS = [newest]
    server.put("sales.csv", TEXT)
    row.refresh_from_db()
    assert pull(row)["taken"] == ["sales.csv"]
    settings.CREDENTIALS_KEYS = [secrets.token_urlsafe(32)]
    with pytest.raises(CommandError, match="1 connections or webhooks could not be opened"):
        call_command("rotate_credentials", "alpha")


def test_connection__of_another_tenant__is_404_and_stays_as_it_is(
    source: Source, server: SftpServer, beta_tenant: Tenant, make_user: Callable[..., User],
    client_of: Callable[..., Client],
) -> None:  # fmt: skip
    row = connect(source, server)
    with schema_context("beta"):
        client = client_of("beta", make_user("eve", Role.TENANT_ADMIN))
    for name in ("change", "settings", "hostkey", "pull"):
        url = reverse(f"admin:integrations_sftpconnection_{name}", args=[row.pk])
        assert client.get(url).status_code == 404, name
    url = reverse("admin:integrations_sftpconnection_hostkey", args=[row.pk])
    assert client.post(url, {"pin": "1", "public_key": row.host_key}).status_code == 404
