"""Days and their series: what no writer can break, and loads that meet."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from django.db import IntegrityError, transaction

from forecasting.models import Demand, KnownFuture, Series
from forecasting.tests.concurrently import together, while_uncommitted
from forecasting.tests.synthetic import FIRST, load, make_demand
from ledger.schema import connection


def test_days__of_no_series__are_refused(alpha):
    load(make_demand(stores=1, products=1, days=2))
    absent = Series.objects.get().pk + 1
    with pytest.raises(IntegrityError, match="name a series that is not there"), transaction.atomic():
        Demand.objects.create(series_id=absent, date=FIRST, quantity=1, batch_id=1)
    with pytest.raises(IntegrityError, match="name a series that is not there"), transaction.atomic():
        KnownFuture.objects.create(series_id=absent, date=FIRST, values={}, batch_id=1)
    with pytest.raises(IntegrityError, match="never rewritten"), transaction.atomic():
        Demand.objects.filter(date=FIRST).update(series_id=absent)


def test_days__written_from_another_schema__are_checked_in_their_own(alpha):
    load(make_demand(stores=1, products=1, days=2))
    series = Series.objects.get().pk
    connection.set_schema_to_public()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alpha.forecasting_demand"
            " (series_id, date, quantity, returned_quantity, extra, stocked_out, batch_id)"
            " VALUES (%s, '2016-01-01', 1, 0, '{}', false, 1)",
            [series],
        )
        assert cursor.rowcount == 1


@pytest.mark.parametrize("emptied", [Demand, KnownFuture])
def test_series__with_days__is_not_deleted_under_them(alpha, emptied):
    load(make_demand(stores=1, products=1, days=2))
    KnownFuture.objects.create(series=Series.objects.get(), date=FIRST, values={}, batch_id=1)
    emptied.objects.all().delete()
    with (
        pytest.raises(IntegrityError, match="delete its days first"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM forecasting_series")
    with pytest.raises(IntegrityError, match="never rewritten"), transaction.atomic():
        Series.objects.update(id=Series.objects.get().pk + 1)
    Series.objects.all().delete()
    assert not Demand.objects.exists() and not KnownFuture.objects.exists()


def test_load__known_and_new_days_and_series_in_one_batch__each_is_counted_once(alpha):
    delivery = make_demand(stores=2, products=2, days=12)
    known = (delivery["store_id"].to_numpy() == "S0") & (delivery["date"].to_numpy() < np.datetime64(FIRST) + 10)
    load(delivery.filter(pa.array(known)))
    quantities = [999.0, *delivery["quantity"].to_pylist()[1:]]
    delivery = delivery.set_column(delivery.column_names.index("quantity"), "quantity", pa.array(quantities))
    assert load(delivery, batch_id=2).days_written == 2 * 2 + 2 * 12 + 1
    assert Demand.objects.filter(batch_id=1).count() == 2 * 10 - 1
    assert (Demand.objects.count(), Demand.objects.get(quantity=999).date) == (4 * 12, FIRST)
    assert load(delivery, batch_id=3).days_written == 0


def test_load__days_after_the_known_ones__are_all_new(alpha):
    load(make_demand(stores=1, products=2, days=5))
    later = make_demand(stores=1, products=2, days=3, first=FIRST + timedelta(days=5))
    assert load(later, batch_id=2).days_written == 6
    assert Demand.objects.filter(batch_id=1).count() == 10
    assert set(Series.objects.values_list("first_day", "last_day")) == {(FIRST, FIRST + timedelta(days=7))}


def test_load__two_sources_at_once_with_the_same_days__each_day_is_once(throwaway):
    plain = make_demand(stores=3, products=3, days=20)
    backwards = plain.take(pa.array(range(plain.num_rows - 1, -1, -1)))
    first, second = together(throwaway, partial(load, plain, batch_id=1), partial(load, backwards, batch_id=2))
    assert sorted([first.days_written, second.days_written]) == [0, 180]
    assert Demand.objects.count() == 180


def test_load__while_another_load_of_the_series_is_not_committed__waits_and_corrects_it(throwaway):
    plain = make_demand(stores=1, products=2, days=5)
    doubled = plain.set_column(
        plain.column_names.index("quantity"), "quantity", pa.array([2 * q for q in plain["quantity"].to_pylist()])
    )
    results = while_uncommitted(throwaway, partial(load, plain, batch_id=1), partial(load, doubled, batch_id=2))
    assert [result.days_written for result in results] == [10, 10]
    assert set(Demand.objects.values_list("batch_id", flat=True)) == {2}


def test_series__deleted_while_its_days_are_not_committed__waits_and_is_refused(throwaway):
    load(make_demand(stores=1, products=1, days=1))
    series = Series.objects.get()
    Demand.objects.all().delete()

    def write() -> None:
        Demand.objects.create(series_id=series.pk, date=FIRST, quantity=1, batch_id=2)

    def delete() -> str:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("DELETE FROM forecasting_series")
        except IntegrityError as problem:
            return str(problem)
        return "deleted"

    assert "delete its days first" in while_uncommitted(throwaway, write, delete)[1]
    assert Demand.objects.count() == 1


def test_days__of_series_far_apart__are_checked_one_by_one(alpha):
    load(make_demand(stores=2, products=2, days=1))
    ids = sorted(Series.objects.values_list("pk", flat=True))
    Demand.objects.all().delete()
    Series.objects.filter(pk=ids[1]).delete()
    days = [Demand(series_id=pk, date=FIRST, quantity=1, batch_id=1) for pk in ids]
    with pytest.raises(IntegrityError, match="1 rows of forecasting_demand name a series"), transaction.atomic():
        Demand.objects.bulk_create(days)
    Demand.objects.bulk_create([day for day in days if day.series_id != ids[1]])
    assert Demand.objects.count() == 3
