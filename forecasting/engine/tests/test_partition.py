"""The partition contract: nothing after the end of training reaches a model or a forecast."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import train
from forecasting.engine.backtest import backtest, rolling_origins
from forecasting.engine.errors import PartitionViolation
from forecasting.engine.features_grid import Grid
from forecasting.engine.features_known import feature_state
from forecasting.engine.features_recursive import known_features
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.panel import build_panel
from forecasting.engine.tests.conftest import FAST, demand_rows, make_panel, statics
from forecasting.engine.types import ModelSpec, RegressorSet, TrainingWindow


def poisoned(rows: pd.DataFrame, end: object) -> pd.DataFrame:
    """Every demand after `end` multiplied by 1,000."""
    return rows.assign(y=rows["y"].where(rows["ds"] <= pd.Timestamp(str(end)), rows["y"] * 1000.0))


def test_poison__rows_after_train_end_times_1000__search_models_and_forecasts_bit_identical(
    panel, window, config, outcome, model, tmp_path
):
    bad = make_panel(poisoned(demand_rows(), window.train_end))
    assert bad.history["y"].max() > panel.history["y"].max()
    again = train.search(bad.upto(window.train_end), config)
    assert again.spec.sha256 == outcome.spec.sha256
    pd.testing.assert_frame_equal(again.backtest.frame, outcome.backtest.frame, check_exact=True)
    other = fit(bad.upto(window.train_end), again.spec, again.evaluation.calibration, window=window)
    model.save(tmp_path / "a")
    other.save(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    one, two = (m.forecast(p.upto(window.train_end), 28) for m, p in ((model, panel), (other, bad)))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_fit__panel_reaches_into_the_holdout__violation(panel, window, outcome):
    with pytest.raises(PartitionViolation):
        fit(panel, outcome.spec, outcome.evaluation.calibration, window=window)


def test_backtest__actuals_after_an_origin_changed__its_forecasts_stay(panel, outcome):
    origin = outcome.backtest.origins[1]
    bad = make_panel(poisoned(demand_rows(), origin))
    made = backtest(bad, ModelSpec(("seasonal_naive", "lightgbm"), params=FAST), [origin]).frame
    before = outcome.backtest.frame.loc[outcome.backtest.frame["origin"] == pd.Timestamp(origin)]
    for family in ("seasonal_naive", "lightgbm"):
        assert np.array_equal(made[family].to_numpy(), before[family].to_numpy()), family


def test_backtest__gap__days_between_are_not_seen(panel):
    spec = ModelSpec(("lightgbm",), params=FAST, horizon=7)
    origin = rolling_origins(panel.last_day, 7, 1)[0]
    bad = make_panel(poisoned(demand_rows(), origin - timedelta(days=5)))
    one, two = (backtest(p, spec, [origin], gap=5).frame["lightgbm"] for p in (panel, bad))
    assert np.array_equal(one.to_numpy(), two.to_numpy())
    assert one.notna().all()


def test_holdout__later_days_changed__forecasts_of_earlier_origins_stay(panel, window, model, holdout):
    second = train.holdout_origins(window)[1]
    made = train.holdout_forecasts(make_panel(poisoned(demand_rows(), second)), model, window)
    early = holdout["origin"] <= pd.Timestamp(second)
    late = ~early
    assert np.array_equal(made.loc[early, "yhat"], holdout.loc[early, "yhat"])
    assert not np.array_equal(made.loc[late, "yhat"], holdout.loc[late, "yhat"])


def test_holdout__weekly_origins__horizon_capped_at_its_end(window, holdout):
    longest = holdout.groupby("origin")["h"].max()
    assert longest.tolist() == [14, 14, 14, 7]
    assert holdout["ds"].min().date() == window.holdout_start
    assert holdout["ds"].max().date() == window.holdout_end


def test_historic_only__enters_as_a_lag_of_at_least_the_horizon():
    rows = demand_rows(4, 90).assign(stock=lambda f: f["y"] * 7.0)
    panel = build_panel(rows, static=statics(4), regressors=RegressorSet(historic_only=("stock",)))
    grid = Grid.of(panel)
    features = known_features(panel, grid, feature_state(panel, grid, horizon=14, season=7), 0)
    assert "stock_lag14" in features.dynamic and "stock" not in features.dynamic
    one = features.columns["stock_lag14"][0]
    known = panel.history.loc[panel.history["unique_id"] == 1, "stock"].to_numpy()
    assert np.array_equal(one[14:], known[: len(one) - 14])


def test_undeclared_regressor__never_a_feature():
    panel = make_panel(demand_rows(4, 90).assign(leak=lambda f: f["y"]))
    grid = Grid.of(panel)
    features = known_features(panel, grid, feature_state(panel, grid, horizon=14, season=7), 0)
    assert not {"leak", "promo", "unit_price"} & set(features.dynamic)
    assert "leak" not in panel.history.columns


def test_search__twice__identical(panel, window, config, outcome):
    again = train.search(panel.upto(window.train_end), config)
    assert again.spec == outcome.spec
    assert again.evaluation.scores == outcome.evaluation.scores
    assert again.evaluation.calibration == outcome.evaluation.calibration


def test_import_engine__no_heavy_library_and_no_django():
    code = (
        "import sys, forecasting.engine.train, forecasting.engine.gates, forecasting.engine.families;"
        "heavy = {'prophet', 'lightgbm', 'mlforecast', 'statsforecast', 'holidays', 'django', 'matplotlib'};"
        "bad = heavy & set(sys.modules);"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_window__of_the_model__is_in_its_manifest(model: FittedModel, window: TrainingWindow):
    manifest = model.manifest()
    assert TrainingWindow.from_json(manifest["partition"]) == window
    assert manifest["spec_sha256"] == model.spec.sha256
    assert "lag7" in manifest["families"]["lightgbm"]["features"]
