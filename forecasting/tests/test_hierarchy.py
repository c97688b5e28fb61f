"""Stored totals: they add up with the stored series, have intervals of their own, and stay in their tenant."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django_tenants.utils import tenant_context

from forecasting import selectors
from forecasting.admin.scores import score_tables
from forecasting.engine.types import MINT
from forecasting.engine.types import ModelSpec as SpecBody
from forecasting.models import (
    Demand,
    ForecastNodePath,
    ForecastPath,
    ForecastSet,
    ModelArtifact,
    Series,
)
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.artifacts import load_fit
from forecasting.services.explaining import explain_point
from forecasting.services.exporting import TOTAL_COLUMNS
from forecasting.services.hierarchy import what_does_not_add_up
from forecasting.services.loading import load_panel
from forecasting.services.publishing import forecast_version
from forecasting.services.windows import plan_window
from forecasting.tests.factories import make_candidate, promote
from forecasting.tests.synthetic import LAST, load, make_demand, train


def nodes_of(made: ForecastSet) -> dict[tuple[str, str], ForecastNodePath]:
    return {(path.level, path.key): path for path in made.node_paths.all()}


def changed(demand: pa.Table, name: str, change) -> pa.Table:
    """The demand with one text column put through a function."""
    values = pa.array([change(value) for value in demand[name].to_pylist()], pa.string())
    return demand.set_column(demand.column_names.index(name), name, values)


def test_forecast_version__stores_and_categories__nodes_are_the_sums_of_the_stored_paths(alpha):
    load(make_demand(stores=2, products=4))
    made = forecast_version(ctx=None, version=train(horizon=10))
    nodes = nodes_of(made)
    assert set(nodes) == {("total", ""), ("store", "S0"), ("store", "S1"), ("category", "C0"), ("category", "C1")}
    for (level, key), path in nodes.items():
        members = [
            one for one in ForecastPath.objects.select_related("series")
            if level == "total" or key == {"store": one.series.store_id, "category": one.series.category}[level]
        ]  # fmt: skip
        assert path.members == len(members) and path.start_date == LAST + timedelta(days=1) and path.step_days == 1
        for h in range(10):
            assert path.yhat[h] == pytest.approx(sum(one.yhat[h] for one in members), rel=1e-9)
            values = [getattr(path, name)[h] for name in ("lo95", "lo80", "yhat", "hi80", "hi95")]
            assert values == sorted(values) and values[0] >= 0
        assert sum(path.hi80) - sum(path.lo80) <= sum(sum(one.hi80) - sum(one.lo80) for one in members) + 1e-9
    assert what_does_not_add_up(made) == []


def test_what_does_not_add_up__a_figure_was_changed__it_is_named(alpha):
    load(make_demand(stores=1, products=2))
    made = forecast_version(ctx=None, version=train(horizon=7))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE forecasting_forecastpath SET yhat[3] = yhat[3] + 0.001 WHERE series_id = %s",
                       [Series.objects.earliest("pk").pk])  # fmt: skip
    found = what_does_not_add_up(made)
    assert {(level, h) for level, _, h in found} == {("total", 3), ("store", 3), ("category", 3)}


@pytest.mark.parametrize("key", ["Zürich-Süd «5»", "仓库 7", "=1+1", 'a"b,c\\n{}', "O'Brien\nson"])
def test_forecast_version__keys_of_any_text__are_stored_as_they_are(alpha, key: str):
    demand = make_demand(stores=1, products=2)
    load(changed(changed(demand, "store_id", lambda value: key), "category", lambda value: key))
    made = forecast_version(ctx=None, version=train(horizon=7))
    assert set(nodes_of(made)) == {("total", ""), ("store", key), ("category", key)}
    assert what_does_not_add_up(made) == []


def test_forecast_version__some_series_without_a_category__a_node_of_their_own(alpha):
    load(changed(make_demand(stores=1, products=4), "category", lambda value: "" if value == "C1" else value))
    made = forecast_version(ctx=None, version=train(horizon=7))
    nodes = nodes_of(made)
    assert nodes["category", ""].members == 2 and nodes["category", ""].name == "without a category"
    total = [nodes["category", ""].yhat[h] + nodes["category", "C0"].yhat[h] for h in range(7)]
    assert nodes["total", ""].yhat == pytest.approx(total, rel=1e-9)
    assert what_does_not_add_up(made) == []


def test_forecast_version__no_series_has_a_category__that_level_is_not_there(alpha):
    load(changed(make_demand(stores=1, products=2), "category", lambda value: ""))
    made = forecast_version(ctx=None, version=train(horizon=7))
    assert set(nodes_of(made)) == {("total", ""), ("store", "S0")}


def test_forecast_version__a_store_opened_since_the_fit__is_there_and_adds_up(alpha):
    load(make_demand(stores=2, products=2, days=150))
    version = train(horizon=7, as_of=LAST - timedelta(days=14))
    late = make_demand(stores=1, products=2, days=10, first=LAST - timedelta(days=9))
    load(changed(late, "store_id", lambda value: "new"), batch_id=2)
    made = forecast_version(ctx=None, version=version)
    nodes = nodes_of(made)
    assert ("store", "new") in nodes and nodes["total", ""].members == 6
    assert what_does_not_add_up(made) == []


def test_measure_accuracy__days_came__each_level_is_scored_as_by_loops(alpha):
    load(make_demand(stores=2, products=4))
    origin = LAST - timedelta(days=14)
    version = train(as_of=origin, horizon=14)
    made = forecast_version(ctx=None, version=version, origin=origin)
    (record,) = measure_accuracy(ctx=None)
    sold = {(row.series_id, row.date): row.quantity for row in Demand.objects.filter(date__gt=origin)}
    stores = dict(Series.objects.values_list("pk", "store_id"))
    error = actual = inside = 0.0
    for path in made.node_paths.filter(level="store"):
        for k, yhat in enumerate(path.yhat):
            day = path.start_date + timedelta(days=k)
            y = sum(value for (series, date), value in sold.items() if date == day and stores[series] == path.key)
            error, actual = error + abs(y - yhat), actual + y
            inside += path.lo80[k] <= y <= path.hi80[k]
    found = record.scores["by_level"]
    assert list(found) == ["total", "store", "category"]
    assert found["store"]["wape"] == {"value": pytest.approx(error / actual), "n": 28, "reason": None}
    assert found["store"]["coverage80"]["value"] == pytest.approx(inside / 28)
    assert found["total"]["wape"]["value"] <= found["store"]["wape"]["value"], "errors cancel out in a sum"
    titles = [table["title"] for table in score_tables(record.scores)]
    assert "Sums of series, by level" in titles


def test_measure_accuracy__stored_without_totals__errors_are_known_and_the_band_is_not(alpha):
    load(make_demand(stores=1, products=2))
    origin = LAST - timedelta(days=7)
    made = forecast_version(ctx=None, version=train(as_of=origin, horizon=7), origin=origin)
    made.node_paths.all().delete()
    (record,) = measure_accuracy(ctx=None)
    total = record.scores["by_level"]["total"]
    assert total["wape"]["value"] is not None
    assert (total["coverage80"]["value"], total["coverage80"]["reason"]) == (None, "no band was stored for these days")


def test_version__its_calibration_of_the_totals__is_a_file_under_a_hash(alpha):
    load(make_demand(stores=1, products=2))
    version = train(horizon=7)
    for role in ("evaluation", "serving"):
        row = ModelArtifact.objects.get(version=version, role=role, name="hierarchy.json")
        assert version.manifest[role]["files"]["hierarchy.json"] == row.sha256
    found = load_fit(version).hierarchy
    assert found is not None and found.nodes[0] == ("total", "")


def test_forecast_version__several_segments__the_totals_of_all_of_them_and_never_mint(alpha, settings, few_rounds):
    load(make_demand(stores=2, products=4))
    settings.SEGMENT_SERIES = 3
    version = train(families=["lightgbm", "seasonal_average"], horizon=7)
    assert "segment" in version.backtest["reconciliation"]["reason"]
    made = forecast_version(ctx=None, version=version)
    nodes = nodes_of(made)
    assert len(nodes) == 5 and nodes["total", ""].members == 8
    assert what_does_not_add_up(made) == []


@pytest.fixture
def minted(alpha, few_rounds) -> ForecastSet:
    """The forecasts of a version whose approved spec reconciles by MinT."""
    load(make_demand(stores=2, products=4))
    body = SpecBody(("lightgbm", "seasonal_naive"), horizon=7, reconciliation=MINT)
    promote(make_candidate(as_of=LAST - timedelta(days=20), series=list(Series.objects.all()), horizon=7, body=body))
    return forecast_version(ctx=None, version=train(mode="refresh"))


def test_forecast_version__spec_reconciles_by_mint__series_and_levels_agree_and_say_why(minted: ForecastSet):
    fitted = load_fit(minted.version)
    assert fitted.reconciles and fitted.spec.reconciliation == MINT
    assert what_does_not_add_up(minted) == []
    panel = load_panel(plan_window(mode="serving"), ahead=7)
    plain = replace(fitted, hierarchy=None).forecast(panel, 7)
    path = minted.paths.order_by("pk").first()
    assert path is not None
    before = plain.loc[plain["unique_id"] == path.series_id, "yhat"].tolist()
    assert path.yhat != pytest.approx(before, rel=1e-6), "MinT changed the series"
    reasons = explain_point(path, selectors.path_points(path)[2])
    assert reasons.why_not == "" and reasons.explanation is not None
    assert list(reasons.explanation.path) == path.yhat
    assert (
        f"give {before[2]:,.1f}" in reasons.explanation.note
        and f"makes it {path.yhat[2]:,.1f}" in reasons.explanation.note
    )


def test_export_forecasts__a_level__the_stored_figures_with_every_digit(alpha, tmp_path):
    keys = [("=S,0", "P0"), ("=S,0", "P1")]
    series = [Series.objects.create(store_id=store, product_id=product) for store, product in keys]
    made = make_candidate(series=series).forecast_sets.get()
    text, table = tmp_path / "f.csv", tmp_path / "f.parquet"
    for target in (text, table):
        call_command("export_forecasts", "alpha", out=target, model_version="1", level="store", verbosity=0)
    path = made.node_paths.get(level="store")
    stored = pq.read_table(table)
    assert tuple(stored.column_names) == TOTAL_COLUMNS and stored["yhat"].to_pylist() == path.yhat
    assert stored.to_pylist()[0]["key"] == "=S,0" and stored.to_pylist()[0]["series"] == 2
    with text.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == TOTAL_COLUMNS and {row["key"] for row in rows} == {"'=S,0"}
    assert [float(row["hi95"]) for row in rows] == path.hi95


def test_export_forecasts__a_level_that_is_not_there__status_2_and_what_is(alpha, tmp_path):
    make_candidate().forecast_sets.get().node_paths.filter(level="category").delete()
    with pytest.raises(CommandError, match="It has: total, store") as caught:
        call_command("export_forecasts", "alpha", out=tmp_path / "f.csv", model_version="1", level="category")
    assert caught.value.returncode == 2 and not list(tmp_path.glob("*.csv"))


def test_stored_totals__deleting_their_set__takes_them_along(alpha):
    made = make_candidate().forecast_sets.get()
    assert ForecastNodePath.objects.exists()
    made.delete()
    assert not ForecastNodePath.objects.exists()


def test_stored_totals__another_tenant__has_none_of_them(alpha, beta_tenant):
    make_candidate()
    assert ForecastNodePath.objects.count() == 4  # the total, two stores, a category
    with tenant_context(beta_tenant):
        assert ForecastNodePath.objects.count() == 0 and selectors.serving_set() is None
