"""The inbox of changed columns through its pages, through every door, and by two people at once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context
from pytest_django import DjangoCaptureOnCommitCallbacks

from integrations.models import Delivery, DriftItem, Source
from integrations.services.deliveries import Upload, Via, receive
from integrations.services.drift import approve_drift
from integrations.services.kept_files import drop_old_files
from integrations.tests.conftest import (
    CONTRACT,
    HEADER,
    ProbeSink,
    probe_rows,
    stored_files,
    work,
)
from integrations.tests.test_api_ingest import key_of
from integrations.tests.test_drift import NEW, RENAMED, ROWS, SAME, deliver, make_source, read
from integrations.tests.test_mending import mend
from ledger.schema import connection
from tenants.models import Tenant
from tenants.roles import Role

QUANTITY = "\n".join(("day,shop,sku,quantity,price", *(row.replace("2024-03", "2024-04") for row in ROWS)))
PLAIN_SUM = sum(float(row.split(",")[3]) for row in ROWS)


@pytest.fixture
def source(sink: ProbeSink) -> Source:
    made = make_source("freeze")
    assert deliver(made, "\n".join((HEADER, *ROWS))).state == "loaded"
    return made


@pytest.fixture
def admin(source: Source, make_user: Callable[..., User], client_of: Callable[..., Client]) -> Client:
    return client_of("alpha", make_user("ann", Role.TENANT_ADMIN))


def url(name: str, item: DriftItem) -> str:
    return reverse(f"admin:integrations_driftitem_{name}", args=[item.pk])


def text_of(page: Any) -> str:
    assert isinstance(page, HttpResponse)
    return page.content.decode()


def fields_of(page: Any, **changes: str) -> dict[str, str]:
    """The form as a browser would send it back."""
    form = page.context["form"]
    return {**{field.name: field.value() or "" for field in form if field.value()}, **changes}


def approve(client: Client, item: DriftItem, **changes: str) -> Any:
    """Send the form as it is suggested, and agree to what breaks where that is asked."""
    fields = fields_of(client.get(url("approve", item)), reason="Their till was updated", **changes)
    answer = client.post(url("approve", item), fields)
    if answer.status_code == 200 and answer.context["proposal"].digest:
        assert "This breaks what the version in force promised" in text_of(answer)
        item.refresh_from_db()
        assert item.state == "open"
        answer = client.post(url("approve", item), {**fields_of(answer, **fields), "agree": "on"})
    return answer


def test_walk__qty_is_called_quantity_now__is_suggested_approved_and_loaded(admin: Client, source: Source) -> None:
    before = sum(float(str(row[3])) for row in probe_rows())
    file = io.BytesIO(QUANTITY.encode())
    file.name = "sales_april.csv"
    answer = admin.post(reverse("admin:integrations_source_upload", args=[source.pk]), {"files": [file]})
    run_id = answer["Location"].rstrip("/").split("/")[-2]
    work(run_id)
    ended = text_of(admin.get(answer["Location"]))
    assert "lost the column qty" in ended and "Held: its columns changed" in ended
    item = DriftItem.objects.get()
    assert "gone: qty" in text_of(admin.get(reverse("admin:integrations_driftitem_changelist")))
    page = text_of(admin.get(url("change", item)))
    assert "The transactions file lost the column qty, which was read as quantity." in page
    assert "2024-04-01" in page and "its files are kept" in page
    answer = approve(admin, item)
    assert answer.status_code == 302, text_of(answer)
    work(answer["Location"].rstrip("/").split("/")[-2])
    item.refresh_from_db()
    assert (item.state, item.decided_by_name, item.delivery.state) == ("approved", "ann", "loaded")
    assert sum(float(str(row[3])) for row in probe_rows()) - before == PLAIN_SUM
    assert "approved already, by ann" in text_of(admin.get(url("approve", item), follow=True))


def test_approve__other_name_that_nothing_suggests__is_asked_for_and_chosen(admin: Client, source: Source) -> None:
    held = deliver(source, RENAMED.replace("2024-03", "2024-04"))
    item = DriftItem.objects.get()
    refused = admin.post(url("approve", item), {"column_0": "", "reason": "x"})
    assert "quantity has no column any more" in text_of(refused)
    answer = approve(admin, item, column_0="quantity")
    assert answer.status_code == 302 and read(held).state == "loaded"
    assert item.source.contracts.get(state="active").version == 2


def test_approve__new_column_left_out__loads(admin: Client, source: Source) -> None:
    held = deliver(source, NEW.replace("2024-03", "2024-04"))
    assert approve(admin, DriftItem.objects.get()).status_code == 302
    assert read(held).state == "loaded"


def test_approve__without_a_reason_or_with_an_old_confirmation__changes_nothing(admin: Client, source: Source) -> None:
    deliver(source, RENAMED.replace("2024-03", "2024-04"))
    item = DriftItem.objects.get()
    for fields in ({"column_0": "quantity"}, {"column_0": "nonsense", "reason": "x"}):
        assert admin.post(url("approve", item), fields).status_code == 200
    stale = {"column_0": "quantity", "reason": "x", "confirmed": "0" * 64, "agree": "on"}
    answer = admin.post(url("approve", item), stale)
    assert "This breaks what the version in force promised" in text_of(answer)  # asked anew, with the list as it is
    item.refresh_from_db()
    assert item.state == "open" and source.contracts.count() == 1


def test_discard__by_the_page__keeps_the_files_until_they_are_old(
    admin: Client,
    source: Source,
    storage_folder: Path,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    held, later = deliver(source, NEW), deliver(source, SAME)
    item = DriftItem.objects.get()
    kept = Path(held.files.get().path).name
    waiting = text_of(admin.get(reverse("admin:ledger_run_change", args=[later.run_id])))
    assert f"It waits behind delivery {held.pk} of till, which is held" in waiting
    assert "90 days" in text_of(admin.get(url("discard", item)))
    assert admin.post(url("discard", item), {"reason": ""}).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        assert admin.post(url("discard", item), {"reason": "A test export"}).status_code == 302
    held.refresh_from_db()
    assert held.state == "discarded" and kept in [path.name for path in stored_files(storage_folder)]
    assert read(later).state == "loaded"
    Delivery.objects.filter(pk=held.pk).update(received_at="2020-01-01T00:00:00Z")
    with django_capture_on_commit_callbacks(execute=True):
        assert drop_old_files() == 1
    assert kept not in [path.name for path in stored_files(storage_folder)]


def test_held__given_up_on_its_own_page__leads_to_the_inbox(admin: Client, source: Source) -> None:
    held = deliver(source, NEW)
    answer = admin.post(reverse("admin:integrations_delivery_discard", args=[held.pk]), {"reason": "x"})
    assert answer["Location"] == url("discard", DriftItem.objects.get())


def test_held__nobody_decides_for_too_long__closes_its_item_and_lets_the_next_one_go(source: Source) -> None:
    held = deliver(source, NEW)
    Delivery.objects.update(received_at="2020-01-01T00:00:00Z")
    later = deliver(source, SAME)
    drop_old_files()
    item = DriftItem.objects.get()
    held.refresh_from_db()
    assert (held.state, item.state) == ("discarded", "discarded") and "Nobody decided within 90 days" in item.reason
    assert read(later).state == "loaded"


def test_drift__through_the_api__is_held(
    source: Source, client_of: Callable[..., Client], make_user: Callable[..., User]
) -> None:
    headers = {"Authorization": f"Token {key_of(make_user, Role.TENANT_ADMIN)}", "Idempotency-Key": "monday"}
    answer = client_of("alpha").post("/api/v1/ingest/till/", NEW.encode(), content_type="text/csv", headers=headers)
    assert answer.status_code == 202, answer.content
    delivery = Delivery.objects.get(via=Via.API)
    assert read(delivery).state == "held" and DriftItem.objects.get().delivery == delivery


def test_drift__through_onboard__is_held_with_a_copy_and_blocks_the_next(source: Source, tmp_path: Path) -> None:
    contract, file = tmp_path / "c.yaml", tmp_path / "sales.csv"
    contract.write_text(
        CONTRACT.replace("min_quantity_parse_success: 0.6", "min_quantity_parse_success: 0.0")
        + "drift: {new_column: freeze, missing_column: freeze, type_change: freeze}\n"
    )
    file.write_text(NEW)
    with pytest.raises((SystemExit, CommandError)):
        call_command("onboard", "alpha", "--contract", str(contract), "--data", str(file), stdout=io.StringIO())
    held = DriftItem.objects.get().delivery
    assert (held.via, held.state) == (Via.COMMAND, "held") and held.files.get().path
    file.write_text(SAME)
    with pytest.raises((SystemExit, CommandError)):
        call_command("onboard", "alpha", "--contract", str(contract), "--data", str(file), stdout=io.StringIO())
    assert DriftItem.objects.count() == 1


def test_drift__one_of_several_files_of_a_role__holds_the_whole_delivery(source: Source) -> None:
    uploads = [
        Upload("sales_1.csv", io.BytesIO(SAME.encode())),
        Upload("sales_2.csv", io.BytesIO(NEW.replace("2024-03", "2024-05").encode())),
    ]
    receipt = receive(source=source, uploads=uploads, via=Via.UPLOAD, actor=None)
    before = probe_rows()
    assert read(receipt.delivery).state == "held" and probe_rows() == before
    assert [change["column"] for change in DriftItem.objects.get().changes] == ["weather"]


def test_item__of_another_tenant__is_404(
    source: Source, beta_tenant: Tenant, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    deliver(source, NEW)
    mine, here = DriftItem.objects.get(), connection.tenant
    with schema_context("beta"):
        client = client_of("beta", make_user("eve", Role.TENANT_ADMIN))
        theirs = DriftItem.objects.count()
    for name in ("change", "approve", "discard", "history"):
        assert client.get(url(name, mine)).status_code == 404
        assert client.post(url(name, mine), {"reason": "mine now"}).status_code in (403, 404)
    assert theirs == 0
    connection.set_tenant(here)
    mine.refresh_from_db()
    assert mine.state == "open" and mine.delivery.state == "held"


def test_drift__mended_rows_of_a_batch_with_the_old_columns__are_not_held(source: Source) -> None:
    bad = "2024-05-05,s1,apple,=1+1,1.50"
    batch = deliver(source, "\n".join((HEADER, *(row.replace("2024-03", "2024-05") for row in ROWS), bad))).batch
    assert batch is not None and batch.rows_rejected == 1
    deliver(source, NEW.replace("2024-03", "2024-06"))
    approve_drift(item_id=DriftItem.objects.get().pk, mapping={}, reason="Fine", actor=None)
    assert read(DriftItem.objects.get().delivery).state == "loaded"
    line = len(ROWS) + 2
    outcome = mend(batch, {line: ("2024-05-05", "s1", "apple", "2", "1.50")})
    assert outcome.receipt is not None
    outcome.receipt.delivery.refresh_from_db()
    assert outcome.receipt.delivery.state == "loaded" and DriftItem.objects.count() == 1
    assert deliver(source, NEW.replace("2024-03", "2024-07")).state == "loaded", "a replay teaches no older columns"
