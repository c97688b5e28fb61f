"""A mended delivery in the place of its first reading: older days yield, days it no longer brings go."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa

from forecasting.models import Demand, KnownFuture
from forecasting.tests.synthetic import LAST, load, make_contract, make_demand
from forecasting.tests.test_demand_sink import scaled
from tenants.models import Tenant


def test_load__mended_delivery__overwrites_what_older_batches_wrote(alpha: Tenant) -> None:
    days = make_demand(stores=1, products=1, days=6)
    load(scaled(days, 5))
    load(days.slice(0, 3), batch_id=2)
    result = load(scaled(days, 2), batch_id=3, replaces=frozenset({2}))
    assert result.kept_days == 0
    assert set(Demand.objects.values_list("batch_id", flat=True)) == {3}


def test_load__mended_delivery_that_lacks_a_day__takes_only_its_own_day_away(alpha: Tenant) -> None:
    days = make_demand(stores=1, products=2, days=4)
    load(days.slice(0, 1))
    load(days.slice(1), batch_id=2)
    load(scaled(days.slice(2, 1), 3), batch_id=3)
    result = load(days.slice(5), batch_id=4, replaces=frozenset({2}))
    assert result.days_written == 3, "days 2, 4 and 5 of the first reading are gone"
    assert sorted(Demand.objects.values_list("batch_id", flat=True)) == [1, 2, 2, 2, 3]


def test_load__later_batch_that_says_the_same__its_days_are_not_undone_by_a_mend(alpha: Tenant) -> None:
    days = make_demand(stores=1, products=1, days=4)
    load(days)
    again = load(days.slice(0, 2), batch_id=2, takes_over=frozenset({1}))
    assert again.days_written == 0, "nothing changed"
    mended = load(scaled(days.slice(1), 3), batch_id=3, replaces=frozenset({1}))
    assert (mended.kept_days, mended.days_written) == (1, 2), "day 2 was said again since; days 3 and 4 were not"
    assert sorted(Demand.objects.values_list("batch_id", flat=True)) == [2, 2, 3, 3]


def test_load__delivery_that_was_overtaken__leaves_what_the_later_one_said(alpha: Tenant) -> None:
    days = make_demand(stores=1, products=1, days=4)
    load(days)
    load(days.slice(0, 2), batch_id=2, takes_over=None)
    late = load(scaled(days, 5), batch_id=3, yields_to=frozenset({2}))
    assert (late.kept_days, late.days_written) == (2, 2)
    assert list(Demand.objects.order_by("date").values_list("batch_id", flat=True)) == [2, 2, 3, 3]


def test_load__planned_value_said_again__is_not_undone_either(alpha: Tenant) -> None:
    days = make_demand(stores=1, products=1, days=2)
    contract = make_contract(covariates={"static": ["category"], "known_future": ["unit_price"]})

    def plan(price: float) -> pa.Table:
        row = {"store_id": [None], "product_id": [None], "date": [LAST + timedelta(days=1)], "unit_price": [price]}
        types = pa.schema(
            [
                ("store_id", pa.string()),
                ("product_id", pa.string()),
                ("date", pa.date32()),
                ("unit_price", pa.float64()),
            ]
        )
        return pa.table(row, schema=types)

    load(days, future=plan(2.0), contract=contract)
    load(days, future=plan(2.0), contract=contract, batch_id=2, takes_over=frozenset({1}))
    load(days, future=plan(9.0), contract=contract, batch_id=3, replaces=frozenset({1}))
    load(days, future=plan(7.0), contract=contract, batch_id=4, yields_to=frozenset({2}))
    planned = KnownFuture.objects.get()
    assert (planned.batch_id, planned.values) == (2, {"unit_price": 2.0})
