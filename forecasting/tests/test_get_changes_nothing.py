"""A state never changes by GET: every address of a tenant's site, opened by somebody who may do everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from forecasting.models import Series
from forecasting.tests.admin_world import World, make_world
from forecasting.tests.factories import make_person
from ledger.models import Run
from tenants.models import Tenant
from tenants.roles import Role

ITS_OWN = {"django_session", "django_migrations"}
"""A session is the visitor's own: signing out by GET is refused by Django, opening a page may prolong it."""
CHANGE = "?decision=approve&reason=yes&confirm=1&to=suspended&state=retired&delete=1&action=delete_selected&format=json"
PLACE = re.compile(r"<(?:\w+:)?(\w+)>")


def _patterns(resolver: Any, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern, here)
        elif isinstance(pattern, URLPattern):
            yield here


def _address(pattern: str, world: World) -> str:
    """The pattern with the key of something that is there in each of its places."""
    parts = pattern.split("/")
    model = None
    if parts[0] == "admin" and len(parts) > 2:
        model = next(
            (m for m in apps.get_models() if (m._meta.app_label, m._meta.model_name) == tuple(parts[1:3])), None
        )
    first = model._default_manager.first() if model is not None else None

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        known = {
            "series": Series.objects.earliest("pk").pk, "version": world.pending.candidate.number, "source": "pos",
            "run_id": Run.objects.earliest("pk").pk, "form": "csv", "token": "none", "content_type_id": 1,
        }  # fmt: skip
        return str(known.get(name, first.pk if first is not None else 1))

    return "/" + PLACE.sub(value, pattern)


def _contents() -> dict[str, tuple[int, str]]:
    """Number and hash of the rows of every table of this schema."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
        for (table,) in cursor.fetchall():
            if table not in ITS_OWN:
                cursor.execute(
                    f"SELECT count(*), md5(coalesce(string_agg(t::text, ' ' ORDER BY t::text), '')) FROM {table} t"
                )
                found[table] = cursor.fetchone()
    return found


def test_get__of_every_address_of_the_site__changes_no_row(alpha: Tenant, client_of: Callable[..., Client]) -> None:
    world = make_world()
    everything = make_person("everything", *Role)
    everything.is_superuser = True
    everything.save()
    client = client_of("alpha", everything)
    addresses = [
        _address(one, world) for one in sorted(set(_patterns(get_resolver("config.urls_tenant")))) if usual(one)
    ]
    opened, before = 0, _contents()
    for batch in (addresses[k : k + 25] for k in range(0, len(addresses), 25)):
        for address in batch:
            response = client.get(address + CHANGE)
            assert response.status_code < 500, address
            if "/login/" in response.headers.get("Location", ""):
                client.force_login(everything)
            opened += response.status_code == 200
        after = _contents()
        assert after == before, (batch, [table for table in after if after[table] != before.get(table)])
    assert opened > 100, "most addresses are pages"


def usual(pattern: str) -> bool:
    """Whether it is an address, and not a catch-all for what has no page."""
    return "^" not in pattern and "(" not in pattern
