"""Accuracy from realised demand, against an oracle written out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from forecasting.errors import NoDemandLoaded
from forecasting.models import AccuracyRecord, Demand, ForecastPath
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.publishing import forecast_version
from forecasting.tests.synthetic import LAST, load, make_demand, train

ORIGIN = LAST - timedelta(days=20)


def oracle(version, *, skip=()) -> dict:
    """The scores, reckoned row by row in plain Python."""
    demand = {(d.series_id, d.date): d.quantity for d in Demand.objects.all()}
    actual = error = naive = inside = rows = bias = 0.0
    for path in ForecastPath.objects.filter(forecast_set__version=version):
        for k, yhat in enumerate(path.yhat):
            day = path.start_date + timedelta(days=k)
            if day > LAST or day in skip:
                continue
            y = demand[(path.series_id, day)]
            season = day - timedelta(days=7 * (k // 7 + 1))
            rows += 1
            actual += y
            error += abs(y - yhat)
            bias += yhat - y
            naive += abs(y - demand[(path.series_id, season)])
            inside += path.lo80[k] <= y <= path.hi80[k]
    return {
        "wape": error / actual,
        "wape_naive": naive / actual,
        "bias": bias / actual,
        "coverage80": inside / rows,
        "rows": int(rows),
    }


def test_measure_accuracy__whole_horizon_has_come__equals_the_oracle(alpha, few_rounds):
    load(make_demand(stores=1, products=3))
    version = train(families=["lightgbm"], as_of=ORIGIN)
    forecast_version(ctx=None, version=version, origin=ORIGIN)
    (record,) = measure_accuracy(ctx=None)
    expected = oracle(version)
    assert (record.days, record.rows, record.actuals_until) == (14, expected.pop("rows"), ORIGIN + timedelta(days=14))
    for name, value in expected.items():
        assert getattr(record, name) == pytest.approx(value, rel=1e-12), name
    assert record.scores["overall"]["fva"]["value"] == pytest.approx(1 - expected["wape"] / expected["wape_naive"])
    sums = record.scores["sums"]  # what a spec's error in service is pooled from
    assert sums["absolute"] / sums["actual"] == pytest.approx(record.wape)
    assert sums["naive"] / sums["actual"] == pytest.approx(record.wape_naive)


def test_measure_accuracy__days_come_bit_by_bit__measured_once_for_each_end(alpha):
    load(make_demand(stores=1, products=2))
    version = train(as_of=ORIGIN)
    forecast_version(ctx=None, version=version, origin=ORIGIN)
    assert measure_accuracy(ctx=None, until=ORIGIN) == []
    (early,) = measure_accuracy(ctx=None, until=ORIGIN + timedelta(days=3))
    assert (early.days, early.rows) == (3, 6)
    assert measure_accuracy(ctx=None, until=ORIGIN + timedelta(days=3)) == []
    (late,) = measure_accuracy(ctx=None)
    assert late.days == 14
    assert measure_accuracy(ctx=None) == []
    assert AccuracyRecord.objects.count() == 2
    assert AccuracyRecord.objects.order_by("actuals_until").last() == late


def test_measure_accuracy__stocked_out_day__is_left_out(alpha):
    load(make_demand(stores=1, products=2))
    version = train(as_of=ORIGIN)
    forecast_version(ctx=None, version=version, origin=ORIGIN)
    day = ORIGIN + timedelta(days=2)
    Demand.objects.filter(date=day).update(stocked_out=True)
    (record,) = measure_accuracy(ctx=None)
    expected = oracle(version, skip={day})
    assert (record.rows, record.days) == (expected["rows"], 13)
    assert record.wape == pytest.approx(expected["wape"])


def test_measure_accuracy__nothing_sold__scores_are_undefined_with_a_reason(alpha):
    load(make_demand(stores=1, products=2))
    version = train(as_of=ORIGIN)
    forecast_version(ctx=None, version=version, origin=ORIGIN)
    Demand.objects.filter(date__gt=ORIGIN).update(quantity=0)
    (record,) = measure_accuracy(ctx=None)
    assert record.wape is None and record.wape_naive is None and record.rows == 28
    assert "zero" in record.scores["overall"]["wape"]["reason"]
    assert record.scores["sums"]["actual"] == 0


def test_measure_accuracy__no_demand__says_so(alpha):
    with pytest.raises(NoDemandLoaded):
        measure_accuracy(ctx=None)
