"""Rejected rows: mended, left out, replayed; the same units as if the right file had come from the start."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.delivery_errors import ReasonMissing
from integrations.engine.contract import DataContract, Role
from integrations.engine.mend_sheet import SheetRow
from integrations.mending_errors import MendRefused, NothingToReplay, OriginalsGone
from integrations.models import IngestBatch, RejectedRow, Source
from integrations.models.batch import RowState
from integrations.services.deliveries import Upload, Via, receive
from integrations.services.mending import (
    MendOutcome,
    leave_out_rows,
    mend_rows,
    mend_sheet,
    replay_batch,
    take_back_rows,
)
from integrations.services.mending_sheet import sheet_of
from integrations.tests.conftest import GOOD, ProbeSink, probe_rows, till_source, upload, work
from ledger.errors import TransitionRefused
from ledger.models import AuditEvent, RunState
from tenants.errors import RoleRequired
from tenants.roles import Role as TenantRole

BAD_ROWS = (
    "2024-03-03,s1,apple,=1+1,1.50",  # line 6
    "2024-03-01,s1,apple,oops,1.50",  # line 7, of a key that is loaded
    "2024-03-04,s1,apple,7",  # line 8, ragged
)
MENDED: dict[int, tuple[str, ...]] = {
    6: ("2024-03-03", "s1", "apple", "2", "1.50"),
    7: ("2024-03-01", "s1", "apple", "10", "1.50"),
    8: ("2024-03-04", "s1", "apple", "7", "1.50"),
}


@pytest.fixture
def till(sink: ProbeSink, contract: DataContract) -> Source:
    return till_source(with_policy(contract, "sum"))


def with_policy(contract: DataContract, policy: str) -> DataContract:
    thresholds = {"min_quantity_parse_success": 0.0, "max_duplicate_rate": 1.0, "max_required_null_rate": 1.0,
                  "min_date_parse_success": 0.0}  # fmt: skip
    body = {**contract.model_dump(mode="json"), "dedupe_policy": policy, "dq_thresholds": thresholds}
    return DataContract.model_validate(body)


def load(source: Source, *uploads: Upload) -> IngestBatch:
    """Deliver the files and do the worker's part; the batch that they became."""
    receipt = receive(source=source, uploads=uploads, via=Via.UPLOAD, actor=None)
    work(receipt.run.pk)
    return IngestBatch.objects.get(deliveries=receipt.delivery)


def rows_of(lines: dict[int, tuple[str, ...]], name: str = "sales.csv") -> list[SheetRow]:
    return [SheetRow(name, line, cells) for line, cells in lines.items()]


def mend(batch: IngestBatch, lines: dict[int, tuple[str, ...]]) -> MendOutcome:
    """Mend the rows and do the worker's part."""
    outcome = mend_rows(batch_id=batch.pk, rows=rows_of(lines), actor=None)
    if outcome.receipt is not None:
        work(outcome.receipt.run.pk)
    return outcome


def demand() -> list[tuple[object, ...]]:
    return [row[:4] for row in probe_rows()]


def states(batch: IngestBatch) -> dict[int, str]:
    return dict(RejectedRow.objects.filter(batch_file__batch=batch).values_list("line", "state"))


def test_mend_rows__half_now_and_half_later__gives_the_units_of_the_right_file(till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    assert states(batch) == {6: "open", 7: "open", 8: "open"}
    first = mend(batch, {6: MENDED[6], 8: MENDED[8]})
    assert (first.changed, first.unchanged, first.before) == (2, 0, 0)
    assert states(batch) == {6: "mended", 7: "open", 8: "mended"}
    second = mend(batch, MENDED)
    assert (second.changed, second.unchanged, second.before) == (1, 0, 2)
    assert states(batch) == {6: "mended", 7: "mended", 8: "mended"}
    assert demand() == [
        ("s1", "apple", "2024-03-01", 15.0),
        ("s1", "apple", "2024-03-02", 4.0),
        ("s1", "apple", "2024-03-03", 2.0),
        ("s1", "apple", "2024-03-04", 7.0),
        ("s1", "pear", "2024-03-01", 1.0),
    ]
    replays = [IngestBatch.objects.get(pk=pk) for pk in batch.replays.order_by("pk").values_list("batch", flat=True)]
    assert [(one.rows_read, one.rows_loaded, one.rows_merged, one.rows_rejected) for one in replays] == [
        (7, 5, 1, 1),
        (7, 5, 2, 0),
    ]
    row = RejectedRow.objects.get(batch_file__batch=batch, line=6)
    assert (row.mended_in, row.raw, row.mended_text) == (replays[0], BAD_ROWS[0], ",".join(MENDED[6]))
    again = mend_rows(batch_id=replays[1].pk, rows=rows_of(MENDED), actor=None)
    assert (again.changed, again.before, again.receipt) == (0, 3, None)
    assert batch.replays.count() == 2


def test_mend_rows__two_people_before_the_first_replay_is_read__lose_nothing(till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    one = mend_rows(batch_id=batch.pk, rows=rows_of({6: MENDED[6]}), actor=None)
    two = mend_rows(batch_id=batch.pk, rows=rows_of({7: MENDED[7]}), actor=None)
    same = mend_rows(batch_id=batch.pk, rows=rows_of({7: MENDED[7]}), actor=None)
    assert one.receipt is not None and two.receipt is not None and same.receipt is not None
    assert (same.changed, same.receipt.delivery, same.receipt.repeated) == (0, two.receipt.delivery, True)
    with pytest.raises(MendRefused, match=r"sales\.csv:6 was mended by system and is being loaded"):
        mend_rows(batch_id=batch.pk, rows=rows_of({6: MENDED[7]}), actor=None)
    work(one.receipt.run.pk)
    assert states(batch) == {6: "mended", 7: "open", 8: "open"}
    work(two.receipt.run.pk)
    assert states(batch) == {6: "mended", 7: "mended", 8: "open"}
    assert sum(row[3] for row in demand()) == 22.0  # type: ignore[misc]  # the fourth cell is the quantity


@pytest.mark.parametrize(
    ("policy", "units"),
    [("sum", {"2024-03-01": 16.0, "2024-03-03": 2.0}), ("keep_last", {"2024-03-01": 11.0, "2024-03-03": 2.0}),
     ("reject", {"2024-03-01": 1.0, "2024-03-03": 2.0})],
)  # fmt: skip
def test_mend_rows__each_dedupe_policy__is_that_of_the_whole_file(
    policy: str, units: dict[str, float], sink: ProbeSink, contract: DataContract
) -> None:
    source = till_source(with_policy(contract, policy))
    rows = ("2024-03-01,s1,apple,5,1.50", "2024-03-01,s1,pear,1,2.00")
    batch = load(source, upload(*rows, *BAD_ROWS[:2]))
    mend(batch, {4: MENDED[6]})
    mend(batch, {5: MENDED[7]})
    found: dict[str, float] = {}
    for _, _, day, quantity in demand():
        found[str(day)] = found.get(str(day), 0.0) + float(str(quantity))
    assert found == units


def test_mend_rows__mended_row_repeats_a_loaded_one_under_reject__opens_both(
    sink: ProbeSink, contract: DataContract
) -> None:
    batch = load(till_source(with_policy(contract, "reject")), upload(GOOD[0], GOOD[3], BAD_ROWS[1]))
    mend(batch, {4: MENDED[7]})
    assert states(batch) == {2: "open", 4: "open"}
    assert RejectedRow.objects.get(batch_file__batch=batch, line=2).found_in is not None
    assert [row[1] for row in demand()] == ["pear"]
    mend(batch, {2: ("2024-03-09", "s1", "apple", "3", "1.50")})
    assert states(batch) == {2: "mended", 4: "mended"}
    assert [row[2:] for row in demand()] == [("2024-03-01", 10.0), ("2024-03-09", 3.0), ("2024-03-01", 1.0)]


def test_mend_rows__mend_that_is_rejected_in_its_turn__stays_open_with_the_new_reason(till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    mend(batch, {6: ("03/03/2024", "s1", "apple", "2", "1.50")})
    row = RejectedRow.objects.get(batch_file__batch=batch, line=6)
    assert (row.state, row.column, row.raw) == ("open", "day", BAD_ROWS[0])
    assert row.mended_text.startswith("03/03/2024")
    mend(batch, {6: MENDED[6]})
    assert states(batch)[6] == "mended"


def test_mend_rows__day_corrected_since__is_kept_and_counted(till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    later = load(till, upload("2024-03-01,s1,apple,99,1.50", name="sales-fix.csv"))
    outcome = mend(batch, MENDED)
    assert outcome.receipt is not None
    assert probe_rows()[0][3:] == (99.0, later.pk)
    replay = IngestBatch.objects.latest("pk")
    assert replay.report["kept_days"] == 1
    assert [row[3] for row in demand()] == [99.0, 4.0, 2.0, 7.0, 1.0]


def test_mend_rows__older_days__are_overwritten_as_the_batch_itself_would_have(till: Source) -> None:
    load(till, upload("2024-03-03,s1,apple,50,1.50", name="sales-old.csv"))
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    mend(batch, MENDED)
    assert ("s1", "apple", "2024-03-03", 2.0) in demand()


def test_mend_rows__failed_batch__loads_when_its_rows_are_mended(sink: ProbeSink, contract: DataContract) -> None:
    source = till_source(DataContract.model_validate({**contract.model_dump(mode="json"), "dq_thresholds": {}}))
    batch = load(source, upload(*GOOD, *BAD_ROWS))
    assert (batch.state, demand()) == ("failed", [])
    mend(batch, {6: MENDED[6]})
    assert (states(batch), demand()) == ({6: "open", 7: "open", 8: "open"}, [])
    mend(batch, {7: MENDED[7], 8: MENDED[8]})
    assert set(states(batch).values()) == {"mended"}
    assert [row[3] for row in demand()] == [15.0, 4.0, 2.0, 7.0, 1.0]


def test_mend_rows__gzip_in_another_encoding__is_written_as_it_was(sink: ProbeSink, contract: DataContract) -> None:
    body = with_policy(contract, "sum").model_dump(mode="json")
    body["files"]["transactions"] |= {"encoding": "cp1252", "delimiter": ";"}
    source = till_source(DataContract.model_validate(body))
    text = "day;shop;sku;qty;price\r\n2024-03-01;s1;pâté;1;2\r\n2024-03-02;s1;crème;x;2\r\n"
    batch = load(source, Upload("sales.csv.gz", io.BytesIO(gzip.compress(text.encode("cp1252"))), Role.TRANSACTIONS))
    outcome = mend_rows(
        batch_id=batch.pk, rows=rows_of({3: ("2024-03-02", "s1", "crème", "4", "2")}, "sales.csv.gz"), actor=None
    )
    assert outcome.receipt is not None
    assert work(outcome.receipt.run.pk) == RunState.SUCCEEDED
    assert [row[1:] for row in demand()] == [("crème", "2024-03-02", 4.0), ("pâté", "2024-03-01", 1.0)]


def test_mend_rows__ndjson__gets_the_value_in_its_own_kind(sink: ProbeSink, contract: DataContract) -> None:
    body = with_policy(contract, "sum").model_dump(mode="json")
    body["files"]["transactions"] |= {"format": "ndjson", "pattern": "sales*.ndjson"}
    good, bad = (
        f'{{"day": "2024-03-0{day}", "shop": "s1", "sku": "kiwi", "qty": {quantity}, "price": 1.5}}\n'
        for day, quantity in ((1, 3), (2, '"x"'))
    )
    batch = load(
        till_source(DataContract.model_validate(body)), Upload("sales.ndjson", io.BytesIO((good + bad).encode()))
    )
    assert states(batch) == {2: "open"}
    outcome = mend_rows(
        batch_id=batch.pk, rows=rows_of({2: ("2024-03-02", "s1", "kiwi", "4", "1.5")}, "sales.ndjson"), actor=None
    )
    assert outcome.receipt is not None
    assert work(outcome.receipt.run.pk) == RunState.SUCCEEDED
    assert [row[2:] for row in demand()] == [("2024-03-01", 3.0), ("2024-03-02", 4.0)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({2: MENDED[6]}, "is no rejected row"),
        ({99: MENDED[6]}, "is no rejected row"),
        ({6: ("", "", "", "", "")}, "no cell left"),
        ({6: ("2024-03-03", "s1", "ap\nple", "2", "1.50")}, "line break"),
        ({6: ("2024-03-03", "s1", "ap\0ple", "2", "1.50")}, "NUL sign"),
    ],
)
def test_mend_rows__what_cannot_be_mended__changes_nothing(
    lines: dict[int, tuple[str, ...]], said: str, till: Source
) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    with pytest.raises(MendRefused, match=said), transaction.atomic():
        mend_rows(batch_id=batch.pk, rows=rows_of({7: MENDED[7], **lines}), actor=None)
    assert not RejectedRow.objects.exclude(mended_text="").exists()
    assert batch.replays.count() == 0


def test_mend_rows__originals_gone_or_no_tenant_admin__is_refused(
    till: Source, storage_folder: Path, make_user: Callable[..., User]
) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    with pytest.raises(RoleRequired):
        mend_rows(batch_id=batch.pk, rows=rows_of(MENDED), actor=make_user("ann", TenantRole.ANALYST))
    for file in batch.files.all():
        (storage_folder / "alpha" / file.kept_path).unlink()
    with pytest.raises(OriginalsGone), transaction.atomic():
        mend_rows(batch_id=batch.pk, rows=rows_of(MENDED), actor=None)


def test_leave_out_rows__failed_batch__loads_without_them(sink: ProbeSink, contract: DataContract) -> None:
    source = till_source(DataContract.model_validate({**contract.model_dump(mode="json"), "dq_thresholds": {}}))
    batch = load(source, upload(*GOOD, *BAD_ROWS))
    ids = list(RejectedRow.objects.filter(batch_file__batch=batch).values_list("pk", flat=True))
    with pytest.raises(ReasonMissing):
        leave_out_rows(batch_id=batch.pk, row_ids=ids, reason=" ", actor=None)
    with pytest.raises(NothingToReplay):
        replay_batch(batch_id=batch.pk, actor=None)
    assert leave_out_rows(batch_id=batch.pk, row_ids=ids, reason="Test sales", actor=None) == 3
    assert take_back_rows(batch_id=batch.pk, row_ids=ids[:1], actor=None) == 1
    with pytest.raises(TransitionRefused):
        take_back_rows(batch_id=batch.pk, row_ids=ids[:1], actor=None)
    leave_out_rows(batch_id=batch.pk, row_ids=ids[:1], reason="Test sales", actor=None)
    receipt = replay_batch(batch_id=batch.pk, actor=None)
    assert work(receipt.run.pk) == RunState.SUCCEEDED
    assert [row[3] for row in demand()] == [5.0, 4.0, 1.0]
    assert set(states(batch).values()) == {"left_out"}
    assert replay_batch(batch_id=batch.pk, actor=None).repeated
    assert AuditEvent.objects.filter(event="rows.left_out").count() == 2


def test_mend_sheet__download_mended_in_a_spreadsheet__is_undone_exactly(till: Source) -> None:
    rows = ("2024-03-03,s1,'apple,-x,1.50", "2024-03-04,s1,=kiwi,-y,1.50", "2024-03-05,s1,apple,1,1,1,1")
    batch = load(till, upload(*GOOD, *rows))
    text = "".join(sheet_of(batch))
    assert text.splitlines()[0] == "\ufeffplace,reason,day,shop,sku,qty,price"
    assert "sales.csv:6" in text and "''apple,'-x" in text and "'=kiwi,'-y" in text
    unchanged = mend_sheet(batch_id=batch.pk, stream=io.BytesIO(text.encode()), actor=None)
    assert (unchanged.changed, unchanged.unchanged, unchanged.receipt) == (0, 3, None)
    mended = text.replace("'-x", "3").replace("'-y", "4").replace("\r\n", "\n").replace(",", ";")
    outcome = mend_sheet(batch_id=batch.pk, stream=io.BytesIO(mended.encode()), actor=None)
    assert (outcome.changed, outcome.unchanged) == (2, 1)
    assert outcome.receipt is not None
    work(outcome.receipt.run.pk)
    assert [row[1:] for row in demand()][:2] == [("'apple", "2024-03-03", 3.0), ("=kiwi", "2024-03-04", 4.0)]


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        (b"", "does not begin with the column"),
        (b"day,shop\n1,2\n", "does not begin with the column"),
        (b"place,reason,day\nsales.csv,x,1\n", "no place such as"),
        (b"place,reason,day\nsales.csv:6,x,\xff\n", "CSV UTF-8"),
        (b'place,reason,day\nsales.csv:6,x,"open\n', "no readable CSV"),
        (b"place,reason,day\nother.csv:6,x,1\n", "is no rejected row"),
        (b"place,reason,day\nsales.csv:6,x,1\nsales.csv:6,x,1\n", "stands in the sheet twice"),
    ],
)
def test_mend_sheet__unreadable_sheet__says_what_to_do(sheet: bytes, said: str, till: Source) -> None:
    batch = load(till, upload(*GOOD, *BAD_ROWS))
    with pytest.raises(MendRefused, match=said), transaction.atomic():
        mend_sheet(batch_id=batch.pk, stream=io.BytesIO(sheet), actor=None)


def test_rejected_row__states_that_cannot_be__are_refused_by_the_database(till: Source) -> None:
    load(till, upload(*GOOD, *BAD_ROWS))
    for name, value in (("mended_in_batch", {"state": "mended"}), ("left_out_says_why", {"state": "left_out"})):
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            RejectedRow.objects.update(**value)


GOOD_ROW = st.tuples(
    st.sampled_from(["2024-03-01", "2024-03-02"]), st.sampled_from(["apple", "pear"]), st.integers(0, 9)
).map(lambda row: (row[0], "s1", row[1], str(row[2]), "1.50"))
DAMAGE = st.sampled_from(["qty", "day", "short", "long", None])


def damaged(row: tuple[str, ...], how: str | None) -> tuple[str, ...]:
    if how == "qty":
        return (*row[:3], "many", row[4])
    if how == "day":
        return ("yesterday", *row[1:])
    return {"short": row[:4], "long": (*row, "x", ""), None: row}[how]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(GOOD_ROW, DAMAGE), min_size=1, max_size=8),
    policy=st.sampled_from(["sum", "keep_last", "reject"]),
    data=st.data(),
)
def test_mend_rows__any_rows_in_any_order__equal_the_right_file_at_once(
    rows: list[tuple[tuple[str, ...], str | None]],
    policy: str,
    data: st.DataObject,
    sink: ProbeSink,
    contract: DataContract,
) -> None:
    policed = with_policy(contract, policy)
    sure = "2024-02-01,s1,sure,1,1.50"  # so that something is loaded in any case
    right = [",".join(row) for row, _ in rows]
    with transaction.atomic():
        load(till_source(policed), upload(sure, *right, name="sales-right.csv"))
        wanted = demand()
        transaction.set_rollback(True)
    with transaction.atomic():
        batch = load(till_source(policed), upload(sure, *(",".join(damaged(row, how)) for row, how in rows)))
        bad = [number for number, (_, how) in enumerate(rows) if how is not None]
        order = data.draw(st.permutations(bad))
        while order:
            size = data.draw(st.integers(1, len(order)))
            mend(batch, {number + 3: rows[number][0] for number in order[:size]})
            order = order[size:]
        assert demand() == wanted
        newest = batch.replays.order_by("pk").last()
        last = IngestBatch.objects.get(deliveries=newest) if newest is not None else batch
        assert sum(state == RowState.OPEN for state in states(batch).values()) == last.rows_rejected
        transaction.set_rollback(True)
