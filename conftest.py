"""Fixtures of the whole suite: one pair of tenants a session, real PostgreSQL, no mocks of our own code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import pytest_django.fixtures
from django.contrib.auth.models import Group, User
from django.core.files.storage import storages
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.test import Client, override_settings
from django_q.models import OrmQ
from django_tenants.utils import schema_context
from pytest_django import DjangoDbBlocker

from ledger.schema import connection
from tenants.models import Tenant, TenantStatus, TenantTier
from tenants.roles import Role
from tenants.services.provisioning import create_tenant, ensure_platform
from tenants.services.templates import ensure_template

pytest_plugins = ["productization.recording"]

PASSWORD = "a long passphrase for tests"  # noqa: S105  # of users that only tests have
_numbers = itertools.count(1)
Lasting = Callable[[], AbstractContextManager[Tenant]]


@receiver(setting_changed)
def _forget_media_root(*, setting: str, **_: Any) -> None:
    """The tenants' storage keeps the folder that it saw first; without this, no test's own folder would be used."""
    if setting == "MEDIA_ROOT":
        storages["default"].__dict__.pop("relative_media_root", None)


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hash tests' passwords quickly: the real hash costs 0.6 s for every user."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """Always make the test database: pytest-django would not for a run of ``throwaway`` tests alone, and they would
    then write into the developer's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytest_django.fixtures, "_get_databases_for_setup", lambda items: ({"default"}, set()))
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Build the public tenant, the template, and its clones ``alpha`` and ``beta`` once; with ``--reuse-db`` they are
    there already."""
    with django_db_blocker.unblock():
        ensure_platform()
        ensure_template()
        if Tenant.objects.filter(schema_name="beta").exists():
            return
        create_tenant(
            schema_name="alpha", name="Alpha", status=TenantStatus.ACTIVE, currency="EUR", time_zone="Europe/Berlin"
        )
        create_tenant(schema_name="beta", name="Beta", tier=TenantTier.ENTERPRISE, status=TenantStatus.ACTIVE)


@pytest.fixture
def alpha(db: None) -> Iterator[Tenant]:
    """The connection stands in tenant alpha; what the test writes is rolled back."""
    yield from _inside("alpha")


@pytest.fixture
def beta_tenant(db: None) -> Tenant:
    """Tenant beta's row; enter its schema with ``schema_context("beta")``."""
    return Tenant.objects.get(schema_name="beta")


def _inside(schema_name: str) -> Iterator[Tenant]:
    connection.set_schema_to_public()
    tenant = Tenant.objects.get(schema_name=schema_name)
    connection.set_tenant(tenant)
    try:
        yield tenant
    finally:
        connection.set_schema_to_public()


@pytest.fixture
def throwaway(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Tenant]:
    """A tenant whose writes are really committed, for concurrency and kills; its schema is dropped afterwards."""
    with django_db_blocker.unblock():
        tenant = _made(f"throwaway_{next(_numbers)}")
        try:
            yield tenant
        finally:
            _drop(tenant)


@pytest.fixture(scope="module")
def lasting(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Lasting]:
    """A tenant ``lasting`` for all tests of a module, so that what is dear, such as a trained version, is made once.

    ``with lasting():`` writes into it for good: in fixtures of the module's scope. A test stands in it by
    ``connection.set_tenant`` and the fixture ``db``; what the test writes is rolled back.
    """

    @contextmanager
    def inside() -> Iterator[Tenant]:
        with django_db_blocker.unblock():
            connection.set_tenant(tenant)
            try:
                yield tenant
            finally:
                connection.set_schema_to_public()

    with django_db_blocker.unblock():
        tenant = _made("lasting")
    connection.set_schema_to_public()
    yield inside
    with django_db_blocker.unblock():
        _drop(tenant)


def _made(name: str) -> Tenant:
    connection.set_schema_to_public()
    tenant = create_tenant(schema_name=name, name=name, status=TenantStatus.ACTIVE)
    connection.set_tenant(tenant)
    return tenant


def _drop(tenant: Tenant) -> None:
    name = tenant.schema_name
    connection.set_schema_to_public()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
        cursor.execute("DELETE FROM tenants_domain WHERE tenant_id = %s", [tenant.pk])
        for table in ("tenants_heartbeat", "tenants_schemastate"):
            cursor.execute(f"DELETE FROM {table} WHERE schema_name = %s", [name])  # noqa: S608  # two literals
        cursor.execute("DELETE FROM tenants_tenant WHERE id = %s", [tenant.pk])
    for message in OrmQ.objects.all():  # its jobs' messages lie in the public schema
        if name in message.task["args"]:
            message.delete()
    connection.close()


@pytest.fixture
def make_user() -> Callable[..., User]:
    """Make a user of the current schema with the named roles: ``make_user("ann", Role.REVIEWER)``."""

    def make(username: str, *roles: Role, **fields: Any) -> User:
        user = User.objects.create_user(username=username, password=PASSWORD, is_staff=True, **fields)
        user.groups.set(Group.objects.filter(name__in=[role.value for role in roles]))
        return user

    return make


@pytest.fixture
def client_of() -> Callable[..., Client]:
    """A browser-like client on a tenant's host, logged in: ``client_of("alpha", user)``."""

    def make(schema_name: str, user: User | None = None) -> Client:
        client = Client(headers={"host": f"{schema_name.replace('_', '-')}.localhost"})
        if user is not None:
            with schema_context(schema_name):
                client.force_login(user)
        return client

    return make
