"""Applications that are really committed: two operators at once, two applicants at once, a worker that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import transaction
from django_q.models import OrmQ
from pytest_django import DjangoDbBlocker

from ledger.errors import DomainError, TransitionRefused
from ledger.models import Run, RunState
from ledger.schema import connection
from tenants.errors import AddressRefused
from tenants.models import ApplicationState, Attempt, Invitation, OutgoingMail, Tenant, TenantApplication
from tenants.selectors import missing_tables
from tenants.services import applications
from tenants.services.limits import LONGEST, allow
from tenants.tests.application_world import make_approved, make_confirmed, make_operator, make_wish
from tests.test_worker_kill import _wait, start_worker  # noqa: F401  # a fixture

SCHEMA = "corner_shop"


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """What the test writes into public is really committed; it is taken away afterwards (but for the audit chain)."""
    with django_db_blocker.unblock():
        connection.set_schema_to_public()
        try:
            yield
        finally:
            connection.set_schema_to_public()
            TenantApplication.objects.all().delete()
            for model in (OutgoingMail, Invitation, Attempt, Run, OrmQ):
                model._default_manager.all().delete()
            with connection.cursor() as cursor:
                cursor.execute(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE')
                cursor.execute(
                    "DELETE FROM auth_user WHERE username LIKE 'operator%'"
                )  # the ORM would ask tenants' tables
                cursor.execute("DELETE FROM tenants_domain WHERE domain = 'corner-shop.localhost'")
                cursor.execute("DELETE FROM tenants_heartbeat WHERE schema_name = %s", [SCHEMA])
                cursor.execute("DELETE FROM tenants_tenant WHERE schema_name = %s", [SCHEMA])
            connection.close()


def together(*acts: Callable[[], Any]) -> list[Any]:
    """Start all at the same moment, each on its own connection; an expected refusal is the result."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        connection.set_schema_to_public()
        start.wait(30)
        try:
            return act()
        except DomainError as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [made.result(60) for made in [pool.submit(run, act) for act in acts]]


def test_approve__two_operators_at_once__one_decides_and_one_run_is_queued(committed: None) -> None:
    application = make_confirmed()
    people = [make_operator(f"operator{number}") for number in range(3)]
    results = together(
        *(
            lambda actor=actor: applications.approve(application_id=application.pk, reason="mine", actor=actor)
            for actor in people
        )
    )
    assert sum(isinstance(result, TenantApplication) for result in results) == 1
    assert sum(isinstance(result, TransitionRefused) for result in results) == 2
    assert Run.objects.filter(kind=applications.PROVISION).count() == 1


def test_approve__while_another_rejects__ends_in_one_of_both(committed: None) -> None:
    application = make_confirmed()
    one, two = make_operator("operator1"), make_operator("operator2")
    results = together(
        lambda: applications.approve(application_id=application.pk, reason="yes", actor=one),
        lambda: applications.reject(application_id=application.pk, reason="no", actor=two),
    )
    assert sum(isinstance(result, TransitionRefused) for result in results) == 1
    application.refresh_from_db()
    wanted = int(application.state == ApplicationState.APPROVED)
    assert Run.objects.filter(kind=applications.PROVISION).count() == wanted


def test_submit__one_address_by_many_at_once__is_one_s(committed: None) -> None:
    results = together(
        *(
            lambda number=number: applications.submit(wish=make_wish(email=f"a{number}@example.com"))
            for number in range(4)
        )
    )
    assert sum(isinstance(result, TenantApplication) for result in results) == 1
    assert sum(isinstance(result, AddressRefused) for result in results) == 3
    assert OutgoingMail.objects.count() == 1


def test_limit__many_at_once__counts_every_one(committed: None) -> None:
    results = together(*([lambda: allow("test", "one", limit=3, within=LONGEST)] * 8))
    assert sorted(results) == [False] * 5 + [True] * 3


def test_provisioning__worker_killed_in_the_middle__ends_with_exactly_one_tenant(
    committed: None,
    start_worker: Callable[[], subprocess.Popen[bytes]],  # noqa: F811  # the fixture
) -> None:
    application = make_approved(make_operator())

    def fresh() -> Run:
        return Run.objects.get(pk=str(application.run_id))

    def waits_to_invite() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE relation = 'tenants_invitation'::regclass AND NOT granted"
            )
            waiting: int = cursor.fetchone()[0]
            return waiting > 0

    # The table is held, so that the job stands where schema, rows and roles are made and nothing is committed.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE tenants_invitation IN SHARE MODE")
        start_worker()
        assert _wait(waits_to_invite), (fresh().state, fresh().error)
        assert not Tenant.objects.filter(schema_name=SCHEMA).exists()
        os.kill(int(fresh().worker.rpartition(":")[2]), signal.SIGKILL)

    assert _wait(lambda: fresh().state == RunState.SUCCEEDED), (fresh().state, fresh().error)
    assert [entry["outcome"] for entry in fresh().attempts_log] == ["lost", "succeeded"]
    application.refresh_from_db()
    assert application.state == ApplicationState.PROVISIONED
    assert Tenant.objects.filter(schema_name=SCHEMA).count() == 1 and Invitation.objects.count() == 1
    assert missing_tables(SCHEMA) == {}
