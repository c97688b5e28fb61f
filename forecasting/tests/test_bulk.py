"""COPY and the quick way out: the same table from both, and text refused where a comma could stand in it."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest
from django.db import ProgrammingError
from psycopg import sql

from forecasting.models import Demand
from forecasting.services.bulk import Kind, copy_out, read_out
from forecasting.tests.factories import AS_OF, make_demand
from tenants.models import Tenant

TYPES = {
    "series_id": pa.int64(), "ds": pa.timestamp("ns"), "y": pa.float64(), "censored": pa.bool_(),
    "unit_price": pa.float64(),
}  # fmt: skip
KINDS: dict[str, Kind] = {"series_id": int, "ds": date, "y": float, "censored": bool, "unit_price": float}
QUERY = sql.SQL(
    "SELECT series_id, date AS ds, quantity AS y, stocked_out AS censored, unit_price FROM forecasting_demand"
)


def test_read_out__rows_with_gaps_and_odd_numbers__is_what_copy_gives(alpha: Tenant) -> None:
    make_demand()
    days = Demand.objects.filter(date=AS_OF)
    days.update(quantity=0.1 + 0.2, unit_price=None, stocked_out=True)
    Demand.objects.filter(date=AS_OF - timedelta(days=1)).update(quantity=1e-7, unit_price=1e15)
    order = ["series_id", "ds"]
    quick = read_out(QUERY, KINDS, "series_id")
    plain = copy_out(QUERY, TYPES).to_pandas().sort_values(order, ignore_index=True)
    assert len(plain) > 100 and plain["unit_price"].isna().any() and plain["censored"].any()
    assert quick["series_id"].is_monotonic_increasing
    assert quick.sort_values(order, ignore_index=True).equals(plain)


def test_read_out__no_row__is_an_empty_table_of_these_types(alpha: Tenant) -> None:
    made = read_out(QUERY, KINDS, "series_id")
    assert not len(made) and made.dtypes.equals(copy_out(QUERY, TYPES).to_pandas().dtypes)


def test_read_out__an_absent_truth_value__is_refused(alpha: Tenant) -> None:
    make_demand()
    query = sql.SQL("SELECT series_id, NULLIF(quantity > 3, true) AS calm FROM forecasting_demand")
    with pytest.raises(ValueError, match="calm has no value in some row"):
        read_out(query, {"series_id": int, "calm": bool}, "series_id")


def test_read_out__the_database_refuses__is_an_error_of_django(alpha: Tenant) -> None:
    with pytest.raises(ProgrammingError, match="no_such_table"):
        read_out(sql.SQL("SELECT 1 AS id FROM no_such_table"), {"id": int}, "id")
