"""Onboarding as a run: its artifacts, its refusals, and a dry run that writes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.utils import timezone
from django_tenants.utils import schema_context
from pytest_django.fixtures import Settings

from integrations.engine.contract import DataContract
from integrations.errors import ContractOfAnotherTenant, OnboardingEnded, SourcePaused, TenantSuspended
from integrations.models import Contract, IngestBatch, Source
from integrations.services.onboarding import KIND, ingest_inputs, onboard
from integrations.services.sources import pause_source
from integrations.tests.conftest import BAD, GOOD, ProbeSink, Shop, probe_rows
from integrations.tests.test_ingest import strict
from ledger.errors import RunAlreadyLive
from ledger.execution import execute
from ledger.models import AuditEvent, Run
from ledger.schema import connection
from ledger.services import runs
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role
from tenants.services.provisioning import change_status

ARTIFACTS = {
    "canonical_schema_snapshot.json",
    "canonical_transactions.parquet",
    "column_lineage_map.json",
    "contract_validation_report.json",
    "contract_validation_report.md",
    "rejected_rows.csv",
}


def table_sizes() -> dict[str, int]:
    """Rows of every table that the tenant's schema can reach."""
    return {model._meta.label: model._default_manager.count() for model in apps.get_models() if model._meta.managed}


def test_onboard__new_source__is_a_run_that_loads_and_activates_the_contract(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    told: list[tuple[int, int, str]] = []
    result = onboard(
        contract=contract, files=shop.write(*GOOD, *BAD), actor=None, listener=lambda *step: told.append(step)
    )
    run = Run.objects.get(kind=KIND)
    batch = IngestBatch.objects.get()
    assert result.passed and not result.repeated
    assert (run.state, run.progress_percent, run.scope) == ("succeeded", 100, "till")
    assert batch.run_id == run.pk and run.outputs == json.loads(json.dumps(result.as_dict()))
    assert (run.outputs["batch"], run.outputs["series"], run.outputs["days_written"]) == (batch.pk, 2, 3)
    assert [found["rows_rejected"] for found in run.outputs["files"]] == [1]
    assert (Source.objects.get().state, Contract.objects.get().state) == ("active", "active")
    assert told[-1][0] == told[-1][1] and len(probe_rows()) == 3


def test_onboard__artifacts__are_in_the_tenants_storage_with_their_hashes(
    sink: ProbeSink, contract: DataContract, shop: Shop, storage_folder: Path
) -> None:
    onboard(contract=contract, files=shop.write(*GOOD, *BAD), actor=None)
    run = Run.objects.get(kind=KIND)
    assert {artifact["name"] for artifact in run.artifacts} == ARTIFACTS
    for artifact in run.artifacts:
        content = default_storage.open(artifact["path"]).read()
        assert hashlib.sha256(content).hexdigest() == artifact["sha256"] and len(content) == artifact["bytes"]
        assert (storage_folder / "alpha" / artifact["path"]).is_file()
    paths = {artifact["name"]: storage_folder / "alpha" / artifact["path"] for artifact in run.artifacts}
    assert pq.read_table(paths["canonical_transactions.parquet"]).num_rows == 3
    rejected = paths["rejected_rows.csv"].read_text(encoding="utf-8")
    assert "2024-03-03" in rejected and "6" in rejected
    assert "passed" in paths["contract_validation_report.md"].read_text(encoding="utf-8").lower()


def test_onboard__rejected_text_that_is_a_formula__is_escaped_in_the_csv(
    sink: ProbeSink, contract: DataContract, shop: Shop, storage_folder: Path
) -> None:
    onboard(contract=contract, files=shop.write(*GOOD, "=cmd|calc,s1,apple,1,1"), actor=None)
    (path,) = storage_folder.rglob("rejected_rows.csv")
    assert '"=cmd' not in path.read_text(encoding="utf-8") and "'=cmd|calc" in path.read_text(encoding="utf-8")


def test_onboard__same_files_again__says_so_and_loads_nothing(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    files = shop.write(*GOOD)
    first = onboard(contract=contract, files=files, actor=None)
    again = onboard(contract=contract, files=files, actor=None)
    assert (again.passed, again.repeated) == (True, True)
    assert again.as_dict()["batch"] == first.as_dict()["batch"]
    assert IngestBatch.objects.count() == 1 and len(sink.calls) == 1


def test_onboard__verdict_failed__keeps_contract_as_draft_and_the_run_says_why(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    result = onboard(contract=strict(contract), files=shop.write(*GOOD, *BAD), actor=None)
    run, batch = Run.objects.get(kind=KIND), IngestBatch.objects.get()
    assert (result.verdict, result.as_dict()["batch"]) == ("failed", batch.pk)
    assert (run.state, run.error_code) == ("failed", "batch_refused")
    assert "Nothing was loaded" in run.error and run.outputs["verdict"] == "failed"
    assert {artifact["name"] for artifact in run.artifacts} >= ARTIFACTS - {"canonical_transactions.parquet"}
    assert (Source.objects.get().state, Contract.objects.get().state) == ("draft", "draft")
    assert probe_rows() == []


def test_onboard__failed_under_a_new_contract__keeps_the_active_one(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    onboard(contract=contract, files=shop.write(*GOOD), actor=None)
    onboard(contract=strict(contract), files=shop.write(*GOOD, *BAD), actor=None, confirm_breaking=True)
    assert list(Contract.objects.order_by("version").values_list("state", flat=True)) == ["active", "draft"]
    assert len(probe_rows()) == 3


@pytest.mark.parametrize("rows", [GOOD, (*GOOD, *BAD)])
def test_onboard__dry_run__writes_nothing_to_the_database_but_keeps_artifacts(
    sink: ProbeSink, contract: DataContract, shop: Shop, storage_folder: Path, rows: tuple[str, ...]
) -> None:
    before = table_sizes()
    result = onboard(contract=strict(contract), files=shop.write(*rows), actor=None, dry_run=True)
    assert table_sizes() == before and sink.calls == []
    assert result.passed is (rows == GOOD)
    assert result.as_dict()["dry_run"] is True
    kept = {path.name for path in storage_folder.rglob("*") if path.is_file()}
    assert kept == {artifact["name"] for artifact in result.as_dict()["artifacts"]} and "rejected_rows.csv" in kept


def test_onboard__dry_run_twice__gives_the_same_bytes(sink: ProbeSink, contract: DataContract, shop: Shop) -> None:
    files = shop.write(*GOOD, *BAD)
    first, second = (onboard(contract=contract, files=files, actor=None, dry_run=True).as_dict() for _ in range(2))
    assert first["artifacts"] == second["artifacts"]


def test_onboard__refused_before_reading__names_the_way_out(
    sink: ProbeSink, contract: DataContract, shop: Shop, make_user: Callable[..., User]
) -> None:
    files = shop.write(*GOOD)
    foreign = DataContract.model_validate({**contract.model_dump(mode="json"), "tenant": "beta"})
    with pytest.raises(ContractOfAnotherTenant, match="tenant: alpha"):
        onboard(contract=foreign, files=files, actor=None)
    with pytest.raises(RoleRequired):
        onboard(contract=contract, files=files, actor=make_user("bob", Role.VIEWER))
    onboard(contract=contract, files=files, actor=None)
    pause_source(source_id=Source.objects.get().pk, reason="stocktaking", actor=None)
    with pytest.raises(SourcePaused):
        onboard(contract=contract, files=files, actor=None)
    change_status(schema_name="alpha", status="suspended", reason="unpaid")
    with pytest.raises(TenantSuspended, match="unpaid"):
        onboard(contract=contract, files=files, actor=None)


def test_onboard__by_a_tenant_admin__is_in_their_name(
    sink: ProbeSink, contract: DataContract, shop: Shop, make_user: Callable[..., User]
) -> None:
    onboard(contract=contract, files=shop.write(*GOOD), actor=make_user("ann", Role.TENANT_ADMIN))
    assert IngestBatch.objects.get().received_by_name == Contract.objects.get().activated_by_name == "ann"
    assert {AuditEvent.objects.get(event=name).actor_name for name in ("batch.loaded", "contract.activated")} == {"ann"}


def test_ingest_job__queued_for_a_worker__does_the_same(
    sink: ProbeSink, contract: DataContract, shop: Shop, alpha: Tenant
) -> None:
    files = shop.write(*GOOD)
    run = runs.enqueue(kind=KIND, scope="till", inputs=ingest_inputs(contract=contract, files=files))
    assert execute("alpha", str(run.pk)) == "succeeded"
    connection.set_tenant(alpha)
    assert IngestBatch.objects.get().run_id == run.pk


def test_ingest_job__attempt_that_was_called_lost__loads_nothing(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    files = shop.write(*GOOD)

    def lose(done: int, total: int, message: str) -> None:
        if message == "Loading":
            Run.objects.filter(kind=KIND).update(heartbeat_at=timezone.now() - timedelta(hours=1))
            runs.reap(lost_after_seconds=60)

    with pytest.raises(OnboardingEnded, match="queued; nothing was loaded"):
        onboard(contract=contract, files=files, actor=None, listener=lose)
    assert probe_rows() == [] and not IngestBatch.objects.exists()


def test_onboard__run_of_a_killed_process__does_not_block_the_source(
    sink: ProbeSink, contract: DataContract, shop: Shop, settings: Settings
) -> None:
    files = shop.write(*GOOD)
    settings.RUN_HEARTBEAT_SECONDS = 0.05
    inputs = {**ingest_inputs(contract=contract, files=files), "in_process": True}
    killed, _ = runs.create(kind=KIND, scope="till", inputs=inputs)
    mine = Run.objects.filter(pk=killed.pk)
    mine.update(state="running", attempt=1, heartbeat_at=timezone.now(), worker=f"{socket.gethostname()}:{os.getpid()}")
    with pytest.raises(RunAlreadyLive, match="Wait"):
        onboard(contract=contract, files=files, actor=None)
    gone = subprocess.Popen(["true"])
    gone.wait()
    mine.update(worker=f"elsewhere:{gone.pid}")
    with pytest.raises(RunAlreadyLive):
        onboard(contract=contract, files=files, actor=None)
    mine.update(worker=f"{socket.gethostname()}:{gone.pid}")
    assert onboard(contract=contract, files=files, actor=None).passed
    assert mine.get().state == "cancelled"


def test_onboard__one_tenant__leaves_the_other_untouched(
    sink: ProbeSink, contract: DataContract, shop: Shop, beta_tenant: Tenant
) -> None:
    onboard(contract=contract, files=shop.write(*GOOD), actor=None)
    with schema_context("beta"):
        assert not Source.objects.exists() and not IngestBatch.objects.exists()
