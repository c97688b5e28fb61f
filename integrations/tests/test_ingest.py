"""One delivery, one batch: loaded wholly or not at all, conserved, once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from integrations.engine.changes import compare_contracts
from integrations.engine.conservation import UnitsBroken, assert_conserved
from integrations.engine.contract import DataContract, Role, load_contract
from integrations.engine.pieces import Pieces
from integrations.engine.types import ConservationBroken
from integrations.errors import (
    BreakingChangeUnconfirmed,
    FileChangedWhileRead,
    FileUnusable,
    SourcePaused,
    TooManyUnits,
)
from integrations.models import BatchFile, Contract, IngestBatch, RejectedRow, Source
from integrations.services.contracts import activate_contract, save_contract
from integrations.services.ingest import IngestOutcome, fingerprint_of, ingest_files, read_files
from integrations.services.sources import pause_source, source_of_contract
from integrations.tests.conftest import BAD, CONTRACT, GOOD, HEADER, ProbeSink, Shop, make_probe_table, probe_rows
from ledger.models import AuditEvent
from ledger.schema import connection
from tenants.errors import RoleRequired
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role as TenantRole

Files = dict[Role, list[Path]]


def contract_row(contract: DataContract) -> Contract:
    source = source_of_contract(contract=contract, actor=None)
    return activate_contract(contract_id=save_contract(source=source, contract=contract, actor=None).pk, actor=None)


def ingest(contract: DataContract, files: Files) -> IngestOutcome:
    return ingest_files(contract_row=contract_row(contract), files=files, actor=None)


def counts(batch: IngestBatch) -> Sequence[int]:
    return (batch.rows_read, batch.rows_loaded, batch.rows_merged, batch.rows_rejected)


def strict(contract: DataContract) -> DataContract:
    """The same contract with the default thresholds, which the bad row breaks."""
    return DataContract.model_validate({**contract.model_dump(mode="json"), "dq_thresholds": {}})


def test_read_files__a_copy_beside_its_original__is_refused_naming_both(contract: DataContract, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("sales.csv", "sales (1).csv")]
    for path in paths:
        path.write_text("\n".join((HEADER, *GOOD)) + "\n", encoding="utf-8")
    with pytest.raises(FileUnusable, match=r"sales \(1\)\.csv is a copy of sales\.csv, byte for byte"):
        read_files(contract=contract, files={Role.TRANSACTIONS: paths})
    paths[1].write_text("\n".join((HEADER, *GOOD[:1])) + "\n", encoding="utf-8")
    assert read_files(contract=contract, files={Role.TRANSACTIONS: paths}).units == 13.0


def test_ingest_files__sound_file__is_loaded_and_every_row_accounted_for(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    outcome = ingest(contract, shop.write(*GOOD, *BAD))
    batch = IngestBatch.objects.get()
    assert (outcome.passed, outcome.repeated, outcome.series) == (True, False, 2)
    assert (batch.state, counts(batch)) == ("loaded", (5, 3, 1, 1))
    assert (float(batch.units), batch.days_written) == (10.0, 3)
    assert (str(batch.first_day), str(batch.last_day)) == ("2024-03-01", "2024-03-02")
    assert probe_rows() == [
        ("s1", "apple", "2024-03-01", 5.0, batch.pk),
        ("s1", "apple", "2024-03-02", 4.0, batch.pk),
        ("s1", "pear", "2024-03-01", 1.0, batch.pk),
    ]
    row = RejectedRow.objects.get()
    assert (row.line, row.column, row.raw) == (6, "qty", BAD[0])
    assert row.batch_file == BatchFile.objects.get()


def test_ingest_files__sound_file__touches_source_heartbeat_and_audit(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    batch = ingest(contract, shop.write(*GOOD)).batch
    source, pulse = Source.objects.get(), Heartbeat.objects.get(schema_name="alpha")
    assert str(source.data_until) == str(pulse.data_until) == "2024-03-02"
    assert source.last_sync_at is not None and source.last_sync_at == pulse.last_sync_at
    event = AuditEvent.objects.get(event="batch.loaded")
    assert (event.subject_id, event.data["rows_read"], event.data["fingerprint"]) == (
        str(batch.pk),
        4,
        batch.fingerprint,
    )


def test_ingest_files__verdict_failed__loads_nothing_and_keeps_report_and_rejected_rows(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    outcome = ingest(strict(contract), shop.write(*GOOD, *BAD))
    batch = IngestBatch.objects.get()
    assert not outcome.passed
    assert (batch.state, batch.rows_read, batch.rows_loaded, batch.report["verdict"]) == ("failed", 5, 0, "failed")
    assert any(found["severity"] == "error" for found in batch.report["findings"])
    assert RejectedRow.objects.get().line == 6
    assert sink.calls == [] and probe_rows() == []
    assert Source.objects.get().last_sync_at is None
    assert AuditEvent.objects.filter(event="batch.failed").count() == 1


def test_ingest_files__same_files_again__is_a_no_op_that_says_so(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    first = ingest(contract, shop.write(*GOOD))
    again = ingest(contract, shop.write(*GOOD, name="sales_copy.csv"))
    assert (again.repeated, again.batch.pk) == (True, first.batch.pk)
    assert IngestBatch.objects.count() == 1 and len(sink.calls) == 1
    assert AuditEvent.objects.filter(event="batch.loaded").count() == 1


def test_ingest_files__same_files_under_another_contract__is_a_new_batch(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    files = shop.write(*GOOD)
    ingest(contract, files)
    other = DataContract.model_validate(
        {**contract.model_dump(mode="json"), "unit_map": {"quantity": {"multiplier": 10}}}
    )
    row = save_contract(source=Source.objects.get(), contract=other, actor=None)
    with pytest.raises(BreakingChangeUnconfirmed):
        ingest_files(contract_row=row, files=files, actor=None, activate=True)
    assert [found[3] for found in probe_rows()] == [5.0, 4.0, 1.0]
    agreed = compare_contracts(contract, other).digest
    outcome = ingest_files(contract_row=row, files=files, actor=None, activate=True, confirmed=agreed)
    assert not outcome.repeated
    assert [found[3] for found in probe_rows()] == [50.0, 40.0, 10.0]


def test_ingest_files__failed_files_again__are_judged_again(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    files = shop.write(*GOOD, *BAD)
    assert not ingest(strict(contract), files).repeated
    assert not ingest(strict(contract), files).repeated
    assert IngestBatch.objects.filter(state="failed").count() == 2


def test_ingest_files__correction_of_a_past_day__is_a_new_batch_and_keeps_the_other_days(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    first = ingest(contract, shop.write(*GOOD)).batch
    second = ingest(contract, shop.write("2024-03-01,s1,apple,7,1.50")).batch
    assert [(row[2], row[3], row[4]) for row in probe_rows()] == [
        ("2024-03-01", 7.0, second.pk),
        ("2024-03-02", 4.0, first.pk),
        ("2024-03-01", 1.0, first.pk),
    ]
    assert str(Source.objects.get().data_until) == "2024-03-02"


def test_ingest_files__sink_breaks_halfway__leaves_nothing_behind(
    sink: ProbeSink, contract: DataContract, shop: Shop, storage_folder: Path
) -> None:
    sink.fail = True
    with pytest.raises(RuntimeError, match="disk"), transaction.atomic():
        ingest(contract, shop.write(*GOOD))
    assert len(sink.calls) == 1
    assert probe_rows() == [] and IngestBatch.objects.count() == 0
    assert [path for path in storage_folder.rglob("*") if path.is_file()] == []


def test_ingest_files__paused_source__is_refused(sink: ProbeSink, contract: DataContract, shop: Shop) -> None:
    row = contract_row(contract)
    pause_source(source_id=row.source_id, reason="stocktaking", actor=None)
    row.refresh_from_db()
    with pytest.raises(SourcePaused, match="Resume"):
        ingest_files(contract_row=Contract.objects.get(pk=row.pk), files=shop.write(*GOOD), actor=None)


def test_ingest_files__not_a_tenant_admin__is_refused(
    sink: ProbeSink, contract: DataContract, shop: Shop, make_user: Callable[..., User]
) -> None:
    row = contract_row(contract)
    with pytest.raises(RoleRequired):
        ingest_files(contract_row=row, files=shop.write(*GOOD), actor=make_user("bob", TenantRole.ANALYST))
    ann = make_user("ann", TenantRole.TENANT_ADMIN)
    assert ingest_files(contract_row=row, files=shop.write(*GOOD), actor=ann).batch.received_by_name == "ann"


def test_read_files__file_that_grew_meanwhile__is_refused(contract: DataContract, shop: Shop) -> None:
    files = shop.write(*GOOD[:2])
    _, hashes = fingerprint_of(files, "c")
    shop.write(*GOOD)
    with pytest.raises(FileChangedWhileRead, match="complete"):
        read_files(contract=contract, files=files, hashes=hashes)


def test_read_files__units_beyond_all_sense__are_refused_not_a_crash(contract: DataContract, shop: Shop) -> None:
    rows = [f"2024-03-01,s1,p{number},999999999999,1" for number in range(1100)]
    with pytest.raises(TooManyUnits, match="quantity"):
        read_files(contract=contract, files=shop.write(*rows))


def test_fingerprint_of__file_gone_or_named_twice__says_what_to_do(contract: DataContract, shop: Shop) -> None:
    files = shop.write(*GOOD)
    with pytest.raises(FileUnusable, match="different names"):
        fingerprint_of({Role.TRANSACTIONS: [*files[Role.TRANSACTIONS], shop.folder / "b" / "sales.csv"]}, "c")
    with pytest.raises(FileUnusable, match="Send the file again"):
        fingerprint_of({Role.TRANSACTIONS: [shop.folder / "gone.csv"]}, "c")


def test_batch__rows_that_do_not_add_up__are_refused_by_the_database(
    sink: ProbeSink, contract: DataContract, shop: Shop
) -> None:
    batch = ingest(contract, shop.write(*GOOD)).batch
    for table in (IngestBatch.objects.filter(pk=batch.pk), BatchFile.objects.filter(batch=batch)):
        with pytest.raises(IntegrityError, match="conserved"), transaction.atomic():
            table.update(rows_merged=7)


def test_batch__loaded_twice__is_refused_by_the_database(sink: ProbeSink, contract: DataContract, shop: Shop) -> None:
    batch = ingest(contract, shop.write(*GOOD)).batch
    batch.pk = None
    with pytest.raises(IntegrityError, match="loaded_once"), transaction.atomic():
        batch.save(force_insert=True)


def test_assert_conserved__lost_row_or_unit__is_a_defect(contract: DataContract, shop: Shop) -> None:
    result = read_files(contract=contract, files=shop.write(*GOOD))
    assert_conserved(result)
    with pytest.raises(UnitsBroken):
        assert_conserved(replace(result, pieces=Pieces.of(result.demand.slice(1))))
    with pytest.raises(UnitsBroken):
        assert_conserved(replace(result, units=result.units + 1))
    lost = object.__new__(type(result.files[0]))
    for name in type(lost).__slots__:
        object.__setattr__(lost, name, getattr(result.files[0], name))
    object.__setattr__(lost, "rows_read", 99)
    with pytest.raises(ConservationBroken):
        assert_conserved(replace(result, files=(lost,)))


def test_ingest_files__two_at_once__load_one_batch_and_the_other_says_so(
    throwaway: Tenant, registered_sink: ProbeSink, shop: Shop, django_db_blocker: pytest.FixtureRequest
) -> None:
    contract = load_contract(CONTRACT.replace("tenant: alpha", f"tenant: {throwaway.schema_name}"))
    files = shop.write(*GOOD)
    outcomes: list[IngestOutcome] = []
    ready = threading.Barrier(2)

    def deliver(row: Contract) -> None:
        try:
            with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's blocker
                connection.set_tenant(throwaway)
                ready.wait(timeout=20)
                outcomes.append(ingest_files(contract_row=row, files=files, actor=None))
        finally:
            connection.close()

    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's blocker
        make_probe_table()
        row = contract_row(contract)
        threads = [threading.Thread(target=deliver, args=(row,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(outcome.repeated for outcome in outcomes) == [False, True]
        assert len({outcome.batch.pk for outcome in outcomes}) == 1
        assert IngestBatch.objects.count() == 1 and len(registered_sink.calls) == 1
