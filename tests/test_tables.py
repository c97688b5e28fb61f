"""No tenant's query can fall through to public."""

from __future__ import annotations

from django.conf import settings
from django.test import Client

from ledger.schema import connection
from tenants.models import Tenant
from tenants.selectors import missing_tables

_ON_BOTH_SIDES = {"contenttypes", "auth", "sessions", "admin", "ledger"}


def test_tables__each_tenant_schema__holds_every_table_it_should(alpha: Tenant) -> None:
    assert missing_tables("alpha", "beta") == {}


def test_tables__a_dropped_table__is_named(alpha: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE alpha.forecasting_knownfuture")
    assert missing_tables("alpha", "beta") == {"alpha": ["forecasting_knownfuture"]}
    answer = Client(headers={"host": "127.0.0.1"}).get("/readyz")
    assert (answer.status_code, answer.content) == (
        503,
        b"1 tenant schemas are incomplete: run manage.py migrate_fleet\n",
    )


def test_tables__public__holds_no_table_of_a_tenant_app(alpha: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = {row[0] for row in cursor.fetchall()}
    assert not {name for name in tables if name.startswith(("forecasting_", "integrations_"))}


def test_settings__apps_on_both_sides__are_the_four_of_django_and_the_ledger() -> None:
    both = set(settings.SHARED_APPS) & set(settings.TENANT_APPS)
    assert {name.removeprefix("django.contrib.") for name in both} == _ON_BOTH_SIDES
