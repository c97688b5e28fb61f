"""The doors in the admin: upload, mend by form and by sheet, leave out, discard; and what is kept for how long."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from integrations.delivery_errors import BytesGone
from integrations.engine.contract import DataContract
from integrations.models import BatchFile, Delivery, DeliveryFile, IngestBatch, RejectedRow, Source
from integrations.services.deliveries import Upload, Via, receive
from integrations.services.kept_files import drop_kept_files, drop_old_files, sweep_orphans
from integrations.tests.conftest import (
    GOOD,
    HEADER,
    ProbeSink,
    probe_rows,
    stored_files,
    till_source,
    upload,
    work,
)
from integrations.tests.test_mending import BAD_ROWS, MENDED, load, states, with_policy
from ledger.models import Run
from tenants.roles import Role


@pytest.fixture
def till(sink: ProbeSink, contract: DataContract) -> Source:
    return till_source(with_policy(contract, "sum"))


@pytest.fixture
def admin(make_user: Callable[..., User], till: Source, client_of: Callable[..., Client]) -> Client:
    return client_of("alpha", make_user("ann", Role.TENANT_ADMIN))


def sales(*rows: str, name: str = "sales.csv") -> io.BytesIO:
    file = io.BytesIO(("\n".join((HEADER, *rows)) + "\n").encode())
    file.name = name
    return file


def url(name: str, pk: int) -> str:
    return reverse(f"admin:integrations_{name}", args=[pk])


def test_upload__several_files__become_one_delivery_and_lead_to_its_run(admin: Client, till: Source) -> None:
    asked = admin.get(url("source_upload", till.pk))
    assert "sales sales*.csv" in asked.content.decode()
    files = {"files": [sales(*GOOD[:2]), sales(*GOOD[2:], name="sales-2.csv")], "transactions": [sales(name="x.csv")]}
    answer = admin.post(url("source_upload", till.pk), files)
    run = Run.objects.get()
    assert answer["Location"] == reverse("admin:ledger_run_change", args=[run.pk])
    assert sorted(DeliveryFile.objects.values_list("name", "role")) == [
        ("sales-2.csv", "transactions"),
        ("sales.csv", "transactions"),
        ("x.csv", "transactions"),
    ]
    delivery = Delivery.objects.get()
    assert (delivery.via, delivery.received_by_name) == ("upload", "ann")
    page = admin.get(url("delivery_change", delivery.pk)).content.decode()
    assert "sales-2.csv" in page and reverse("admin:ledger_run_change", args=[run.pk]) in page


def test_upload__nothing_or_unusable_or_too_large__keeps_the_form_and_says_why(
    admin: Client, till: Source, settings: Settings, storage_folder: Path
) -> None:
    empty = admin.post(url("source_upload", till.pk), {})
    assert (empty.status_code, "No file was sent" in empty.content.decode()) == (422, True)
    odd = admin.post(url("source_upload", till.pk), {"files": [sales(*GOOD), sales(*GOOD[:1], name="notes.txt")]})
    assert odd.status_code == 422 and "fits none of the contract" in odd.content.decode()
    settings.UPLOAD_MAX_BYTES = 60
    large = admin.post(url("source_upload", till.pk), {"files": [sales(*GOOD)]})
    assert large.status_code == 413 and "Split it by period" in large.content.decode()
    settings.UPLOAD_MAX_BYTES = 100  # a request that is announced as larger than all its files may be
    announced = admin.post(url("source_upload", till.pk), {"filler": "x" * 1000, "files": [sales(*GOOD[:1])]})
    assert announced.status_code == 413
    assert (Delivery.objects.count(), stored_files(storage_folder)) == (0, [])


def cells(batch: IngestBatch, lines: dict[int, tuple[str, ...]]) -> dict[str, Any]:
    """The fields of the form as a browser sends them."""
    rows = RejectedRow.objects.filter(batch_file__batch=batch, line__in=lines)
    fields: dict[str, Any] = {f"cell-{row.pk}": lines[row.line] for row in rows}
    return {**fields, "shown": [row.pk for row in rows]}


def test_mend_form__cells_mended__reads_the_batch_again(admin: Client, till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    page = admin.get(url("ingestbatch_mend", batch.pk)).content.decode()
    assert page.count('class="fc-cell"') == 15 and 'value="=1+1"' in page
    answer = admin.post(url("ingestbatch_mend", batch.pk), {**cells(batch, MENDED), "action": "mend"})
    delivery = Delivery.objects.latest("pk")
    assert answer["Location"] == reverse("admin:ledger_run_change", args=[delivery.run_id])
    work(delivery.run_id)
    assert set(states(batch).values()) == {"mended"}
    assert sum(float(str(row[3])) for row in probe_rows()) == 29.0
    replay = Delivery.objects.get(pk=delivery.pk).batch_id
    assert replay is not None
    shown = admin.get(url("ingestbatch_change", batch.pk)).content.decode()
    assert "3 mended" in shown and url("ingestbatch_change", replay) in shown
    assert admin.get(url("ingestbatch_mend", replay))["Location"] == url("ingestbatch_mend", batch.pk)
    row = RejectedRow.objects.get(batch_file__batch=batch, line=6)
    assert "As it was mended" in admin.get(url("rejectedrow_change", row.pk)).content.decode()


def test_mend_form__row_that_cannot_be_mended__keeps_what_was_typed(admin: Client, till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    form = {**cells(batch, {6: ("", "", "", "", ""), 7: ("2024-03-01", "s1", "kiwi", "4", "1")}), "action": "mend"}
    answer = admin.post(url("ingestbatch_mend", batch.pk), form)
    assert answer.status_code == 422
    assert "no cell left" in answer.content.decode() and 'value="kiwi"' in answer.content.decode()
    assert set(states(batch).values()) == {"open"}


def test_mend_sheet_and_leave_out__by_the_page__do_what_they_say(admin: Client, till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    sheet: Any = admin.get(url("ingestbatch_rejected", batch.pk))
    text = b"".join(sheet.streaming_content).replace(b"'=1+1", b"2")
    mended = io.BytesIO(text)
    mended.name = "rejected.csv"
    answer = admin.post(url("ingestbatch_mend", batch.pk), {"sheet": mended, "action": "sheet"})
    work(answer["Location"].rstrip("/").split("/")[-2])
    assert states(batch) == {6: "mended", 7: "open", 8: "open"}
    rows = RejectedRow.objects.filter(batch_file__batch=batch, state="open")
    refused = admin.post(url("ingestbatch_mend", batch.pk), {"row": rows[0].pk, "action": "leave_out", "reason": ""})
    assert refused.status_code == 422 and "Say why" in refused.content.decode()
    typed = {f"cell-{rows[1].pk}": ("2024-03-01", "s1", "kiwi", "4", "1"), "shown": rows[1].pk}
    leaving = {**typed, "row": rows[0].pk, "action": "leave_out", "reason": "A test sale"}
    page = admin.post(url("ingestbatch_mend", batch.pk), leaving).content.decode()
    assert "1 row is left out" in page and 'value="kiwi"' in page  # what was typed and not saved yet stays
    assert states(batch) == {6: "mended", 7: "left_out", 8: "open"}
    left = RejectedRow.objects.get(batch_file__batch=batch, line=7)
    admin.post(url("rejectedrow_take_back", left.pk))
    admin.post(url("ingestbatch_mend", batch.pk), {"action": "leave_out_all", "reason": "Test sales"})
    assert states(batch) == {6: "mended", 7: "left_out", 8: "left_out"}
    again = admin.post(url("ingestbatch_mend", batch.pk), {"action": "replay"})
    assert work(again["Location"].rstrip("/").split("/")[-2]) == "succeeded"


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_doors__another_role__is_refused(
    role: Role, till: Source, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    client = client_of("alpha", make_user("bob", role))
    delivery = Delivery.objects.get()
    row = RejectedRow.objects.first()
    assert row is not None
    for name, pk in (
        ("source_upload", till.pk),
        ("ingestbatch_mend", batch.pk),
        ("ingestbatch_drop", batch.pk),
        ("delivery_discard", delivery.pk),
        ("rejectedrow_take_back", row.pk),
    ):
        assert client.post(url(name, pk), {"reason": "x"}).status_code == 403, name
    assert client.get(url("delivery_change", delivery.pk)).status_code == 200


def test_doors__objects_of_another_tenant__do_not_exist(
    till: Source, beta_tenant: object, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    from django_tenants.utils import schema_context

    batch = load(till, upload(*GOOD, *BAD_ROWS))
    delivery = Delivery.objects.get()
    with schema_context("beta"):
        client = client_of("beta", make_user("eve", Role.TENANT_ADMIN))
    for name, pk in (
        ("delivery_change", delivery.pk),
        ("delivery_discard", delivery.pk),
        ("ingestbatch_mend", batch.pk),
        ("source_upload", till.pk),
        ("rejectedrow_change", RejectedRow.objects.earliest("pk").pk),
    ):
        assert client.get(url(name, pk)).status_code == 404, name


def test_kept_files__dropped_by_a_person_or_by_age__are_gone_with_their_places(
    till: Source, storage_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    first = load(till, upload(*GOOD, *BAD_ROWS))
    load(till, upload(*GOOD, "2024-03-05,s1,apple,1,1.50", *BAD_ROWS, name="sales-2.csv"))
    waiting = receive(source=till, uploads=[upload(*GOOD, name="sales-3.csv")], via=Via.UPLOAD, actor=None)
    assert len(stored_files(storage_folder)) == 3
    with django_capture_on_commit_callbacks(execute=True):
        assert drop_kept_files(batch_id=first.pk, reason="Holds names of people", actor=None) == 1
    assert len(stored_files(storage_folder)) == 2
    with pytest.raises(BytesGone):
        drop_kept_files(batch_id=first.pk, reason="Again", actor=None)
    assert drop_old_files() == 0
    long_ago = timezone.now() - timedelta(days=91)
    IngestBatch.objects.update(received_at=long_ago)
    Delivery.objects.update(received_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):
        assert drop_old_files() == 1
    assert len(stored_files(storage_folder)) == 1, "what is about to be read stays"
    assert not BatchFile.objects.exclude(kept_path="").exists()
    assert work(waiting.run.pk) == "succeeded"


def test_sweep_orphans__file_that_no_row_names__is_deleted_when_it_is_old(till: Source, storage_folder: Path) -> None:
    load(till, upload(*GOOD, *BAD_ROWS))
    orphan = stored_files(storage_folder)[0].with_name("orphan")
    orphan.write_bytes(b"x")
    assert (sweep_orphans(), sweep_orphans(older_than_hours=-1), len(stored_files(storage_folder))) == (0, 1, 1)


def test_drop_old_files_command__every_tenant__says_what_it_did(
    till: Source, settings: Settings, tmp_path: Path
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    (tmp_path / "new.upload.csv").write_bytes(b"x")
    old = tmp_path / "old.upload.csv"
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    out = io.StringIO()
    call_command("drop_old_files", "alpha", "--days", "30", stdout=out)
    assert out.getvalue().startswith("alpha: 0 files dropped")
    assert out.getvalue().endswith("1 broken-off uploads deleted\n") and not old.exists()


def test_mend_form__workbook__says_at_once_to_mend_the_file_itself(
    admin: Client, sink: ProbeSink, contract: DataContract
) -> None:
    body = contract.model_dump(mode="json")
    body["source"] = "book"
    body["files"]["transactions"] |= {"pattern": "sales*.xlsx", "format": "xlsx"}
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (HEADER, *GOOD, "2024-03-03,s1,apple,many,1.50"):
        sheet.append(row.split(","))
    data = io.BytesIO()
    book.save(data)
    data.seek(0)
    batch = load(till_source(DataContract.model_validate(body)), Upload("sales.xlsx", data))
    assert batch.rows_rejected == 1
    page = admin.get(url("ingestbatch_mend", batch.pk)).content.decode()
    assert "sales.xlsx is an Excel workbook" in page and "Mend the rows in the file itself" in page
    assert "fc-cell" not in page and url("source_upload", batch.source_id) in page
