"""Troubled demand of a real tenant: the engine's own words reach the person, and what was made of it is on the page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from django.db import connection
from django.urls import reverse

from forecasting.engine import errors as engine
from forecasting.errors import SeriesUnusable, TrainingRefused
from forecasting.models import ForecastPath, Series
from forecasting.services.engine_errors import engine_errors
from forecasting.services.loading import load_panel
from forecasting.services.publishing import forecast_version
from forecasting.services.windows import plan_window
from forecasting.tests.factories import promote
from forecasting.tests.synthetic import DAYS, FIRST, LAST, activate, load, make_contract, make_demand, train
from tenants.roles import Role

PROMO = {
    "files": {role: {"pattern": f"{role}.csv"} for role in ("transactions", "covariates")},
    "field_map": {"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "a": "is_promotional"},
    "covariates": {"known_future": ["is_promotional"], "static": ["category"]},
}


def with_quantities(demand: pa.Table, change: Any) -> pa.Table:
    values = np.asarray(demand["quantity"], dtype="float64").copy()
    change(values)
    return demand.set_column(demand.column_names.index("quantity"), "quantity", pa.array(values))


def test_forecast__plan_is_missing__engine_and_service_say_the_same_and_name_it(alpha, few_rounds):
    contract = make_contract(**PROMO)
    activate(contract)
    promotions = (np.random.default_rng(2).random(4 * DAYS) < 0.3).astype(float)

    def lift(values: np.ndarray) -> None:
        values *= 1 + 3 * promotions

    demand = make_demand(stores=1, products=4, is_promotional=promotions.tolist())
    load(with_quantities(demand, lift), contract=contract)
    version = train(families=["lightgbm"])
    assert "lightgbm" in version.spec.label
    with pytest.raises(TrainingRefused) as caught:
        forecast_version(ctx=None, version=version)
    assert "is_promotional" in str(caught.value) and "Load a covariates file that covers the whole horizon" in str(
        caught.value
    )
    assert isinstance(caught.value.__cause__, engine.MissingRegressor)
    assert str(caught.value) == str(caught.value.__cause__)
    assert caught.value.__cause__.first_missing == LAST + timedelta(days=1)
    assert not ForecastPath.objects.exists()


def test_load__weeks_on_different_weekdays__engine_and_service_say_the_same(alpha):
    activate(make_contract(grain="weekly"))
    daily = make_demand(stores=1, products=2, days=20 * 7)
    load(daily.take(list(range(6, 140, 7))))
    load(daily.take(list(range(140 + 4, 280, 7))), batch_id=2)
    with pytest.raises(TrainingRefused) as caught:
        load_panel(plan_window(mode="serving"))
    cause = caught.value.__cause__
    assert isinstance(cause, engine.WeeksApart) and str(caught.value) == str(cause) and cause.rows == 20
    assert "same weekday" in str(cause)


def test_engine_errors__each_that_the_engine_raises__keeps_its_words_or_says_what_to_do():
    for error in (
        engine.MissingRegressor(["promo"], LAST, 3),
        engine.DuplicateDays(2, (1, FIRST)),
        engine.WeeksApart(2, (1, FIRST), LAST),
    ):
        with pytest.raises(TrainingRefused) as caught, engine_errors():
            raise error
        assert str(caught.value) == str(error)
    with pytest.raises(SeriesUnusable, match="Check the ingest report for rejected rows"), engine_errors():
        raise engine.NoUsableSeries("there are no rows")


def test_tenant__a_million_on_a_day_and_returns__is_trained_forecast_and_flagged_on_its_page(
    alpha, few_rounds, make_user, client_of
):
    def spoil(values: np.ndarray) -> None:
        values[DAYS - 3] = 1e6  # one series, in its last week
        values[2 * DAYS - 1] = -500.0

    load(with_quantities(make_demand(stores=1, products=3), spoil))
    version = train(families=["seasonal_naive"])
    made = forecast_version(ctx=None, version=version)
    promote(version)
    first = Series.objects.earliest("pk")
    path = made.paths.get(series=first)
    assert {"capped", "above_history"} <= set(path.flags)
    usual = 10 * sorted(load_panel(plan_window(mode="serving")).subset([first.pk]).history["y"])[-3]
    assert max(path.yhat) <= usual and max(path.hi95) <= usual
    for other in made.paths.exclude(series=first):
        assert max(other.yhat) < 100 and not {"capped", "above_history"} & set(other.flags)
    client = client_of("alpha", make_user("ann", Role.ANALYST))
    for url in (
        reverse("admin:forecasting_forecastset_change", args=[made.pk], urlconf="config.urls_tenant"),
        reverse("admin:forecasting_series_change", args=[first.pk], urlconf="config.urls_tenant"),
    ):
        text = client.get(url).content.decode()
        assert "Above all history" in text and "Less than" not in text
        assert "third largest day, and was cut there" in text


@pytest.mark.parametrize("values", [0.0, -5.0])
def test_tenant__nothing_was_ever_sold__is_trained_and_forecast_as_nothing(alpha, few_rounds, values):
    load(with_quantities(make_demand(stores=1, products=2), lambda all_: all_.fill(values)))
    made = forecast_version(ctx=None, version=train(families=["lightgbm", "seasonal_average"]))
    for path in made.paths.all():
        assert set(path.yhat) == {0.0} and "fallback" not in path.flags


def test_panel__rows_of_the_database_out_of_order__are_the_same(alpha):
    load(make_demand(stores=1, products=2, days=40))
    window = plan_window(mode="serving")
    before = load_panel(window)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE again AS SELECT * FROM forecasting_demand ORDER BY date DESC, series_id DESC")
        cursor.execute("DELETE FROM forecasting_demand")
        cursor.execute("INSERT INTO forecasting_demand SELECT * FROM again")
        cursor.execute("DROP TABLE again")
    assert load_panel(window).history.equals(before.history)
