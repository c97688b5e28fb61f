"""Two people who decide about one held delivery at the same moment: real connections, really committed."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from integrations.drift_errors import DriftDecided
from integrations.engine.contract import load_contract
from integrations.models import Delivery, DriftItem
from integrations.services.deliveries import Upload, Via, receive
from integrations.services.drift import approve_drift, discard_drift
from integrations.tests.conftest import CONTRACT, HEADER, ProbeSink, make_probe_table, probe_rows, till_source, work
from integrations.tests.test_drift import NEW, ROWS
from ledger.models import Run
from ledger.schema import connection
from tenants.models import Tenant

PATIENCE = 30.0


def together(tenant: Tenant, *acts: Callable[[], Any]) -> list[Any]:
    """Start all at the same moment, each on its own connection; the named refusal is the result."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        connection.set_tenant(tenant)
        start.wait(PATIENCE)
        try:
            return act()
        except DriftDecided as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [made.result(PATIENCE) for made in [pool.submit(run, act) for act in acts]]


@pytest.fixture
def item(throwaway: Tenant, registered_sink: ProbeSink) -> DriftItem:
    make_probe_table()
    source = till_source(load_contract(CONTRACT.replace("tenant: alpha", f"tenant: {throwaway.schema_name}")))
    for name, text in (("sales_1.csv", "\n".join((HEADER, *ROWS))), ("sales_2.csv", NEW.replace("2024-03", "2024-04"))):
        receipt = receive(source=source, uploads=[Upload(name, io.BytesIO(text.encode()))], via=Via.UPLOAD, actor=None)
        assert work(receipt.run.pk, throwaway.schema_name) == "succeeded"
    return DriftItem.objects.get()


def test_approve__three_at_once__one_decides_and_the_delivery_is_loaded_once(
    item: DriftItem, throwaway: Tenant
) -> None:
    acts = [lambda: approve_drift(item_id=item.pk, mapping={}, reason="Fine", actor=None)] * 3
    results = together(throwaway, *acts)
    runs = [found for found in results if isinstance(found, Run)]
    assert len(runs) == 1 and sum(isinstance(found, DriftDecided) for found in results) == 2
    assert item.source.contracts.count() == 2 and item.source.contracts.filter(state="active").count() == 1
    before = len(probe_rows())
    assert work(runs[0].pk, throwaway.schema_name) == "succeeded"
    assert len(probe_rows()) == 2 * before and Delivery.objects.filter(state="loaded").count() == 2


def test_approve__while_another_discards__ends_in_one_of_both(item: DriftItem, throwaway: Tenant) -> None:
    results = together(
        throwaway,
        lambda: approve_drift(item_id=item.pk, mapping={}, reason="Fine", actor=None),
        lambda: discard_drift(item_id=item.pk, reason="A test export", actor=None),
    )
    assert sum(isinstance(found, DriftDecided) for found in results) == 1
    item.refresh_from_db()
    assert (item.state, item.delivery.state) in (("approved", "received"), ("discarded", "discarded"))
