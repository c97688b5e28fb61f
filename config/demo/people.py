"""The demo's people. Their passwords are made up at random on first run and kept in the data folder."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import Group, User
from django_tenants.utils import schema_context

from tenants.roles import Role

_FILE = "demo-logins.json"
# Who there is in each tenant; the platform has one operator.
TENANT_PEOPLE: dict[str, tuple[Role, ...]] = {
    "admin": (Role.TENANT_ADMIN,),
    "analyst": (Role.ANALYST,),
    "reviewer": (Role.REVIEWER,),
    "viewer": (Role.VIEWER,),
}
OPERATOR = "operator"


@dataclass(frozen=True)
class Logins:
    """User names and passwords by schema."""

    by_schema: dict[str, dict[str, str]]


def ensure_people(data_dir: Path, schema_names: list[str]) -> Logins:
    """Make the people who are not there yet and return everybody's login; idempotent.

    A person who was there before keeps the password; one whom somebody else made is left alone.
    """
    path = data_dir / _FILE
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    platform: dict[str, tuple[Role, ...]] = {OPERATOR: ()}
    wanted = {"public": platform, **dict.fromkeys(schema_names, TENANT_PEOPLE)}
    for schema_name, people in wanted.items():
        logins = known.setdefault(schema_name, {})
        with schema_context(schema_name):
            for username, roles in people.items():
                password = logins.setdefault(username, secrets.token_urlsafe(12))
                _ensure(username, password, roles, superuser=schema_name == "public")
    _write(path, known)
    return Logins(by_schema=known)


def _ensure(username: str, password: str, roles: tuple[Role, ...], *, superuser: bool) -> None:
    if User.objects.filter(username=username).exists():
        return
    user = User.objects.create_user(username, password=password, is_staff=True, is_superuser=superuser)
    user.groups.set(Group.objects.filter(name__in=[role.value for role in roles]))


def _write(path: Path, logins: dict[str, dict[str, str]]) -> None:
    """Replace the file in one step, readable by its owner only."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(logins, handle, indent=2)
    fresh.replace(path)
