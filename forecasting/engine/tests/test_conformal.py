"""Intervals: calibrated on unseen weeks of known noise, ordered, never below zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.engine.conformal import GRID, Calibration, NoResiduals

ORIGIN = pd.Timestamp("2022-03-01")


def noisy(seed: int, series: int = 60, origins: int = 4, horizon: int = 14, noise: float = 1.0) -> pd.DataFrame:
    """Forecasts with multiplicative noise of known size, different for each series."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(1, series + 1), range(origins), range(1, horizon + 1)])
    frame = index.to_frame(index=False, name=["unique_id", "o", "h"])
    frame["origin"] = ORIGIN + pd.to_timedelta(14 * frame["o"], unit="D")
    level = 10.0 + 5.0 * (frame["unique_id"] % 10)
    frame["yhat"] = level * (1 + 0.3 * np.sin(frame["h"]))
    spread = noise * (1 + frame["unique_id"] % 3) * (1 + 0.03 * frame["h"])
    frame["y"] = np.maximum(frame["yhat"] + spread * rng.standard_normal(len(frame)), 0.0)
    return frame.drop(columns="o").assign(censored=False)


CLASSES = pd.Series({i: "smooth" if i % 2 else "erratic" for i in range(1, 61)})


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(noisy(1), CLASSES)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_coverage__unseen_weeks_of_known_noise__near_nominal(calibration: Calibration, seed: int):
    fresh = calibration.apply(noisy(seed))
    for level, near in ((80, 0.03), (95, 0.02)):
        share = fresh["y"].between(fresh[f"lo{level}"], fresh[f"hi{level}"]).mean()
        assert share == pytest.approx(level / 100, abs=near)
    inside = fresh["y"].between(fresh["lo80"], fresh["hi80"])
    for _, part in inside.groupby(fresh["unique_id"] % 3):
        assert part.mean() == pytest.approx(0.8, abs=0.07)


def test_intervals__any_forecast__ordered_and_never_below_zero(calibration: Calibration):
    frame = noisy(5).assign(yhat=lambda f: f["yhat"] * 0.05)
    made = calibration.apply(frame)
    assert (made["lo95"] >= 0).all()
    ordered = made[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert np.isfinite(ordered).all()


def test_quantiles__grid__non_decreasing(calibration: Calibration):
    values = calibration.quantiles(noisy(6)).to_numpy()
    assert values.shape[1] == len(GRID) and (np.diff(values, axis=1) >= 0).all() and (values >= 0).all()


def test_protection_quantile__sum_over_seven_steps__meets_its_probability(calibration: Calibration):
    for ratio in (0.5, 0.9):
        fresh = pd.concat([noisy(s).assign(unique_id=lambda f: f["unique_id"]) for s in (21,)], ignore_index=True)
        order = calibration.protection_quantile(fresh, 7, ratio)
        total = fresh.loc[fresh["h"] <= 7].groupby(["unique_id", "origin"])["y"].sum()
        share = (total.to_numpy() <= order["quantity"].to_numpy()).mean()
        assert share == pytest.approx(ratio, abs=0.08)


def test_protection_quantile__per_series_ratios__higher_ratio_orders_more(calibration: Calibration):
    frame = noisy(3, origins=1)
    low = calibration.protection_quantile(frame, 7, pd.Series(0.3, index=range(1, 61)))
    high = calibration.protection_quantile(frame, 7, pd.Series(0.95, index=range(1, 61)))
    assert (high["quantity"] >= low["quantity"]).all() and (high["quantity"] > low["quantity"]).any()


def test_protection_quantile__path_shorter_than_the_interval__left_out(calibration: Calibration):
    assert calibration.protection_quantile(noisy(3, horizon=5), 7, 0.9).empty


def test_new_series__not_in_the_backtest__wider_than_a_known_one(calibration: Calibration):
    known = noisy(4, series=3, origins=1)
    new = known.assign(unique_id=known["unique_id"] + 1000)
    width = [(f["hi80"] - f["lo80"]).mean() for f in (calibration.apply(known), calibration.apply(new))]
    assert width[1] > width[0]


def test_weeks_beyond_the_backtest__wider_than_the_last_one(calibration: Calibration):
    frame = noisy(4, series=5, origins=1).assign(yhat=20.0)
    later = frame.assign(h=frame["h"] + 28)
    width = [
        (f["hi80"] - f["lo80"]).mean() for f in (calibration.apply(frame.loc[frame["h"] > 7]), calibration.apply(later))
    ]
    assert width[1] > width[0]


def test_fit__perfect_forecasts__finite_intervals():
    made = Calibration.fit(noisy(1).assign(y=lambda f: f["yhat"]), CLASSES).apply(noisy(2))
    assert np.isfinite(made[["lo80", "hi80", "lo95", "hi95"]].to_numpy()).all()


def test_fit__nothing_known__error():
    with pytest.raises(NoResiduals):
        Calibration.fit(noisy(1).assign(censored=True), CLASSES)


def test_fit__one_origin_two_series__still_finite():
    made = Calibration.fit(noisy(1, series=2, origins=1), CLASSES).apply(noisy(2, series=3, origins=1))
    assert np.isfinite(made[["lo95", "hi95"]].to_numpy()).all()


def test_json__round_trip__same_intervals(calibration: Calibration):
    again = Calibration.from_json(calibration.to_json())
    assert again == calibration
    pd.testing.assert_frame_equal(again.apply(noisy(9)), calibration.apply(noisy(9)), check_exact=True)


@given(st.floats(0, 1e7), st.integers(1, 60), st.integers(1, 99))
@settings(max_examples=50, deadline=None)
def test_apply__any_forecast_step_and_series__ordered_finite_not_negative(yhat: float, h: int, series: int):
    frame = pd.DataFrame({"unique_id": [series], "h": [h], "yhat": [yhat]})
    row = SHARED.apply(frame)[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()[0]
    assert np.isfinite(row).all() and row[0] >= 0 and (np.diff(row) >= 0).all()


SHARED = Calibration.fit(noisy(1), CLASSES)
