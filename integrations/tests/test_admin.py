"""Pages of deliveries and tokens."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from forecasting.tests.admin_world import World, make_world
from integrations.models import ApiToken
from integrations.services.tokens import check_key
from ledger.models import AuditEvent
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]


@pytest.fixture
def world(alpha: Tenant) -> World:
    return make_world(series_count=2)


def test_rejected_rows__downloaded__hold_every_row_and_no_formula(world: World, client_of: ClientOf) -> None:
    url = reverse("admin:integrations_ingestbatch_rejected", args=[world.batch.pk])
    response: Any = client_of("alpha", world.people[Role.VIEWER]).get(url)
    rows = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))
    assert [row[0] for row in rows] == ["place", "sales.csv:3", "sales.csv:7"]
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_token__issued__shows_its_key_once_and_the_key_works(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.admin)
    last = (timezone.localdate() + timedelta(days=5)).isoformat()
    form = {"name": "Warehouse", "user": world.people[Role.VIEWER].pk, "expires_on": last}
    page = client.post(reverse("admin:integrations_apitoken_add"), form)
    key = page.context["key"]
    assert key in page.content.decode() and "no-store" in page.headers["Cache-Control"]
    token = ApiToken.objects.get(name="Warehouse")
    assert check_key(key=key).pk == token.pk
    for url in ("admin:integrations_apitoken_change", "admin:integrations_apitoken_history"):
        assert key not in client.get(reverse(url, args=[token.pk])).content.decode()
    assert not AuditEvent.objects.filter(data__icontains=key).exists()


def test_token__too_long_a_life__is_refused_and_form_kept(world: World, client_of: ClientOf) -> None:
    form = {"name": "Warehouse", "user": world.people[Role.VIEWER].pk, "expires_on": "2999-01-01"}
    page = client_of("alpha", world.admin).post(reverse("admin:integrations_apitoken_add"), form)
    assert "Warehouse" in page.content.decode() and not ApiToken.objects.filter(name="Warehouse").exists()


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_token__revoked_by_other_role__is_forbidden(world: World, client_of: ClientOf, role: Role) -> None:
    url = reverse("admin:integrations_apitoken_revoke", args=[world.token.pk])
    assert client_of("alpha", world.people[role]).post(url).status_code == 403
    world.token.refresh_from_db()
    assert world.token.revoked_at is None


def test_token__revoked_by_tenant_admin__is_revoked(world: World, client_of: ClientOf) -> None:
    client_of("alpha", world.admin).post(reverse("admin:integrations_apitoken_revoke", args=[world.token.pk]))
    world.token.refresh_from_db()
    assert world.token.revoked_at is not None


def test_source__paused_with_reason__is_paused_and_recorded(world: World, client_of: ClientOf) -> None:
    source = world.draft.source
    url = reverse("admin:integrations_source_state", args=[source.pk])
    client = client_of("alpha", world.admin)
    assert client.post(url, {"reason": ""}).status_code == 200
    client.post(url, {"reason": "Wrong prices"})
    source.refresh_from_db()
    assert source.state == "paused"
    assert AuditEvent.objects.get(event="source.paused").data["reason"] == "Wrong prices"
