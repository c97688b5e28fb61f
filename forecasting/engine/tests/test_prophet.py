"""Prophet, fitted and evaluated in a leaner way: held to Prophet itself."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.families import prophet_fit
from forecasting.engine.families.prophet import DEFAULTS, FAMILY, FittedProphet
from forecasting.engine.families.prophet_curve import Curve, day_numbers
from forecasting.engine.families.prophet_fit import quiet
from forecasting.engine.features import future_values, holiday_table
from forecasting.engine.fitting import fit
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.source import HeldPanel
from forecasting.engine.tests.conftest import demand_rows, make_panel, statics
from forecasting.engine.train import evaluate
from forecasting.engine.types import ModelSpec, RegressorSet

SPEC = ModelSpec(("prophet",), prophet_top_n=2)
LONG_DAYS = 760


def plain_prophet(panel: Panel, series: int, *, yearly: bool, **settings: Any) -> Any:
    """What a person would write: one Prophet, with Prophet's own loop, holidays and regressors."""
    from prophet import Prophet

    quiet()
    rows = panel.history.loc[(panel.history["unique_id"] == series) & ~panel.history["censored"]]
    table = holiday_table(panel.country, panel.history["ds"].min(), panel.history["ds"].max() + pd.Timedelta(days=400))
    model = Prophet(
        uncertainty_samples=0, weekly_seasonality=panel.grain == "D", yearly_seasonality=yearly,
        daily_seasonality=False, holidays=None if panel.grain == "W" else table.assign(lower_window=-1, upper_window=0),
        **{**DEFAULTS, **settings},
    )  # fmt: skip
    for name in panel.regressors.known_future:
        model.add_regressor(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows[["ds", "y", *panel.regressors.known_future]].copy(), seed=SPEC.seed)
    return model


def with_future(days: int, series: int = 2, *, gaps: bool = False, price: bool = False) -> Panel:
    """Series with a promotion (and a price) known 14 days ahead; gaps: some days of the first series are censored."""
    rows = demand_rows(series, days + 14)
    last = rows["ds"].max() - pd.Timedelta(days=14)
    names = ("promo", "unit_price") if price else ("promo",)
    if price:
        rows["unit_price"] += np.random.default_rng(2).normal(0, 0.2, len(rows)).round(2)
    history = rows.loc[rows["ds"] <= last].copy()
    if gaps:
        at = history.index[(history["unique_id"] == 1) & history["ds"].dt.day.between(3, 6)]
        history["censored"] = history.index.isin(at)
    future = rows.loc[rows["ds"] > last, ["unique_id", "ds", *names]]
    regressors = RegressorSet(known_future=names)
    return build_panel(history, static=statics(series), future=future, regressors=regressors, country="US")


@pytest.fixture(scope="module")
def long() -> Panel:
    """Two years, so that the year has a season, with two regressors and censored days."""
    return with_future(LONG_DAYS, gaps=True, price=True)


@pytest.fixture(scope="module")
def long_fit(long: Panel) -> FittedProphet:
    return FAMILY.fit(long, SPEC)


@pytest.fixture(scope="module")
def short() -> Panel:
    return with_future(150, series=3)


@pytest.fixture(scope="module")
def short_fit(short: Panel) -> FittedProphet:
    return FAMILY.fit(short, SPEC)


def assert_as_prophet(panel: Panel, fitted: FittedProphet, **settings: Any) -> None:
    """The same parameters to the last bit, and the same forecast to 1e-9 of its size."""
    ahead = future_values(panel, 14) if panel.regressors.known_future else None
    made = fitted.predict(panel, 14)
    assert fitted.models
    for series, text in fitted.models.items():
        body = json.loads(text)
        plain = plain_prophet(panel, series, yearly=bool(body["yearly_seasonality"]), **settings)
        assert {k: np.asarray(v).tolist() for k, v in plain.params.items()} == body["params"]
        frame = made.loc[made["unique_id"] == series, ["ds"]].reset_index(drop=True)
        if ahead is not None:
            own = ahead.loc[ahead["unique_id"] == series].reset_index(drop=True)
            frame = frame.join(own[list(panel.regressors.known_future)])
        expected = plain.predict(frame)["yhat"].to_numpy()
        found = made.loc[made["unique_id"] == series, "yhat"].to_numpy()
        ceiling = fitted.state["ceilings"][str(series)]
        np.testing.assert_allclose(found, np.clip(expected, 0.0, ceiling), rtol=1e-9, atol=1e-12)


def test_fit__two_years_regressors_holidays_and_gaps__as_prophet_itself(long, long_fit):
    assert all(json.loads(text)["yearly_seasonality"] for text in long_fit.models.values())
    assert_as_prophet(long, long_fit)


def test_fit__some_months__as_prophet_itself(short, short_fit):
    assert_as_prophet(short, short_fit)


def test_fit__so_few_days_that_prophet_takes_newton__as_prophet_itself():
    panel = with_future(50)
    assert_as_prophet(panel, FAMILY.fit(panel, SPEC))


def test_fit__weeks_additive_and_without_any_column__as_prophet_itself():
    rows = demand_rows(2, 900)
    weekly = rows.groupby(["unique_id", pd.Grouper(key="ds", freq="W-SUN")])["y"].sum().reset_index()
    panel = build_panel(weekly, grain="W", country="US")
    whole = replace(SPEC, grain="W", season_length=52, params={"prophet": {"seasonality_mode": "additive"}})
    assert_as_prophet(panel, FAMILY.fit(panel, whole), seasonality_mode="additive")
    young = panel.upto(panel.history["ds"].min() + pd.Timedelta(weeks=60))
    fitted = FAMILY.fit(young, whole)
    assert all(json.loads(text)["seasonalities"] == [[], {}] for text in fitted.models.values())
    assert_as_prophet(young, fitted, seasonality_mode="additive")


@pytest.mark.parametrize("growth", ["linear", "flat"])
def test_curve__any_day_of_history_and_future__as_prophet_predicts(long, growth: str):
    plain = plain_prophet(long, 1, yearly=True, growth=growth)
    from prophet.serialize import model_to_json

    days = pd.DataFrame({"ds": pd.date_range(long.first_day, periods=LONG_DAYS + 200)})
    values = {"promo": np.arange(len(days)) % 2.0, "unit_price": np.linspace(1.0, 3.0, len(days))}
    curve = Curve.parse(model_to_json(plain))
    number = day_numbers(days["ds"])
    found = curve.at(number, curve.shared_columns(number), values)
    np.testing.assert_allclose(found, plain.predict(days.assign(**values))["yhat"], rtol=1e-9)


def test_model__stored_json__loads_in_prophet_and_holds_no_history(short, short_fit):
    from prophet.serialize import model_from_json

    series, text = next(iter(short_fit.models.items()))
    model = model_from_json(text)
    ahead, made = future_values(short, 14), short_fit.predict(short, 14)
    ahead = ahead.loc[ahead["unique_id"] == series].reset_index(drop=True)
    made = made.loc[made["unique_id"] == series, "yhat"]
    np.testing.assert_allclose(model.predict(ahead[["ds", "promo"]])["yhat"], made, rtol=1e-9)
    assert len(json.loads(json.loads(text)["history"])["data"]) == 1


def test_fit__earlier_fit_as_start__begins_from_it_and_says_so(short, short_fit, tmp_path):
    early = FAMILY.fit(short.upto(short.last_day - pd.Timedelta(days=14)), SPEC)
    assert early.state["started_from"] is None
    warm = FAMILY.fit(short, SPEC, start=early)
    told = warm.describe()["started_from"]
    assert told["series"] == 2 and len(told["models_sha256"]) == 64
    assert FAMILY.fit(short, SPEC, start=early).models == warm.models
    assert FAMILY.fit(short, SPEC, start=short_fit).describe()["started_from"] != told
    warm.save(tmp_path)
    again = FAMILY.load(tmp_path)
    assert again.describe() == warm.describe()
    pd.testing.assert_frame_equal(again.predict(short, 14), warm.predict(short, 14), check_exact=True)
    # Another way to the same optimum: near, but not the same, which is why it has to be asked for.
    one, other = (fit.predict(short, 14)["yhat"] for fit in (short_fit, warm))
    assert (one - other).abs().max() > 0 and (one - other).abs().mean() < 0.05 * one.mean()


def test_fit__start_that_knows_later_days__is_not_looked_at(short, short_fit):
    early = short.upto(short.last_day - pd.Timedelta(days=14))
    made = FAMILY.fit(early, SPEC, start=short_fit)
    assert made.models == FAMILY.fit(early, SPEC).models and made.state["started_from"] is None


def test_fit__start_with_other_columns__fits_anew(short, short_fit, long_fit):
    old = replace(long_fit, state={**long_fit.state, "trained_until": str(short.first_day)})
    other = FAMILY.fit(short, SPEC, start=old)
    assert other.models == short_fit.models and other.describe()["started_from"]["series"] == 0


def test_fitted_model__earlier_model_in_other_segments__each_series_begins_from_its_own(short):
    """Two segments before, one now: prophet begins from the models of both, the other families do not care."""
    held = HeldPanel.of(short.upto(short.last_day - pd.Timedelta(days=14)), 2)
    spec = replace(SPEC, families=("seasonal_naive", "prophet"), prophet_top_n=3)
    calibration = evaluate(short, ModelSpec(("seasonal_naive",)), origins=2).calibration
    early = fit(held, spec, calibration)
    assert len(early.segments) == 2
    model = fit(short, spec, calibration, start=early)
    told = model.manifest()["families"]["prophet"]["started_from"]
    assert told["series"] == 3 and len(model.declined) == 0
    assert fit(short, spec, calibration).manifest()["families"]["prophet"]["started_from"] is None


def test_fit__stan_program_fails__series_is_declined_and_says_so(short, monkeypatch, tmp_path):
    broken = tmp_path / "stan"
    broken.write_text("#!/bin/sh\nexit 70\n")
    broken.chmod(0o700)
    monkeypatch.setattr(prophet_fit, "_program", lambda: str(broken))
    fitted = FAMILY.fit(short, SPEC)
    assert not fitted.models and len(fitted.predict(short, 7)) == 0
    assert fitted.declined["reason"].str.startswith("its fit failed").sum() == 2


def test_fit__constant_and_huge_values__finite_forecast():
    ds = pd.date_range("2022-01-01", periods=120)
    flat = pd.DataFrame({"unique_id": 1, "ds": ds, "y": 7.0})
    shapes = [flat, flat.assign(unique_id=2, y=np.where(np.arange(120) == 90, 1e6, 10.0))]
    panel = build_panel(pd.concat(shapes), country="US")
    made = FAMILY.fit(panel, SPEC).predict(panel, 14)
    assert made.loc[made["unique_id"] == 1, "yhat"].to_numpy() == pytest.approx(np.full(14, 7.0), rel=1e-6)
    assert np.isfinite(made["yhat"]).all() and made["yhat"].between(0, 2e6).all()


def test_fit__no_series_it_can_serve__declines_all(tmp_path):
    panel = make_panel(demand_rows(3, 10))
    fitted = FAMILY.fit(panel, SPEC)
    assert len(fitted.declined) == 3 and fitted.declined["reason"].str.contains("two cycles").all()
    fitted.save(tmp_path)
    assert len(FAMILY.load(tmp_path).predict(panel, 7)) == 0
