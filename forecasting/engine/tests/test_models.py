"""Families, artifacts and bad input: what is saved predicts the same; what is absurd never comes out."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import train
from forecasting.engine.backtest import backtest, rolling_origins, training_scales
from forecasting.engine.business import BusinessPolicy
from forecasting.engine.conformal import Calibration
from forecasting.engine.errors import (
    ArtifactCorrupt,
    HistoryTooShort,
    MissingRegressor,
    NoUsableSeries,
    UnknownFamily,
)
from forecasting.engine.families import FAMILY_NAMES, get_family
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitted_files import file_sha256, read_manifest
from forecasting.engine.fitting import fit
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.scores import ScoreSet
from forecasting.engine.tests.conftest import FAST, START, demand_rows, make_panel, statics
from forecasting.engine.types import ModelSpec, RegressorSet, TrainingWindow

BOTH = ModelSpec(("lightgbm", "seasonal_naive"), params=FAST)
BLEND = ModelSpec(
    ("lightgbm", "prophet", "seasonal_naive"), {"*": {"lightgbm": 0.5, "prophet": 0.5}}, params=FAST, prophet_top_n=2
)


@pytest.fixture(scope="module")
def calibration(outcome: train.SearchOutcome) -> Calibration:
    return outcome.evaluation.calibration


@pytest.fixture(scope="module")
def small() -> Panel:
    return make_panel(demand_rows(6, 120), promo=True)


@pytest.fixture(scope="module")
def blend(small: Panel, calibration: Calibration) -> FittedModel:
    return fit(small.upto(small.last_day - pd.Timedelta(days=20)), BLEND, calibration)


def value(scores: ScoreSet, name: str) -> float:
    """An overall score that must be there."""
    found = scores.get(name).value
    assert found is not None
    return found


def assert_sane(made: pd.DataFrame, horizon: int, series: int) -> None:
    """Every series and step once; finite, not negative, ordered."""
    assert len(made) == horizon * series and not made.duplicated(["unique_id", "ds"]).any()
    values = made[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert np.isfinite(values).all() and (values >= 0).all() and (np.diff(values, axis=1) >= 0).all()


def test_search__weekly_shape__lightgbm_beats_seasonal_naive_clearly(outcome: train.SearchOutcome):
    wape = {f: value(s, "wape") for f, s in outcome.scores_by_family.items()}
    assert wape["lightgbm"] < 0.85 * wape["seasonal_naive"]
    chosen = outcome.evaluation.scores
    assert value(chosen, "wape") <= min(wape.values()) + 1e-12
    assert value(chosen, "coverage80") == pytest.approx(0.8, abs=0.05)


def test_holdout__unseen_weeks__calibrated_and_better_than_naive(panel, model, holdout):
    result = train.assess(panel, model, holdout)
    assert result.scores.overall["coverage80"].value == pytest.approx(0.8, abs=0.05)
    assert value(result.scores, "fva") > 0.1
    assert (len(result.origins), result.series_origins, result.holdout_days) == (4, 96, 28)
    assert result.business.total_cost.confidence == "estimated"
    shuffled = holdout.sample(frac=1, random_state=1)
    assert train.rows_sha256(shuffled) == result.rows_sha256
    assert train.rows_sha256(holdout.assign(y=holdout["y"] + 1)) != result.rows_sha256


def test_assess__seasonal_naive_itself__has_no_value_added(panel, window):
    spec, known = ModelSpec(("seasonal_naive",)), panel.upto(window.train_end)
    naive = fit(known, spec, train.evaluate(known, spec).calibration, window=window)
    frame = train.holdout_forecasts(panel, naive, window)
    result = train.assess(panel, naive, frame, BusinessPolicy())
    assert result.scores.overall["fva"].value == pytest.approx(0.0, abs=1e-12)
    evidence = train.cost_evidence(result, result, resamples=50)
    assert (evidence.p_lower, evidence.change) == (0.5, 0.0)


def test_save_and_load__all_families__forecasts_bit_identical_also_after_rolling(small, blend, tmp_path):
    files = blend.save(tmp_path)
    assert {"manifest.json", "lightgbm.txt", "prophet.models.json", "calibration.json"} <= set(files)
    again = FittedModel.load(tmp_path, manifest_sha256=file_sha256(tmp_path / "manifest.json"))
    for days_ago in (20, 10):
        known = small.upto(small.last_day - pd.Timedelta(days=days_ago))
        one, two = blend.forecast(known, 10), again.forecast(known, 10)
        pd.testing.assert_frame_equal(one, two, check_exact=True)
    again.save(tmp_path / "second")
    for name in files:
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_forecast__family_and_flags__say_who_really_made_it(small, blend):
    made = blend.forecast(small.upto(small.last_day - pd.Timedelta(days=13)), 5)
    assert_sane(made, 5, 6)
    by_series = made.groupby("unique_id")[["family", "flags"]].first()
    mixed = by_series["family"] == "lightgbm+prophet"
    assert mixed.sum() == 2 and by_series.loc[mixed, "flags"].eq("fit_age:7").all()
    assert by_series.loc[~mixed, "flags"].str.contains("declined:prophet").all()
    assert len(blend.declined) == 4 and blend.declined["reason"].str.len().min() > 5


@pytest.mark.parametrize("name", ["lightgbm.txt", "prophet.models.json", "calibration.json", "manifest.json"])
def test_load__one_byte_changed__corrupt_names_the_file(blend, tmp_path, name: str):
    blend.save(tmp_path)
    known = file_sha256(tmp_path / "manifest.json")
    raw = bytearray((tmp_path / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(ArtifactCorrupt) as caught:
        FittedModel.load(tmp_path, manifest_sha256=known)
    assert caught.value.file == name


def test_load__file_gone_or_path_that_escapes__corrupt(blend, tmp_path):
    blend.save(tmp_path)
    body = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "lightgbm.txt").unlink()
    with pytest.raises(ArtifactCorrupt, match=r"lightgbm.txt"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({**body, "files": {"../x": "0"}}))
    with pytest.raises(ArtifactCorrupt, match="path"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactCorrupt, match="manifest"):
        read_manifest(tmp_path)
    with pytest.raises(ArtifactCorrupt, match="no file"):
        read_manifest(tmp_path / "nowhere")


def test_prophet__through_a_process_pool__same_models_as_in_process(small):
    spec = ModelSpec(("prophet",), prophet_top_n=2)
    origins = rolling_origins(small.last_day, 14, 1)
    alone = backtest(small, spec, origins)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pooled = backtest(small, spec, origins, executor=pool)
    pd.testing.assert_frame_equal(alone.frame, pooled.frame, check_exact=True)
    assert alone.frame["prophet"].notna().any() and len(alone.declined) == 4


def test_forecast__known_future_promotion__raises_the_forecast(small, calibration):
    model = fit(small, ModelSpec(("lightgbm",), params={"lightgbm": {**FAST["lightgbm"], "rounds": 120}}), calibration)
    future = pd.DataFrame([(i, d) for i in range(1, 7) for d in pd.date_range(small.last_day, periods=15)[1:]])
    future.columns = ["unique_id", "ds"]
    made = []
    for promo in (0.0, 1.0):
        panel = build_panel(
            demand_rows(6, 120), static=statics(6), future=future.assign(promo=promo), regressors=small.regressors,
            country="US",
        )  # fmt: skip
        made.append(model.forecast(panel, 14)["yhat"].sum())
    assert made[1] > 1.1 * made[0]


def test_forecast__future_regressor_missing__error_names_it(small, blend):
    with pytest.raises(MissingRegressor, match="promo") as caught:
        blend.forecast(small, 14)
    assert caught.value.names == ("promo",) and caught.value.first_missing is not None
    gone = build_panel(demand_rows(6, 120).drop(columns="promo"), regressors=RegressorSet(known_future=("promo",)))
    with pytest.raises(MissingRegressor, match="promo"):
        get_family("lightgbm").fit(gone, BLEND)


def test_search__history_too_short__says_how_many_days_are_needed():
    short = make_panel(demand_rows(4, 40))
    with pytest.raises(HistoryTooShort) as caught:
        train.search(short, train.SearchConfig(families=("seasonal_naive",)))
    assert (caught.value.available, caught.value.needed) == (40, 70)
    assert "70 are needed" in str(caught.value)
    train.search(make_panel(demand_rows(4, 70)), train.SearchConfig(families=("seasonal_naive",)))


def odd_rows() -> pd.DataFrame:
    """One series for each oddity, beside ordinary ones."""
    rng = np.random.default_rng(1)
    ds = pd.date_range(START, periods=120)
    shapes = {
        1: np.full(120, 7.0),
        2: np.zeros(120),
        3: np.r_[np.zeros(100), rng.poisson(9, 20)],
        4: np.r_[rng.poisson(5, 60), rng.poisson(50, 60)],
        5: np.where(np.arange(120) == 90, 1e6, rng.poisson(10, 120)),
        6: rng.poisson(4, 120) - 2.0,
        7: rng.poisson(0.05, 120),
    }
    parts = [pd.DataFrame({"unique_id": k, "ds": ds, "y": np.asarray(v, dtype=float)}) for k, v in shapes.items()]
    parts.append(pd.DataFrame({"unique_id": 8, "ds": ds[-1:], "y": 3.0}))
    parts.append(pd.DataFrame({"unique_id": 9, "ds": ds[[5, 6, 80, 119]], "y": [4.0, 0.0, 9.0, 2.0]}))
    rows = pd.concat(
        [*parts, demand_rows(4, 120)[["unique_id", "ds", "y"]].assign(unique_id=lambda f: f["unique_id"] + 9)]
    )
    return rows.sample(frac=1, random_state=3)


@pytest.fixture(scope="module")
def odd() -> tuple[Panel, pd.DataFrame]:
    panel = build_panel(odd_rows(), country="US")
    found = train.evaluate(panel, BOTH, origins=2)
    return panel, fit(panel, BOTH, found.calibration).forecast(panel, 28)


def test_forecast__odd_series_together__all_sane(odd: tuple[Panel, pd.DataFrame]):
    assert_sane(odd[1], 28, 13)


@pytest.mark.parametrize(
    ("series", "low", "high"),
    [(1, 5, 9), (2, 0, 1), (4, 30, 70), (5, 3, 40), (7, 0, 1.5), (8, 0, 30)],
    ids=["constant", "all zeros", "level shift", "outlier", "almost never", "one observation"],
)
def test_forecast__odd_series__mean_is_plausible(odd: tuple[Panel, pd.DataFrame], series: int, low: float, high: float):
    made = odd[1].loc[odd[1]["unique_id"] == series, "yhat"]
    assert low <= made.mean() <= high


def test_forecast__young_series__flagged_as_cold_start(odd: tuple[Panel, pd.DataFrame]):
    flagged = odd[1].loc[odd[1]["flags"].str.contains("cold_start"), "unique_id"].unique().tolist()
    assert flagged == [3, 8]


def test_forecast__series_never_seen_in_training__cold_start_and_wider(panel, model):
    rows = demand_rows().assign(unit_price=2.0)
    new = rows.loc[rows["unique_id"] == 1].tail(60).assign(unique_id=99)
    more = build_panel(pd.concat([rows, new]), static=statics(24), regressors=panel.regressors, country="US")
    made = model.forecast(more, 7)
    assert_sane(made, 7, 25)
    fresh = made.loc[made["unique_id"] == 99]
    assert fresh["flags"].str.contains("cold_start").all() and (fresh["yhat"] > 0).all()


def test_fit__stocked_out_weeks__not_learned_as_zero_demand(calibration):
    rows = demand_rows(8, 150)
    out = rows["ds"] > rows["ds"].max() - pd.Timedelta(days=14)
    honest = rows.assign(y=rows["y"].where(~out, 0.0), censored=out)
    spec = ModelSpec(("lightgbm",), params=FAST)
    made = {}
    for name, table in (("censored", honest), ("zeros", honest.drop(columns="censored")), ("true", rows)):
        known = make_panel(table)
        made[name] = fit(known, spec, calibration).forecast(known, 7)["yhat"].sum()
    assert made["censored"] == pytest.approx(made["true"], rel=0.2)
    assert made["zeros"] < 0.6 * made["true"]


def test_backtest__censored_days__left_out_of_the_scores(calibration):
    rows = demand_rows(6, 120)
    rows["censored"] = rows["ds"] == rows["ds"].max()
    spec = ModelSpec(("seasonal_naive",))
    found = train.evaluate(make_panel(rows), spec, origins=2)
    assert found.scores.rows == 6 * 2 * spec.horizon - 6


def test_weekly_grain__whole_path__works(calibration):
    daily = demand_rows(8, 700)
    weekly = daily.groupby(["unique_id", pd.Grouper(key="ds", freq="W-SUN")])["y"].sum().reset_index().query("y > 0")
    panel = build_panel(weekly, grain="W", country="US")
    spec = ModelSpec(("lightgbm", "seasonal_naive"), horizon=4, season_length=52, grain="W", params=FAST)
    found = train.evaluate(panel, spec, origins=2)
    made = fit(panel, spec, found.calibration).forecast(panel, 4)
    assert_sane(made, 4, 8)
    assert made["ds"].dt.dayofweek.eq(6).all()
    assert value(found.scores, "wape") < 0.5 and set(found.scores.by_week) == {"1", "2", "3", "4"}


def test_fit__no_series__error(panel, calibration):
    with pytest.raises(NoUsableSeries):
        fit(panel.subset([]), BOTH, calibration)


def test_lightgbm__nothing_to_learn_from__declines_every_series_and_so_does_what_was_stored(tmp_path):
    made = get_family("lightgbm").fit(make_panel(ONE_DAY), BOTH)
    assert made.save(tmp_path) == ["lightgbm.json"]
    for one in (made, get_family("lightgbm").load(tmp_path)):
        assert one.declined["unique_id"].tolist() == [1, 2, 3]
        assert one.declined["reason"].str.contains("no series learned together with it").all()
        assert not len(one.predict(make_panel(ONE_DAY), 14))


ONE_DAY = demand_rows(3, 1).assign(y=4.0)


def test_get_family__unknown__error_lists_the_known():
    with pytest.raises(UnknownFamily, match="seasonal_naive"):
        get_family("oracle")
    assert all(get_family(name).name == name for name in FAMILY_NAMES)


def test_seasonal_naive__plain_history__last_season_repeated(panel):
    made = get_family("seasonal_naive").fit(panel, BOTH).predict(panel, 10)
    one = made.loc[made["unique_id"] == 1, "yhat"].to_numpy()
    last = panel.history.loc[panel.history["unique_id"] == 1, "y"].to_numpy()[-7:]
    assert one.tolist() == [*last, *last[:3]]


def test_seasonal_average__plain_history__mean_of_the_last_same_days(panel, tmp_path):
    seasons = 3
    spec = ModelSpec(("seasonal_average",), params={"seasonal_average": {"seasons": seasons}})
    family = get_family("seasonal_average")
    fitted = family.fit(panel, spec)
    made = fitted.predict(panel, 9)
    one = panel.history.loc[panel.history["unique_id"] == panel.ids[0], "y"].to_numpy()
    expected = [np.mean([one[-7 * k + h % 7] for k in range(1, seasons + 1)]) for h in range(9)]
    np.testing.assert_allclose(made.loc[made["unique_id"] == panel.ids[0], "yhat"], expected)
    fitted.save(tmp_path)
    pd.testing.assert_frame_equal(family.load(tmp_path).predict(panel, 9), made, check_exact=True)


def test_seasonal_average__days_before_the_seasons__change_nothing(panel):
    spec = ModelSpec(("seasonal_average",), params={"seasonal_average": {"seasons": 2}})
    fitted = get_family("seasonal_average").fit(panel, spec)
    old = panel.history["ds"] <= panel.history["ds"].max() - pd.Timedelta(days=14)
    changed = dataclasses.replace(panel, history=panel.history.assign(y=panel.history["y"].where(~old, 1000.0)))
    pd.testing.assert_frame_equal(fitted.predict(changed, 7), fitted.predict(panel, 7), check_exact=True)


def test_closed_on_sundays__scales_and_orders__are_those_of_the_open_days():
    rows = demand_rows(6, 140)
    rows = rows.loc[rows["ds"].dt.dayofweek != 6]
    shut, zero = (make_panel(rows, missing_days=policy, end=rows["ds"].max().date()) for policy in ("closed", "zero"))
    found, plain = (training_scales(one, one.last_day, 7).set_index("unique_id") for one in (shut, zero))
    # Every seventh seasonal difference is 0 where Sundays count as days without a sale; else the two are the same.
    assert (found["mase_scale"] / plain["mase_scale"]).between(7 / 6 * 0.99, 7 / 6 * 1.01).all()
    window = TrainingWindow.plan(shut.first_day, shut.last_day)
    spec = ModelSpec(("seasonal_naive",))
    training = shut.upto(window.train_end)
    fitted = fit(training, spec, train.evaluate(training, spec).calibration)
    judged = train.assess(shut, fitted, train.holdout_forecasts(shut, fitted, window))
    assert judged.business.total_cost.confidence == "estimated" and judged.business.total_cost.score.n == 6 * 4
    assert judged.holdout_days == 24
