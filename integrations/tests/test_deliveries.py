"""Deliveries: received wholly or not at all, once for a key, and read in the order they came."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections, transaction
from django_tenants.utils import schema_context
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from integrations.delivery_errors import (
    FileEmpty,
    FileFitsNoRole,
    FileNameUnusable,
    FileTooLarge,
    IdempotencyConflict,
    IdempotencyKeyUnusable,
    NoContractInForce,
    NothingReceived,
    RoleNotInContract,
    SalesMissing,
    TooManyFiles,
)
from integrations.engine.contract import DataContract, Role
from integrations.errors import FileUnusable, SourcePaused
from integrations.models import BatchFile, Delivery, DeliveryFile, IngestBatch, Source
from integrations.models.delivery import DELIVERY_TRANSITIONS, DeliveryState
from integrations.services.deliveries import Receipt, Upload, Via, receive
from integrations.services.delivery_life import change_state, discard_delivery
from integrations.services.sources import pause_source, resume_source, source_of_contract
from integrations.services.spool import safe_name
from integrations.tests.conftest import (
    BAD,
    GOOD,
    ProbeSink,
    make_probe_table,
    probe_rows,
    stored_files,
    till_source,
    upload,
    work,
)
from ledger.errors import DomainError, TransitionRefused
from ledger.execution import execute
from ledger.models import Run, RunState
from ledger.schema import connection
from ledger.services import runs
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role as TenantRole


@pytest.fixture
def till(sink: ProbeSink, contract: DataContract) -> Source:
    return till_source(contract)


def send(source: Source, *uploads: Upload, key: str | None = None) -> Receipt:
    return receive(source=source, uploads=uploads, via=Via.UPLOAD, actor=None, idempotency_key=key)


def test_receive__sound_file__is_loaded_and_its_bytes_are_dropped(
    till: Source, storage_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    receipt = send(till, upload(*GOOD))
    assert (receipt.repeated, receipt.delivery.state, receipt.run.state) == (False, "received", RunState.QUEUED)
    assert len(stored_files(storage_folder)) == 1
    with django_capture_on_commit_callbacks(execute=True):
        assert work(receipt.run.pk) == RunState.SUCCEEDED
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.batch, delivery.repeated) == ("loaded", IngestBatch.objects.get(), False)
    assert stored_files(storage_folder) == []
    file = DeliveryFile.objects.get()
    assert (file.path, file.name, len(file.sha256), file.dropped_at is not None) == ("", "sales.csv", 64, True)
    assert [row[3] for row in probe_rows()] == [5.0, 4.0, 1.0]


def test_receive__file_with_a_bad_row__keeps_its_bytes_for_the_mend(till: Source, storage_folder: Path) -> None:
    work(send(till, upload(*GOOD, *BAD)).run.pk)
    (kept,) = stored_files(storage_folder)
    file = BatchFile.objects.get()
    assert kept.as_posix().endswith(file.kept_path)
    assert file.kept_path == DeliveryFile.objects.get().path


def test_receive__verdict_that_fails__is_refused_with_the_reason_and_kept(till: Source, storage_folder: Path) -> None:
    run = send(till, upload(*GOOD, header="day,shop,sku,pieces,price")).run
    assert work(run.pk) == RunState.FAILED
    delivery = Delivery.objects.get()
    assert delivery.state == "refused" and "quantity" in delivery.problem
    assert delivery.batch is not None and delivery.batch.state == "requires_custom_adapter"
    assert Run.objects.get(pk=run.pk).outputs["verdict"] == "requires_custom_adapter"
    assert len(stored_files(storage_folder)) == 1


def test_receive__same_bytes_again__loads_nothing_and_says_so(
    till: Source, storage_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        work(send(till, upload(*GOOD)).run.pk)
        again = send(till, upload(*GOOD, name="sales-copy.csv"))
        work(again.run.pk)
    delivery = Delivery.objects.get(pk=again.delivery.pk)
    assert (delivery.state, delivery.repeated, delivery.batch) == ("loaded", True, IngestBatch.objects.get())
    assert Run.objects.get(pk=again.run.pk).outputs["repeated"] is True
    assert stored_files(storage_folder) == []


def test_receive__same_key__is_the_same_delivery_or_a_conflict(till: Source, storage_folder: Path) -> None:
    first = send(till, upload(*GOOD), key="monday")
    again = send(till, upload(*GOOD), key="monday")
    assert (again.delivery, again.run, again.repeated) == (first.delivery, first.run, True)
    with pytest.raises(IdempotencyConflict, match="monday"):
        send(till, upload(*GOOD[:1]), key="monday")
    assert (Delivery.objects.count(), len(stored_files(storage_folder))) == (1, 1)
    for unusable in ("", " ", "a\nb", "k" * 201):
        with pytest.raises(IdempotencyKeyUnusable):
            send(till, upload(*GOOD), key=unusable)


@pytest.mark.parametrize(
    ("uploads", "error"),
    [
        ([], NothingReceived),
        ([upload(name=f"sales{number}.csv") for number in range(41)], TooManyFiles),
        ([Upload("sales.csv", io.BytesIO())], FileEmpty),
        ([Upload("..", io.BytesIO(b"x"))], FileNameUnusable),
        ([upload(*GOOD), upload(*BAD)], FileUnusable),
        ([upload(*GOOD), upload(*GOOD, name="sales (1).csv")], FileUnusable),
        ([upload(*GOOD), upload(*GOOD[:1], name="notes.txt")], FileFitsNoRole),
        ([upload(*GOOD, role=Role.STORES)], RoleNotInContract),
    ],
)
def test_receive__what_cannot_be_used__is_refused_and_nothing_is_kept(
    uploads: list[Upload], error: type[Exception], till: Source, storage_folder: Path
) -> None:
    with pytest.raises(error):
        send(till, *uploads)
    assert (Delivery.objects.count(), Run.objects.count(), stored_files(storage_folder)) == (0, 0, [])


class Broken:
    """A connection that ends in the middle."""

    def __init__(self) -> None:
        self.left = 2

    def read(self, size: int) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise ConnectionResetError("the client went away")
        return b"day,shop\n"


def test_receive__stream_that_breaks_or_outgrows_the_limit__leaves_nothing(
    till: Source, storage_folder: Path, settings: Settings
) -> None:
    incoming = Path(settings.FILE_UPLOAD_TEMP_DIR)
    before = set(incoming.iterdir())
    with pytest.raises(ConnectionResetError):
        send(till, upload(*GOOD), Upload("sales2.csv", Broken()))
    settings.UPLOAD_MAX_BYTES = 50
    with pytest.raises(FileTooLarge, match="Split it by period"):
        send(till, upload(*GOOD))
    assert (stored_files(storage_folder), set(incoming.iterdir()) - before) == ([], set())


def test_receive__only_a_reference_file__says_that_the_sales_are_missing(
    sink: ProbeSink, contract: DataContract
) -> None:
    body = contract.model_dump(mode="json")
    body["files"]["stores"] = {"pattern": "stores.csv"}
    source = till_source(DataContract.model_validate(body))
    with pytest.raises(SalesMissing, match=r"sales\*\.csv"):
        send(source, upload("s1", name="stores.csv", header="shop"))


def test_receive__source_that_takes_nothing__is_refused(sink: ProbeSink, contract: DataContract) -> None:
    source = source_of_contract(contract=contract, actor=None)
    with pytest.raises(NoContractInForce):
        send(source, upload(*GOOD))
    till_source(contract)
    pause_source(source_id=source.pk, reason="Stocktaking", actor=None)
    with pytest.raises(SourcePaused):
        send(source, upload(*GOOD))


def test_receive__person_without_the_role__is_refused(till: Source, make_user: Callable[..., User]) -> None:
    analyst = make_user("ann", TenantRole.ANALYST)
    with pytest.raises(RoleRequired):
        receive(source=till, uploads=[upload(*GOOD)], via=Via.UPLOAD, actor=analyst)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sales.csv", "sales.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\Umsätze März.csv", "Umsätze März.csv"),
        ("売上\x00\x1b[31m\u202e.csv", "売上[31m.csv"),
        (" .hidden.csv. ", "hidden.csv"),
        ("ü" * 300 + ".csv.gz", "ü" * 96 + ".csv.gz"),
    ],
)
def test_safe_name__any_name__keeps_the_letters_and_no_path(given: str, kept: str) -> None:
    assert safe_name(given) == kept
    assert len(kept.encode()) <= 200


def test_order__later_delivery__waits_for_the_earlier_one_even_when_its_message_comes_first(till: Source) -> None:
    first, second = send(till, upload(*GOOD)), send(till, upload("2024-03-01,s1,apple,9,1.50"))
    assert work(second.run.pk) == "not queued"
    assert Run.objects.get(pk=second.run.pk).state == RunState.QUEUED
    assert work(first.run.pk) == RunState.SUCCEEDED
    assert work(second.run.pk) == RunState.SUCCEEDED
    assert probe_rows()[0][3:] == (9.0, Delivery.objects.get(pk=second.delivery.pk).batch_id)


def test_order__earlier_delivery_ends__sends_the_next_one(
    till: Source, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    first = send(till, upload(header="x"))
    second = send(till, upload(*GOOD))
    sent: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_q.tasks.async_task", lambda *args, **kwargs: sent.append(args[2]))
        with django_capture_on_commit_callbacks(execute=True):
            assert work(first.run.pk) == RunState.FAILED
    assert sent == [str(second.run.pk)]
    assert work(second.run.pk) == RunState.SUCCEEDED


def test_order__cancelled_or_lost_for_good__stops_nobody(till: Source) -> None:
    first, second, third = (send(till, upload(GOOD[number])) for number in range(3))
    runs.cancel(run_id=first.run.pk, actor=None)
    assert Delivery.objects.get(pk=first.delivery.pk).state == "discarded"
    Run.objects.filter(pk=second.run.pk).update(
        state=RunState.RUNNING, attempt=3, heartbeat_at="2024-01-01T00:00:00Z", worker="gone:1"
    )
    assert work(third.run.pk) == "not queued"
    runs.reap()
    assert Run.objects.get(pk=second.run.pk).error_code == "lost"
    assert work(third.run.pk) == RunState.SUCCEEDED


def test_order__paused_source__lets_its_deliveries_wait_until_it_is_resumed(
    till: Source, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    receipt = send(till, upload(*GOOD))
    pause_source(source_id=till.pk, reason="Stocktaking", actor=None)
    assert work(receipt.run.pk) == "not queued"
    sent: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_q.tasks.async_task", lambda *args, **kwargs: sent.append(args[2]))
        with django_capture_on_commit_callbacks(execute=True):
            resume_source(source_id=till.pk, reason="Done", actor=None)
    assert sent == [str(receipt.run.pk)]
    assert work(receipt.run.pk) == RunState.SUCCEEDED


def test_read_delivery__killed_in_mid_ingest__is_retried_and_loads_once(till: Source) -> None:
    receipt = send(till, upload(*GOOD))
    Run.objects.filter(pk=receipt.run.pk).update(
        state=RunState.RUNNING, attempt=1, heartbeat_at="2024-01-01T00:00:00Z", worker="gone:1"
    )
    runs.reap()
    assert work(receipt.run.pk) == RunState.SUCCEEDED
    assert IngestBatch.objects.count() == 1
    # Killed after its batch was stored, before its run ended:
    Run.objects.filter(pk=receipt.run.pk).update(
        state=RunState.RUNNING, attempt=2, heartbeat_at="2024-01-01T00:00:00Z", worker="gone:1"
    )
    runs.reap()
    assert work(receipt.run.pk) == RunState.SUCCEEDED
    delivery = Delivery.objects.get()
    assert (IngestBatch.objects.count(), delivery.repeated, delivery.state) == (1, False, "loaded")


def test_read_delivery__bytes_that_are_gone_or_altered__are_refused(till: Source, storage_folder: Path) -> None:
    first = send(till, upload(*GOOD))
    stored_files(storage_folder)[0].write_bytes(b"day,shop,sku,qty,price\n2024-03-01,s1,apple,999,1\n")
    assert work(first.run.pk) == RunState.FAILED
    assert "changed while it was read" in Delivery.objects.get().problem
    second = send(till, upload(*GOOD[:1]))
    for path in stored_files(storage_folder):
        path.unlink()
    assert work(second.run.pk) == RunState.FAILED
    assert "not kept any more" in Delivery.objects.get(pk=second.delivery.pk).problem
    assert probe_rows() == []


def test_discard_delivery__refused_one__drops_its_bytes_with_a_reason(
    till: Source, storage_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    receipt = send(till, upload(*GOOD, header="a,b,c,d,e"))
    with pytest.raises(TransitionRefused):
        discard_delivery(delivery_id=receipt.delivery.pk, reason="Wrong shop", actor=None)
    work(receipt.run.pk)
    with pytest.raises(DomainError, match="Say why"):
        discard_delivery(delivery_id=receipt.delivery.pk, reason=" ", actor=None)
    with django_capture_on_commit_callbacks(execute=True):
        discard_delivery(delivery_id=receipt.delivery.pk, reason="Wrong shop", actor=None)
    assert (stored_files(storage_folder), BatchFile.objects.get().kept_path) == ([], "")


@pytest.mark.parametrize("before", DeliveryState.values)
@pytest.mark.parametrize("wanted", DeliveryState.values)
def test_change_state__every_pair__follows_the_table(before: str, wanted: str, till: Source) -> None:
    receipt = send(till, upload(*GOOD))
    batch = None
    if "loaded" in (before, wanted):
        work(receipt.run.pk)
        batch = IngestBatch.objects.get()
    Delivery.objects.update(state=before, batch=batch)
    delivery = Delivery.objects.get()
    if wanted in DELIVERY_TRANSITIONS[before]:
        assert change_state(delivery, DeliveryState(wanted)).state == wanted
    else:
        with pytest.raises(TransitionRefused):
            change_state(delivery, DeliveryState(wanted))


def test_delivery__loaded_without_a_batch__is_refused_by_the_database(till: Source) -> None:
    send(till, upload(*GOOD))
    with pytest.raises(IntegrityError, match="loaded_as_batch"), transaction.atomic():
        Delivery.objects.update(state="loaded")


def test_order__three_workers_with_the_messages_in_reverse__read_one_after_another(
    throwaway: Tenant, registered_sink: ProbeSink, contract: DataContract
) -> None:
    make_probe_table()
    own = DataContract.model_validate({**contract.model_dump(mode="json"), "tenant": throwaway.schema_name})
    source = till_source(own)
    receipts = [send(source, upload(f"2024-03-01,s1,apple,{number},1.50")) for number in (1, 2, 3, 4)]

    def worker(found: list[Receipt]) -> None:
        try:
            for _ in range(200):
                told = [execute(throwaway.schema_name, str(receipt.run.pk)) for receipt in found]
                with schema_context(throwaway.schema_name):
                    if not Run.objects.filter(state__in=["queued", "running"]).exists():
                        return
                if "succeeded" not in told:
                    time.sleep(0.05)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=worker, args=(receipts[::-1],)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    connection.set_tenant(throwaway)
    batches = [delivery.batch_id for delivery in Delivery.objects.order_by("pk")]
    assert None not in batches and batches == sorted(batches, key=lambda pk: pk or 0)
    assert probe_rows() == [("s1", "apple", "2024-03-01", 4.0, batches[-1])]
    assert set(Run.objects.values_list("state", "attempt")) == {("succeeded", 1)}
