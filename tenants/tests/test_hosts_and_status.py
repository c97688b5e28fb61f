"""From a host to its tenant, what suspension stops, and how a tenant is made from the command line."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django_q.models import OrmQ
from django_tenants.utils import schema_context

from ledger.context import RunContext
from ledger.errors import TransitionRefused
from ledger.execution import execute
from ledger.jobs import job
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection
from ledger.services import runs
from tenants.errors import TenantRefused
from tenants.models import Tenant, TenantStatus
from tenants.roles import Role
from tenants.selectors import missing_tables, serving_schemas
from tenants.services.provisioning import change_status


@job("test.tenant_job", title="A tenant's job")
def _body(ctx: RunContext) -> dict[str, Any]:
    return {"done": True}


@pytest.mark.parametrize("path", ["/", "/admin/", "/api/v1/forecasts/", "/static/forecourt/forecourt.css"])
def test_host__unknown__is_404_with_a_plain_page(db: None, path: str) -> None:
    page = Client(headers={"host": "nobody.localhost"}).get(path)
    assert page.status_code == 404
    assert "No tenant lives at" in page.content.decode()


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/api/v1/forecasts/", "/nowhere/"])
def test_host__of_a_suspended_tenant__is_403_with_a_plain_page(beta_tenant: Tenant, path: str) -> None:
    client = Client(headers={"host": "beta.localhost"})
    assert client.get(path).status_code != 403 or path.startswith("/api/")
    change_status(schema_name="beta", status=TenantStatus.SUSPENDED, reason="unpaid")
    for page in (client.get(path), client.post(path)):
        assert page.status_code == 403
        assert "Beta is suspended" in page.content.decode()
    assert connection.schema_name == "public", "nothing of the suspended tenant stays open"
    assert Client(headers={"host": "alpha.localhost"}).get("/admin/login/").status_code == 200


def test_host__in_capitals_or_with_a_port__is_the_same_tenant(alpha: Tenant) -> None:
    for host in ("ALPHA.localhost", "alpha.localhost:8000"):
        assert Client(headers={"host": host}).get("/admin/login/").status_code == 200


def test_suspension__queued_job__waits_and_goes_on_when_active_again(
    alpha: Tenant, django_capture_on_commit_callbacks: Any
) -> None:
    run = runs.enqueue(kind="test.tenant_job")
    change_status(schema_name="alpha", status=TenantStatus.SUSPENDED, reason="unpaid")
    assert "alpha" not in serving_schemas()
    assert execute("alpha", str(run.pk)) == "waiting"
    assert connection.schema_name == "public"
    with django_capture_on_commit_callbacks(execute=True):
        change_status(schema_name="alpha", status=TenantStatus.ACTIVE, reason="paid")
    assert [message.task["args"] for message in OrmQ.objects.all()] == [("alpha", str(run.pk))]
    assert execute("alpha", str(run.pk)) == RunState.SUCCEEDED
    with schema_context("alpha"):
        assert Run.objects.get(pk=run.pk).attempt == 1


def test_status__without_a_reason_or_off_the_table__is_refused(beta_tenant: Tenant) -> None:
    with pytest.raises(TenantRefused):
        change_status(schema_name="beta", status=TenantStatus.SUSPENDED, reason=" ")
    with pytest.raises(TransitionRefused):
        change_status(schema_name="beta", status=TenantStatus.TRIAL, reason="back")
    beta_tenant.refresh_from_db()
    assert beta_tenant.status == TenantStatus.ACTIVE


def test_create_tenant__command__makes_schema_roles_host_and_chain(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_tenant", "corner_shop", "--name", "Corner Shop", "--time-zone", "Europe/Berlin")
    assert "http://corner-shop.localhost/admin/" in capsys.readouterr().out
    assert Client(headers={"host": "corner-shop.localhost"}).get("/admin/login/").status_code == 200
    assert missing_tables("corner_shop") == {}
    with schema_context("corner_shop"):
        from django.contrib.auth.models import Group

        assert set(Group.objects.values_list("name", flat=True)) == {role.value for role in Role}
        assert AuditEvent.objects.get().event == "tenant.created"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alpha", "--name", "Again"], "already exists"),
        (["Bad-Name", "--name", "x"], "lower-case letters"),
        (["public", "--name", "x"], "lower-case letters"),
        (["pg_shop", "--name", "x"], "lower-case letters"),
        (["shop", "--name", "x", "--time-zone", "Mars/Olympus"], "IANA time zone"),
        (["shop", "--name", "x", "--currency", "euro"], "ISO 4217"),
    ],
)
def test_create_tenant__what_cannot_be__is_one_line_status_2_and_leaves_nothing(
    db: None, arguments: list[str], words: str
) -> None:
    before = Tenant.objects.count()
    with pytest.raises(CommandError, match=words) as caught:
        call_command("create_tenant", *arguments)
    assert caught.value.returncode == 2 and "\n" not in str(caught.value)
    assert Tenant.objects.count() == before


def test_verify_ledger__unknown_schema__is_refused_and_a_broken_chain_exits_1_naming_the_row(
    alpha: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="No such schema: nobody") as caught:
        call_command("verify_ledger", "nobody")
    assert caught.value.returncode == 2
    connection.set_tenant(alpha)
    row = AuditEvent.objects.order_by("sequence").first()
    assert row is not None
    call_command("verify_ledger", "alpha", "beta")
    connection.set_tenant(alpha)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE ledger_auditevent SET actor_name = 'nobody' WHERE id = %s", [row.pk])
        cursor.execute("SET session_replication_role = DEFAULT")
    with pytest.raises(CommandError) as caught:
        call_command("verify_ledger")
    assert caught.value.returncode == 1
    assert f"alpha: row {row.pk} (event #{row.sequence} {row.event})" in capsys.readouterr().err
