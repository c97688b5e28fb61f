"""Changed columns: each mode for each change, the inbox, and what waits behind a held delivery."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from integrations.drift_errors import DriftDecided, MappingRefused
from integrations.engine.contract import load_contract
from integrations.errors import BreakingChangeUnconfirmed
from integrations.models import BatchFile, Contract, Delivery, DriftItem, IngestBatch, Source
from integrations.services.contracts import activate_contract, contract_of, save_contract
from integrations.services.deliveries import Upload, Via, receive
from integrations.services.drift import approve_drift, discard_drift
from integrations.services.drift_contract import changes_of, propose
from integrations.services.sources import create_source
from integrations.tests.conftest import CONTRACT, HEADER, ProbeSink, probe_rows
from ledger.execution import execute
from ledger.models import AuditEvent, Run
from ledger.schema import connection as db
from tenants.errors import RoleRequired
from tenants.roles import Role

ROWS = (
    "2024-03-01,s1,apple,3,1.50",
    "2024-03-02,s1,apple,4,1.50",
    "2024-03-01,s1,pear,1,2.00",
    *(f"2024-03-{day:02},s1,plum,2,3.00" for day in range(1, 25)),
)
NEW = "\n".join((HEADER + ",weather", *(f"{row},sunny" for row in ROWS)))
LOST = "\n".join(("day,shop,sku,qty", *(row.rsplit(",", 1)[0] for row in ROWS)))
RENAMED = "\n".join(("day,shop,sku,pieces,price", *ROWS))
GONE = "\n".join(("day,shop,sku,price", "2024-03-01,s1,apple,1.50"))
TYPED = "\n".join((HEADER, *(row.rsplit(",", 1)[0] + ",cheap" for row in ROWS)))
SAME = "\n".join((HEADER, *(row.replace("apple", "cherry") for row in ROWS)))


def make_source(drift: str) -> Source:
    text = CONTRACT + f"drift: {{new_column: {drift}, missing_column: {drift}, type_change: {drift}}}\n"
    text = text.replace("min_quantity_parse_success: 0.6", "min_quantity_parse_success: 0.0")
    source = create_source(name="till", source_type="smb_csv", actor=None)
    activate_contract(contract_id=save_contract(source=source, contract=load_contract(text), actor=None).pk, actor=None)
    return Source.objects.get(pk=source.pk)


def deliver(source: Source, text: str, name: str = "sales.csv") -> Delivery:
    receipt = receive(source=source, uploads=[Upload(name, io.BytesIO(text.encode()))], via=Via.UPLOAD, actor=None)
    return read(receipt.delivery)


def read(delivery: Delivery) -> Delivery:
    delivery.refresh_from_db()
    tenant = db.tenant
    execute("alpha", str(delivery.run_id))
    db.set_tenant(tenant)
    delivery.refresh_from_db()
    return delivery


@pytest.fixture
def frozen(sink: ProbeSink) -> Source:
    source = make_source("freeze")
    assert deliver(source, "\n".join((HEADER, *ROWS))).state == "loaded"
    return source


def known(batch: IngestBatch | None) -> set[str]:
    return set(BatchFile.objects.get(batch=batch).columns)


def codes(delivery: Delivery) -> set[str]:
    assert delivery.batch is not None
    return {found["code"] for found in delivery.batch.report["findings"]}


FIRST = {"day", "shop", "sku", "qty", "price"}


@pytest.mark.parametrize(
    ("text", "mode", "state", "code", "columns"),
    [
        (NEW, "evolve", "loaded", "new_column", FIRST | {"weather"}),
        (NEW, "discard", "loaded", "new_column", FIRST),
        (NEW, "freeze", "held", None, None),
        (LOST, "evolve", "loaded", "lost_column", FIRST - {"price"}),
        (LOST, "discard", "loaded", "lost_column", FIRST),
        (LOST, "freeze", "held", None, None),
        (GONE, "evolve", "refused", "missing_required_field", None),
        (GONE, "discard", "refused", "missing_required_field", None),
        (GONE, "freeze", "held", None, None),
        (TYPED, "evolve", "refused", "changed_column", None),
        (TYPED, "discard", "refused", "changed_column", None),
        (TYPED, "freeze", "held", None, None),
    ],
)
def test_drift__each_change_under_each_mode__is_taken_held_or_refused(
    sink: ProbeSink, text: str, mode: str, state: str, code: str | None, columns: set[str] | None
) -> None:
    source = make_source(mode)
    deliver(source, "\n".join((HEADER, *ROWS)))
    before = probe_rows()
    delivery = deliver(source, text.replace("2024-03", "2024-04"))
    assert delivery.state == state, delivery.problem
    if code is not None:
        assert code in codes(delivery)
    if columns is not None:
        assert known(delivery.batch) == columns
    if state == "held":
        assert probe_rows() == before and DriftItem.objects.get().delivery == delivery
        assert Run.objects.get(pk__in=[delivery.run_id]).outputs["verdict"] == "held"
        assert delivery.files.get().path


def test_drift__some_values_changed_under_evolve_and_discard__are_rejected_rows(sink: ProbeSink) -> None:
    source = make_source("discard")
    deliver(source, "\n".join((HEADER, *ROWS)))
    rows = [ROWS[0].replace(",1.50", ",cheap"), *ROWS[1:]]
    delivery = deliver(source, "\n".join((HEADER, *rows)))
    assert delivery.state in ("loaded", "refused") and "changed_column" not in codes(delivery)
    assert delivery.batch is not None and delivery.batch.rows_rejected >= 1


def test_drift__discarded_column_with_a_canonical_name__is_not_read(sink: ProbeSink) -> None:
    source = make_source("discard")
    deliver(source, "\n".join((HEADER, *ROWS)))
    text = "\n".join((HEADER + ",is_promotional", *(f"{row},nonsense" for row in ROWS)))
    delivery = deliver(source, text.replace("2024-03", "2024-04"))
    assert delivery.state == "loaded" and delivery.batch is not None and not delivery.batch.rows_rejected


def test_drift__column_that_is_not_read__may_go_and_change(sink: ProbeSink) -> None:
    source = make_source("freeze")
    extra = "\n".join((HEADER + ",note", *(f"{row},7" for row in ROWS)))
    deliver(source, extra)
    assert deliver(source, extra.replace(",7", ",seven")).state == "loaded"
    assert deliver(source, "\n".join((HEADER, *ROWS)).replace("2024", "2023")).state == "loaded"


def test_drift__first_delivery_of_a_version__has_nothing_to_differ_from(sink: ProbeSink) -> None:
    assert deliver(make_source("freeze"), NEW).state == "loaded"


def test_drift__contract_lists_its_columns__they_are_the_baseline(sink: ProbeSink) -> None:
    listed = (
        '{pattern: "sales*.csv", format: csv, columns: {day: date, shop: text, sku: text, qty: number, price: number}}'
    )
    text = CONTRACT.replace('{pattern: "sales*.csv", format: csv}', listed)
    source = create_source(name="till", source_type="smb_csv", actor=None)
    row = save_contract(source=source, contract=load_contract(text), actor=None)
    activate_contract(contract_id=row.pk, actor=None)
    assert deliver(Source.objects.get(), NEW).state == "held"


def test_drift__rows_rejected_as_usual__are_no_drift(frozen: Source) -> None:
    bad = "\n".join((HEADER, *ROWS, "2024-03-05,s1,apple,=1+1,1.50")).replace("2024-03", "2024-05")
    assert deliver(frozen, bad).state == "loaded"


def test_held__later_delivery_of_the_source__waits_and_goes_on_after_a_discard(frozen: Source) -> None:
    held = deliver(frozen, NEW)
    later = deliver(frozen, SAME)
    assert (held.state, later.state) == ("held", "received")
    assert Run.objects.get(pk__in=[later.run_id]).state == "queued"
    discard_drift(item_id=DriftItem.objects.get().pk, reason="A test export", actor=None)
    held.refresh_from_db()
    assert held.state == "discarded" and read(later).state == "loaded"


def test_approve__new_column_ignored__loads_the_delivery_under_a_new_version(frozen: Source) -> None:
    held = deliver(frozen, NEW.replace("2024-03", "2024-04"))
    item = DriftItem.objects.get()
    approve_drift(item_id=item.pk, mapping={"weather": ""}, reason="It is fine", actor=None)
    item.refresh_from_db()
    assert read(held).state == "loaded"
    assert item.state == "approved" and item.new_contract is not None and item.new_contract.state == "active"
    assert item.new_contract.version == 2
    assert deliver(frozen, NEW.replace("2024-03", "2024-06")).state == "loaded"
    assert deliver(frozen, "\n".join((HEADER, *ROWS)).replace("2024", "2022")).state == "loaded"


def test_approve__renamed_column__is_mapped_and_nothing_is_loaded_twice(frozen: Source) -> None:
    held = deliver(frozen, RENAMED)
    item = DriftItem.objects.get()
    assert [(change.kind, change.column) for change in changes_of(item)] == [("missing", "qty"), ("new", "pieces")]
    with pytest.raises(MappingRefused, match="quantity has no column any more"):
        propose(item=item, mapping={})
    with pytest.raises(MappingRefused, match="cannot be read as store_id"):
        propose(item=item, mapping={"pieces": "store_id"})
    proposal = propose(item=item, mapping={"pieces": "quantity"})
    assert proposal.contract.mapping["pieces"] == "quantity" and "qty" not in proposal.contract.mapping
    if proposal.digest is not None:
        with pytest.raises(BreakingChangeUnconfirmed), transaction.atomic():
            approve_drift(item_id=item.pk, mapping={"pieces": "quantity"}, reason="Renamed", actor=None)
        item.refresh_from_db()
        assert item.state == "open"
    approve_drift(
        item_id=item.pk, mapping={"pieces": "quantity"}, reason="Renamed", actor=None, confirmed=proposal.digest
    )
    assert read(held).state == "loaded"
    assert sum(row[3] for row in probe_rows()) == 8 + 48  # type: ignore[misc]  # figures


def test_approve__twice__the_second_is_told_who_was_faster(frozen: Source) -> None:
    deliver(frozen, NEW)
    item = DriftItem.objects.get()
    approve_drift(item_id=item.pk, mapping={}, reason="Yes", actor=None)
    with pytest.raises(DriftDecided, match="approved already, by system"):
        approve_drift(item_id=item.pk, mapping={}, reason="Yes", actor=None)
    with pytest.raises(DriftDecided):
        discard_drift(item_id=item.pk, reason="No", actor=None)


def test_approve__type_change__is_known_from_then_on(frozen: Source) -> None:
    held = deliver(frozen, TYPED.replace("2024-03", "2024-04"))
    item = DriftItem.objects.get()
    approve_drift(item_id=item.pk, mapping={}, reason="They write words now", actor=None)
    assert read(held).state == "refused"  # the rows cannot be read as numbers: the thresholds say so, not the drift
    assert contract_of(Contract.objects.get(version=2)).files.transactions.columns["price"] == "text"


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_decisions__by_another_role__are_refused(frozen: Source, make_user: Callable[..., User], role: Role) -> None:
    deliver(frozen, NEW)
    item, user = DriftItem.objects.get(), make_user("sam", role)
    calls: list[Callable[..., Any]] = [
        lambda: approve_drift(item_id=item.pk, mapping={}, reason="x", actor=user),
        lambda: discard_drift(item_id=item.pk, reason="x", actor=user),
    ]
    for call in calls:
        with pytest.raises(RoleRequired):
            call()


def test_decision__recorded__names_who_what_and_why(frozen: Source, make_user: Callable[..., User]) -> None:
    deliver(frozen, NEW)
    item, admin = DriftItem.objects.get(), make_user("ann", Role.TENANT_ADMIN)
    discard_drift(item_id=item.pk, reason="Wrong export", actor=admin)
    event = AuditEvent.objects.get(event="drift.discarded")
    assert (event.actor_name, event.data["reason"]) == ("ann", "Wrong export")
    item.refresh_from_db()
    assert item.decided_by == admin and item.decided_at is not None


def test_item__decided_by_halves__is_refused_by_the_database(frozen: Source) -> None:
    deliver(frozen, NEW)
    with pytest.raises(IntegrityError), transaction.atomic():
        DriftItem.objects.update(state="approved", reason="x")
