"""What the worker does beside the jobs: it looks into the schemas that have something to look for, and no others."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tenants.utils import schema_context
from pytest_django.fixtures import Settings

from config.worker.upkeep import keep_promises, reap_everywhere
from ledger.execution import execute
from ledger.models import Run, RunState
from ledger.schema import connection as schema_connection
from ledger.selectors import schemas_with_live_runs
from tenants.models import Tenant
from tenants.prometheus import exposition
from tenants.services.platform_audit import VERIFY, verify_due

ALL = ["public", "alpha", "beta"]


def silent_run(state: RunState = RunState.RUNNING) -> Run:
    """A run of the current schema that gave its last sign of life an hour ago."""
    then = timezone.now() - timedelta(hours=1)
    return Run.objects.create(kind="test.silent", state=state, heartbeat_at=then, worker="gone:1", attempt=1)


def test_live_runs__of_many_schemas__are_found_in_one_statement(alpha: Tenant) -> None:
    Run.objects.create(kind="test.done", state=RunState.SUCCEEDED)
    with schema_context("beta"):
        silent_run()
    with CaptureQueriesContext(connection) as asked:
        assert schemas_with_live_runs(ALL) == ["beta"]
    assert len([one for one in asked if "UNION ALL" in one["sql"]]) == 1
    assert schemas_with_live_runs([]) == []


def test_live_runs__one_schema_is_damaged__all_are_named_and_the_transaction_goes_on(alpha: Tenant) -> None:
    with transaction.atomic():
        assert schemas_with_live_runs([*ALL, "is not there"]) == [*ALL, "is not there"]
        assert not Run.objects.filter(kind="test.silent").exists()  # the transaction can still be used


def test_reap__silent_run_of_a_tenant__is_queued_again_and_others_are_not_looked_into(alpha: Tenant) -> None:
    with schema_context("beta"):
        lost = silent_run()
    assert reap_everywhere() == 1
    with schema_context("beta"):
        assert Run.objects.get(pk=lost.pk).state == RunState.QUEUED
    assert reap_everywhere() == 0


def test_platform_audit__each_day_once__and_a_changed_row_fails_the_run_with_its_name(
    alpha: Tenant, settings: Settings
) -> None:
    schema_connection.set_schema_to_public()
    settings.SCHEDULES = False
    keep_promises()
    assert not Run.objects.filter(kind=VERIFY).exists()
    noon = timezone.now().replace(hour=12)
    run = verify_due(now=noon)
    assert run is not None and verify_due(now=noon + timedelta(hours=11)) == run
    assert verify_due(now=noon + timedelta(days=1)) is None  # that of today is still to be done
    assert execute("public", str(run.pk)) == RunState.SUCCEEDED
    assert "\nforecourt_platform_audit_verified 1\n" in exposition()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE public.ledger_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE public.ledger_auditevent SET actor_name = 'nobody' WHERE event = 'run.queued'")
        cursor.execute("ALTER TABLE public.ledger_auditevent ENABLE TRIGGER USER")
    run = verify_due(now=noon + timedelta(days=1))
    assert run is not None and execute("public", str(run.pk)) == RunState.FAILED
    run.refresh_from_db()
    assert run.error_code == "audit_chain_broken" and "(run.queued): its content is not what was recorded" in run.error
    assert "\nforecourt_platform_audit_verified 0\n" in exposition()


def test_upkeep__schedules_are_on__queues_the_platforms_verification(alpha: Tenant, settings: Settings) -> None:
    schema_connection.set_schema_to_public()
    settings.SCHEDULES = True
    keep_promises()
    keep_promises()
    assert Run.objects.filter(kind=VERIFY).count() == 1
