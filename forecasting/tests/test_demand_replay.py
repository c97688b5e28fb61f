"""A mended delivery in the place of its first reading: older days yield, days it no longer brings go."""

from __future__ import annotations

from forecasting.models import Demand
from forecasting.tests.synthetic import load, make_demand
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
