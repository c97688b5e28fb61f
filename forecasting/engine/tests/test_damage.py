"""A model damaged on purpose, and the hash that tells one set of forecasts from another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.damage import FACTOR, damageable, damaged
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.forecast_hash import VALUES, forecast_sha256
from forecasting.engine.panel import Panel
from forecasting.engine.train import SearchOutcome
from forecasting.engine.types import ModelSpec


def test_damaged__boosters__forecast_far_too_much_from_their_files(
    panel: Panel, outcome: SearchOutcome, tmp_path: Path
) -> None:
    spec = damageable(outcome.spec)
    whole = fit(panel, spec, outcome.evaluation.calibration)
    broken = damaged(whole)
    good, bad = (one.forecast(panel, spec.horizon) for one in (whole, broken))
    ratio = bad["yhat"].sum() / good["yhat"].sum()
    assert FACTOR / 1.6 < ratio < FACTOR * 1.6
    assert forecast_sha256(whole.forecast(panel, spec.horizon)) == forecast_sha256(good), "the whole one is untouched"
    broken.save(tmp_path)
    loaded = FittedModel.load(tmp_path)
    assert forecast_sha256(loaded.forecast(panel, spec.horizon)) == forecast_sha256(bad) != forecast_sha256(good)


def test_damaged__nothing_that_was_learned__is_refused(panel: Panel, outcome: SearchOutcome) -> None:
    plain = fit(panel, ModelSpec(("seasonal_average",)), outcome.evaluation.calibration)
    with pytest.raises(ValueError, match="no booster"):
        damaged(plain)


def test_forecast_sha256__one_bit_of_one_figure__is_another_hash_and_order_is_not() -> None:
    days = pd.date_range("2026-01-01", periods=3)
    frame = pd.DataFrame({"unique_id": [1, 1, 2], "ds": days, "h": [1, 2, 1]})
    frame = frame.assign(**{name: np.array([1.0, 2.0, 3.0]) for name in VALUES})
    before = forecast_sha256(frame)
    assert forecast_sha256(frame.iloc[::-1]) == before
    for name in VALUES:
        other = frame.copy()
        other.loc[1, name] = np.nextafter(2.0, 3.0)
        assert forecast_sha256(other) != before
    for name, value in (("unique_id", [1, 1, 3]), ("h", [1, 3, 1]), ("ds", days + pd.Timedelta(days=1))):
        assert forecast_sha256(frame.assign(**{name: value})) != before
