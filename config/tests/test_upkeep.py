"""What the worker does beside the jobs: it looks into the schemas that have something to look for, and no others."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tenants.utils import schema_context

from config.worker.upkeep import reap_everywhere
from ledger.models import Run, RunState
from ledger.selectors import schemas_with_live_runs
from tenants.models import Tenant

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
