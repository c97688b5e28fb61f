"""What the API's tests share: keys, and a client that sends them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from forecasting.tests.factories import make_person
from integrations.services.tokens import issue_token
from tenants.roles import Role

# One for all: a new client loads the whole middleware again. Requests with a key leave no cookie in it.
_CLIENT = Client()


def key_of(user: User) -> str:
    """A key that acts as the user, in the current schema."""
    admin = make_person("keymaster", Role.TENANT_ADMIN)
    return issue_token(name="test", user=user, expires_at=timezone.now() + timedelta(days=1), actor=admin)[1]


def viewer_key() -> str:
    """A key of a viewer, in the current schema."""
    return key_of(make_person("viewer", Role.VIEWER))


def get(schema_name: str, address: str, key: str | None = None, **headers: str) -> Any:
    """GET an address on a tenant's host. The connection stands in that tenant afterwards, as after any request."""
    sent = {"host": f"{schema_name}.localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if key is not None:
        sent["Authorization"] = f"Token {key}"
    return _CLIENT.get(address, headers=sent)


def walk(schema_name: str, address: str, key: str) -> list[dict[str, Any]]:
    """All rows of all pages."""
    rows: list[dict[str, Any]] = []
    following: str | None = address
    while following:
        body = get(schema_name, following, key).json()
        rows += body["results"]
        following = body["next"]
    return rows
