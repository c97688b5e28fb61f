"""What machines ask: alive, ready, metrics; and the fleet page with its actions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection as django_connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import OrmQ
from pytest_django.fixtures import Settings

from config.simulation.jobs import SIMULATE
from ledger.models import Run
from ledger.presence import Presence
from ledger.schema import connection
from tenants.models import Dispatch, Heartbeat, Tenant, TenantStatus
from tenants.selectors import readiness_problems

PLATFORM = "config.urls_platform"


def ask(path: str, **headers: str) -> tuple[int, str]:
    answer = Client(headers={"host": "127.0.0.1", **headers}).get(path)
    return answer.status_code, answer.content.decode()


@pytest.fixture
def worker() -> Iterator[Presence]:
    presence = Presence()
    presence.hold()
    yield presence
    presence.release()


@pytest.fixture
def staff(alpha: Tenant, make_user: Callable[..., User]) -> Client:
    connection.set_schema_to_public()
    client = Client(headers={"host": "localhost"})
    client.force_login(make_user("op", is_superuser=True))
    return client


def test_readyz__without_a_worker__says_so_and_a_balancer_may_overlook_it(alpha: Tenant) -> None:
    assert ask("/readyz") == (503, "no worker is there: jobs wait\n")
    assert ask("/readyz?worker=optional") == (200, "ready (without a worker)\n")
    assert ask("/healthz") == (200, "ok\n")


def test_readyz__worker_there_then_a_migration_missing__is_ready_then_not(alpha: Tenant, worker: Presence) -> None:
    assert ask("/readyz") == (200, "ready\n")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM public.django_migrations WHERE app = 'tenants' AND name LIKE '0003%%'")
    status, text = ask("/readyz")
    assert status == 503 and text == "1 migrations are not applied: run manage.py migrate_fleet\n"
    assert readiness_problems()


def test_metrics__from_this_machine__well_formed_with_every_gauge(alpha: Tenant) -> None:
    Heartbeat.objects.update_or_create(schema_name="alpha", defaults={"open_incidents": 3, "champion": "v1"})
    status, text = ask("/metrics")
    assert status == 200 and "\nforecourt_incidents_open 3\n" in text and 'forecourt_tenants{status="active"} 2' in text
    for line in text.splitlines():
        assert re.fullmatch(
            r'# (HELP|TYPE) forecourt_\w+ .+|forecourt_\w+(\{(\w+="[^"]*",?)+\})? -?[0-9.e+-]+', line
        ), line
    assert all(
        f"forecourt_{name}" in text for name in ("jobs_waiting", "worker_present 0", "slo_state", "slo_objective")
    )


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-For": "10.0.0.1"}, {"X-Real-IP": "::1"}, {"Forwarded": "for=1.1.1.1"}]
)
def test_metrics__through_a_proxy_or_from_elsewhere__is_not_there(alpha: Tenant, headers: dict[str, str]) -> None:
    assert ask("/metrics", **headers)[0] == 404
    for address in ("10.1.2.3", "8.8.8.8", "", "garbage"):
        assert Client(headers={"host": "alpha.localhost"}).get("/metrics", REMOTE_ADDR=address).status_code == 404


def test_metrics__with_a_token__asks_for_it_also_here(alpha: Tenant, settings: Settings) -> None:
    settings.METRICS_TOKEN = "s3cret-token"
    assert ask("/metrics")[0] == 404
    assert ask("/metrics", Authorization="Bearer wrong")[0] == 404
    assert ask("/metrics", Authorization="Bearer s3cret-token")[0] == 200


def test_fleet_page__a_thousand_tenants__at_most_ten_queries(staff: Client) -> None:
    names = [f"shop_{number:04}" for number in range(1000)]
    Tenant.objects.bulk_create(Tenant(schema_name=name, name=name, status=TenantStatus.ACTIVE) for name in names)
    Heartbeat.objects.bulk_create(
        Heartbeat(schema_name=name, champion="v1", slo_critical=number % 2) for number, name in enumerate(names)
    )
    staff.get(reverse("admin:index", urlconf=PLATFORM))
    for words, most in (("?sort=oldest", 10), ("?slo=critical&sort=oldest", 11)):  # how many a filter leaves is counted
        with CaptureQueriesContext(django_connection) as captured:
            text = staff.get(reverse("admin:index", urlconf=PLATFORM) + words).content.decode()
        asked = [one["sql"] for one in captured.captured_queries if not one["sql"].startswith("SET search_path")]
        assert len(asked) <= most, asked  # two of them are the session's and the person's
    assert "shop_0001" in text and "shop_0002" not in text and "Page 1 of 10" in text


def act(client: Client, **data: object) -> str:
    answer = client.post(reverse("admin:tenants_tenant_fleet", urlconf=PLATFORM), data, follow=True)
    return answer.content.decode()


def test_fleet_actions__dispatch_suspend_and_refusals__are_told(staff: Client) -> None:
    url = reverse("admin:tenants_tenant_fleet", urlconf=PLATFORM)
    assert staff.get(url).status_code == 405
    assert "Choose the tenants first" in act(staff, act="retrain")
    assert "Choose the tenants first" in act(staff, act="retrain", tenant=["nobody", "public"])
    assert "Choose what to do" in act(staff, act="drop", tenant=["alpha"])
    act(staff, act="retrain", tenant=["alpha"], reason="New assortment")
    made = Dispatch.objects.get()
    assert made.inputs["reason"] == "New assortment" and made.requested_by_name == "op"
    assert [entry.schema_name for entry in made.entries.all()] == ["alpha"]
    assert "Say why" in act(staff, act="suspend", tenant=["beta"])
    assert Tenant.objects.get(schema_name="beta").status == TenantStatus.ACTIVE
    assert "Suspended: Beta" in act(staff, act="suspend", tenant=["beta"], reason="Not paid")
    assert Tenant.objects.get(schema_name="beta").status_reason == "Not paid"


def test_fleet_actions__simulate__only_on_one_demo_tenant(staff: Client) -> None:
    assert "no demo tenant" in act(staff, act="simulate", tenant=["alpha"], scenario="stale_source")
    assert "one tenant at a time" in act(staff, act="simulate", tenant=["alpha", "beta"], scenario="bad_file")
    Tenant.objects.filter(schema_name="beta").update(schema_name="smb_tenant_b")
    assert "no scenario" in act(staff, act="simulate", tenant=["smb_tenant_b"], scenario="meteor")
    act(staff, act="simulate", tenant=["smb_tenant_b"], scenario="bad_file")
    run = Run.objects.get(kind=SIMULATE)
    assert run.inputs == {"scenario": "bad_file", "schema": "smb_tenant_b"} and run.requested_by_name == "op"
    assert "under way" in act(staff, act="simulate", tenant=["smb_tenant_b"], scenario="bad_file") or OrmQ.objects


def test_fleet_actions__staff_who_may_only_look__are_refused(alpha: Tenant, make_user: Callable[..., User]) -> None:
    connection.set_schema_to_public()
    client = Client(headers={"host": "localhost"})
    client.force_login(make_user("looker"))
    url = reverse("admin:tenants_tenant_fleet", urlconf=PLATFORM)
    assert client.post(url, {"act": "suspend", "tenant": ["alpha"], "reason": "x"}).status_code == 403
