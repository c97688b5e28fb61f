"""Keys of REST clients: made once, stored as a hash, dead on every other host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_tenants.utils import schema_context

from integrations.api.throttling import TokenRateThrottle
from integrations.models import ApiToken
from integrations.services.tokens import TokenRefused, check_key, issue_token, revoke_token
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role

MakeUser = Callable[..., User]
WHO = "/api/v1/token/"
CLIENT = Client()  # one for all: a new one loads the whole middleware again


@pytest.fixture
def admin(alpha: Tenant, make_user: MakeUser) -> User:
    return make_user("boss", Role.TENANT_ADMIN)


@pytest.fixture
def viewer(alpha: Tenant, make_user: MakeUser) -> User:
    return make_user("vera", Role.VIEWER)


def soon() -> datetime:
    return timezone.now() + timedelta(days=30)


def ask(key: str, *, schema_name: str = "alpha", scheme: str = "Token") -> Any:
    host = f"{schema_name}.localhost"
    return CLIENT.get(WHO, headers={"host": host, "Authorization": f"{scheme} {key}"})


def test_issue_token__tenant_admin__key_is_kept_as_its_hash_only(admin: User, viewer: User) -> None:
    token, key = issue_token(name="Ordering", user=viewer, expires_at=soon(), actor=admin)
    stored = ApiToken.objects.values().get(pk=token.pk)
    assert stored["digest"] == hashlib.sha256(key.encode()).hexdigest()
    assert key.startswith(stored["prefix"]) and len(key) == 55
    assert key not in json.dumps(stored, default=str)
    event = AuditEvent.objects.get(event="token.issued")
    assert (event.actor_name, event.data["user"], event.data["prefix"]) == ("boss", "vera", token.prefix)
    assert key not in json.dumps(event.data) and stored["digest"] not in json.dumps(event.data)


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_issue_token__any_other_role__is_refused(alpha: Tenant, make_user: MakeUser, viewer: User, role: Role) -> None:
    with pytest.raises(RoleRequired, match="tenant_admin"):
        issue_token(name="x", user=viewer, expires_at=soon(), actor=make_user("other", role))
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("days", "message"),
    [(-1, "at most 366 days"), (0, "at most 366 days"), (367, "at most 366 days")],
)
def test_issue_token__end_out_of_bounds__is_refused(admin: User, viewer: User, days: int, message: str) -> None:
    with pytest.raises(TokenRefused, match=message):
        issue_token(name="x", user=viewer, expires_at=timezone.now() + timedelta(days=days), actor=admin)


def test_issue_token__naive_end__is_refused(admin: User, viewer: User) -> None:
    with pytest.raises(TokenRefused, match="time zone"):
        issue_token(name="x", user=viewer, expires_at=soon().replace(tzinfo=None), actor=admin)


@pytest.mark.parametrize("name", ["", "   ", "n" * 81])
def test_issue_token__name_unusable__is_refused(admin: User, viewer: User, name: str) -> None:
    with pytest.raises(TokenRefused, match="1 to 80"):
        issue_token(name=name, user=viewer, expires_at=soon(), actor=admin)


def test_issue_token__user_inactive_or_without_role__is_refused(admin: User, make_user: MakeUser) -> None:
    with pytest.raises(TokenRefused, match="no role"):
        issue_token(name="x", user=make_user("nobody"), expires_at=soon(), actor=admin)
    gone = make_user("gone", Role.VIEWER, is_active=False)
    with pytest.raises(TokenRefused, match="inactive"):
        issue_token(name="x", user=gone, expires_at=soon(), actor=admin)


def test_revoke_token__twice__ends_it_once_with_one_event(admin: User, viewer: User) -> None:
    token, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    first = revoke_token(token=token, actor=admin)
    assert revoke_token(token=token, actor=admin).revoked_at == first.revoked_at
    assert AuditEvent.objects.filter(event="token.revoked").count() == 1
    with pytest.raises(RoleRequired):
        revoke_token(token=token, actor=viewer)
    assert ask(key).status_code == 401


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token", "BEARER"])
def test_token__valid__opens_as_its_user(admin: User, viewer: User, scheme: str) -> None:
    token, key = issue_token(name="Ordering", user=viewer, expires_at=soon(), actor=admin)
    body = ask(key, scheme=scheme).json()
    assert (body["tenant"], body["user"], body["roles"], body["token"]) == ("Alpha", "vera", ["viewer"], "Ordering")
    assert datetime.fromisoformat(body["expires_at"]) == token.expires_at


def test_token__used__is_noted_at_most_once_a_minute(admin: User, viewer: User) -> None:
    token, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    assert ask(key).status_code == 200
    token.refresh_from_db()
    first = token.last_used_at
    assert first is not None
    ask(key)
    token.refresh_from_db()
    assert token.last_used_at == first
    long_ago = first - timedelta(seconds=61)
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=long_ago)
    ask(key)
    token.refresh_from_db()
    assert token.last_used_at is not None and token.last_used_at > first


@pytest.mark.parametrize(
    ("change", "code", "advice"),
    [
        ({"expires_at": timezone.now() - timedelta(days=3)}, "token_expired", "Ask a tenant admin for a new one"),
        ({"revoked_at": timezone.now()}, "token_revoked", "Ask a tenant admin for a new one"),
        ({"digest": "f" * 64}, "token_unknown", "check the host name"),
    ],
)
def test_token__no_longer_valid__is_401_saying_what_to_do(
    admin: User, viewer: User, change: dict[str, Any], code: str, advice: str
) -> None:
    token, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    ApiToken.objects.filter(pk=token.pk).update(**change)
    response = ask(key)
    body = response.json()
    assert (response.status_code, body["code"], body["status"]) == (401, code, 401)
    assert advice in body["detail"]
    assert response["WWW-Authenticate"].startswith("Token")
    token.refresh_from_db()
    assert token.last_used_at is None


def test_token__user_made_inactive__is_401(admin: User, viewer: User) -> None:
    _, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    User.objects.filter(pk=viewer.pk).update(is_active=False)
    response = ask(key)
    assert (response.status_code, response.json()["code"]) == (401, "token_inactive_user")


def test_token__role_taken_away__is_403(admin: User, viewer: User) -> None:
    _, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    viewer.groups.clear()
    response = ask(key)
    assert (response.status_code, response.json()["code"]) == (403, "role_required")


@pytest.mark.parametrize("key", ["fc_wrong", "fc_" + "x" * 52, "fc_" + "ü" * 52, "x" * 10_000])
def test_token__never_issued__is_401(alpha: Tenant, key: str) -> None:
    response = ask(key)
    assert (response.status_code, response.json()["code"]) == (401, "token_unknown")


@pytest.mark.parametrize("header", ["Token", "Bearer ", "Token a b"])
def test_token__header_malformed__is_401_with_the_right_form(alpha: Tenant, header: str) -> None:
    response = CLIENT.get(WHO, headers={"host": "alpha.localhost", "Authorization": header})
    assert (response.status_code, response.json()["code"]) == (401, "token_malformed")
    assert "'Token KEY'" in response.json()["detail"]


def test_token__same_start_other_end__is_unknown(admin: User, viewer: User) -> None:
    _, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    assert ask(key[:-1] + ("a" if key[-1] != "a" else "b")).json()["code"] == "token_unknown"


def test_token__of_alpha__opens_nothing_on_beta(admin: User, viewer: User, beta_tenant: Tenant) -> None:
    token, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    response = ask(key, schema_name="beta")
    assert (response.status_code, response.json()["code"]) == (401, "token_unknown")
    with schema_context("beta"):
        assert not ApiToken.objects.filter(prefix=token.prefix).exists()


def test_throttle__one_token_too_often__stops_that_token_only(
    admin: User, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenRateThrottle, "rate", "2/min", raising=False)
    busy = issue_token(name="busy", user=viewer, expires_at=soon(), actor=admin)[1]
    calm = issue_token(name="calm", user=viewer, expires_at=soon(), actor=admin)[1]
    assert [ask(busy).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(busy)
    assert (refused.json()["code"], refused["Content-Type"]) == ("throttled", "application/problem+json")
    assert 0 < int(refused["Retry-After"]) <= 60
    assert ask(calm).status_code == 200


def test_check_key__valid__reads_one_row_and_writes_one(
    admin: User, viewer: User, django_assert_num_queries: Callable[[int], Any]
) -> None:
    _, key = issue_token(name="x", user=viewer, expires_at=soon(), actor=admin)
    with django_assert_num_queries(2):
        check_key(key=key)
    with django_assert_num_queries(1):
        check_key(key=key)
