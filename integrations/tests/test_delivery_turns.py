"""A delivery whose run failed and is resumed keeps its place: it waits for what is read, and undoes nothing later."""

from __future__ import annotations

import pytest

from integrations.engine.contract import DataContract
from integrations.engine.mend_sheet import SheetRow
from integrations.models import Delivery, RejectedRow, Source
from integrations.services.deliveries import Receipt, Upload, Via, receive
from integrations.services.mending import leave_out_rows, mend_rows
from integrations.tests.conftest import BAD, GOOD, ProbeSink, probe_rows, till_source, upload, work
from ledger.models import Run, RunState
from ledger.services import runs


@pytest.fixture
def till(sink: ProbeSink, contract: DataContract) -> Source:
    return till_source(contract)


def send(source: Source, *uploads: Upload) -> Receipt:
    return receive(source=source, uploads=uploads, via=Via.UPLOAD, actor=None)


def crashed(source: Source, sink: ProbeSink, *lines: str) -> Receipt:
    """A delivery whose run failed by our fault."""
    receipt = send(source, upload(*lines))
    sink.fail = True
    assert work(receipt.run.pk) == RunState.FAILED
    sink.fail = False
    return receipt


def test_resume__later_delivery_is_being_read__waits_for_it(till: Source, sink: ProbeSink) -> None:
    first = crashed(till, sink, *GOOD)
    second = send(till, upload("2024-03-01,s1,apple,9,1.50"))
    Run.objects.filter(pk=second.run.pk).update(state=RunState.RUNNING, attempt=1)
    runs.resume(run_id=first.run.pk, actor=None)
    assert work(first.run.pk) == "not queued"
    Run.objects.filter(pk=second.run.pk).update(state=RunState.FAILED)
    assert work(first.run.pk) == RunState.SUCCEEDED


def test_resume__later_delivery_was_loaded__its_days_stay(till: Source, sink: ProbeSink) -> None:
    first = crashed(till, sink, *GOOD)
    second = send(till, upload("2024-03-01,s1,apple,9,1.50"))
    assert work(second.run.pk) == RunState.SUCCEEDED
    assert sink.turns[-1] == (frozenset(), None), "an earlier one may still come: every day becomes this one's"
    runs.resume(run_id=first.run.pk, actor=None)
    assert work(first.run.pk) == RunState.SUCCEEDED
    later = Delivery.objects.get(pk=second.delivery.pk)
    assert next(row for row in probe_rows() if row[3] == 9.0)[4] == later.batch_id
    read = Delivery.objects.get(pk=first.delivery.pk).batch
    assert read is not None
    assert read.report["kept_days"] == 1


def test_turn__batch_with_rows_to_mend__is_taken_over_by_whoever_says_the_same(till: Source, sink: ProbeSink) -> None:
    clean, bad = send(till, upload(*GOOD)), send(till, upload(*GOOD, *BAD))
    third = send(till, upload("2024-03-01,s1,apple,9,1.50"))
    for receipt in (clean, bad, third):
        assert work(receipt.run.pk) == RunState.SUCCEEDED
    batch = Delivery.objects.get(pk=bad.delivery.pk).batch
    assert batch is not None
    assert sink.turns[0] == (frozenset(), frozenset())
    assert sink.turns[-1] == (frozenset(), frozenset({batch.pk}))


def test_leave_out__while_a_replay_waits__the_row_stays_left_out_and_stands_once(till: Source) -> None:
    batch = Delivery.objects.get(pk=_loaded(till, *GOOD, *BAD, "2024-03-04,s1,apple,x,1.5").delivery.pk).batch
    assert batch is not None
    rows = [SheetRow("sales.csv", 6, ("2024-03-03", "s1", "apple", "2", "1.50"))]
    outcome = mend_rows(batch_id=batch.pk, rows=rows, actor=None)
    assert outcome.receipt is not None
    other = RejectedRow.objects.get(batch_file__batch=batch, line=7)
    leave_out_rows(batch_id=batch.pk, row_ids=[other.pk], reason="A test sale", actor=None)
    assert work(outcome.receipt.run.pk) == RunState.SUCCEEDED
    states = RejectedRow.objects.filter(batch_file__batch=batch).values_list("line", "state")
    assert sorted(states) == [(6, "mended"), (7, "left_out")]


def _loaded(source: Source, *lines: str) -> Receipt:
    receipt = send(source, upload(*lines))
    assert work(receipt.run.pk) == RunState.SUCCEEDED
    return receipt
