"""Forecasts as stored: what the fit says, from the day after the origin, rolled forward without a refit."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.db import connection

from forecasting import selectors
from forecasting.errors import AsOfOutsideData, OriginBeforeFit
from forecasting.models import ForecastPath, ForecastSet, ModelArtifact, Series
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.artifacts import load_fit
from forecasting.services.loading import load_panel
from forecasting.services.publishing import forecast_version
from forecasting.services.windows import plan_window
from forecasting.tests.factories import promote
from forecasting.tests.synthetic import LAST, activate, load, make_contract, make_demand, train


def _of_first_series(made: ForecastSet) -> list[selectors.ForecastPoint]:
    return selectors.path_points(made.paths.get(series=Series.objects.earliest("pk")))


def test_forecast_version__stored_paths__are_the_fits_own_figures_to_the_last_bit(alpha):
    load(make_demand(stores=1, products=3))
    version = train(horizon=10)
    made = forecast_version(ctx=None, version=version)
    assert (made.origin_date, made.horizon, made.series_count, made.fit_age_days) == (LAST, 10, 3, 0)
    frame = load_fit(version).forecast(load_panel(plan_window(mode="serving")), 10)
    for path in ForecastPath.objects.all():
        rows = frame.loc[frame["unique_id"] == path.series_id]
        assert path.start_date == LAST + timedelta(days=1)
        assert (path.family, path.flags, path.step_days) == ("seasonal_naive", [], 1)
        for name in ("yhat", "lo80", "hi80", "lo95", "hi95"):
            assert getattr(path, name) == rows[name].tolist()
    points = _of_first_series(made)
    assert [p.horizon for p in points] == list(range(1, 11)) and points[-1].day == LAST + timedelta(days=10)


def test_forecast_version__later_origin__rolls_forward_without_a_refit(alpha, few_rounds):
    load(make_demand(stores=1, products=3))
    version = train(families=["lightgbm"], as_of=LAST - timedelta(days=14))
    files = set(ModelArtifact.objects.values_list("path", "sha256"))
    first = forecast_version(ctx=None, version=version, origin=LAST - timedelta(days=14))
    later = forecast_version(ctx=None, version=version)
    assert (later.origin_date, later.fit_age_days) == (LAST, 14)
    ahead = [_of_first_series(made) for made in (first, later)]
    assert ahead[1][0].day == LAST + timedelta(days=1)
    assert set(ModelArtifact.objects.values_list("path", "sha256")) == files
    # New days enter through the lags: other days of demand, another forecast.
    with connection.cursor() as cursor:
        cursor.execute("UPDATE forecasting_demand SET quantity = 3 * quantity WHERE date > %s", [first.origin_date])
    ForecastSet.objects.all().delete()
    again = [forecast_version(ctx=None, version=version, origin=day) for day in (first.origin_date, LAST)]
    assert _of_first_series(again[0]) == ahead[0]
    assert _of_first_series(again[1])[0].yhat > 1.5 * ahead[1][0].yhat


def test_forecast_version__origin_inside_the_fit_or_after_the_data__refused(alpha):
    load(make_demand(stores=1, products=2))
    version = train()
    with pytest.raises(OriginBeforeFit, match=str(LAST)):
        forecast_version(ctx=None, version=version, origin=LAST - timedelta(days=1))
    with pytest.raises(AsOfOutsideData):
        forecast_version(ctx=None, version=version, origin=LAST + timedelta(days=1))


def test_forecast_version__same_origin_again__is_the_set_that_is_there(alpha):
    load(make_demand(stores=1, products=2))
    version = train()
    made = forecast_version(ctx=None, version=version)
    assert forecast_version(ctx=None, version=version) == made
    assert ForecastPath.objects.count() == 2


def test_published__only_the_champions_sets__and_its_newest_serves(alpha):
    load(make_demand(stores=1, products=2))
    champion = train(as_of=LAST - timedelta(days=7))
    shadow = train()
    first = forecast_version(ctx=None, version=champion, origin=champion.as_of)
    assert first.published_at is None and selectors.serving_set() is None
    promote(champion)
    assert selectors.serving_set() == first
    second = forecast_version(ctx=None, version=champion)
    assert second.published_at is not None and selectors.serving_set() == second
    assert forecast_version(ctx=None, version=shadow).published_at is None
    assert selectors.set_served_on(LAST - timedelta(days=3)) == first
    assert selectors.set_served_on(LAST - timedelta(days=8)) is None


def test_forecast_version__new_series_since_the_fit__is_forecast_and_flagged(alpha, few_rounds):
    load(make_demand(stores=1, products=2))
    version = train(families=["lightgbm"], as_of=LAST - timedelta(days=7))
    new = make_demand(stores=1, products=3, days=5, first=LAST - timedelta(days=4)).slice(10)
    load(new, batch_id=2)
    made = forecast_version(ctx=None, version=version)
    path = ForecastPath.objects.get(forecast_set=made, series__product_id="P2")
    assert "cold_start" in path.flags and np.isfinite(path.yhat).all() and min(path.lo95) >= 0


def test_weekly_grain__paths_step_by_weeks__and_meet_their_actuals(alpha):
    activate(make_contract(grain="weekly"))
    daily = make_demand(stores=1, products=2, days=60 * 7)
    weekly = daily.take(list(range(6, daily.num_rows, 7)))
    load(weekly)
    last = selectors.newest_day()
    assert last is not None
    version = train(as_of=last - timedelta(days=10))
    assert version.as_of == last - timedelta(days=14)
    made = forecast_version(ctx=None, version=version, origin=version.as_of)
    path = ForecastPath.objects.filter(forecast_set=made).earliest("pk")
    assert (path.step_days, len(path.yhat), path.start_date) == (7, 4, version.as_of + timedelta(days=7))
    (record,) = measure_accuracy(ctx=None)
    assert (record.days, record.rows, record.actuals_until) == (2, 4, last)
