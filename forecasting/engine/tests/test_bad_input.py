"""Whatever a history looks like: no forecast is NaN, infinite, negative, or absurd without a flag; declines say why.

Every family that is registered is tested, a new one by its registration alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.conformal import Calibration
from forecasting.engine.errors import EngineError, MissingRegressor
from forecasting.engine.families import FAMILY_NAMES
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.flags import FLAGS
from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.tests.bad_input import (
    ID_OF,
    KINDS,
    NOTHING_SOLD,
    OUTLIERS,
    PROMO,
    QUICK,
    every,
    plain_rows,
    plan,
    promo,
    some,
    troubled_panel,
)
from forecasting.engine.train import SearchConfig, evaluate, search
from forecasting.engine.types import ModelSpec, RegressorSet

HORIZON, FLOOR = 14, "seasonal_naive"


def spec_of(family: str, panel: Panel, horizon: int = HORIZON, top_n: int = 50) -> ModelSpec:
    """The family alone, with the floor to stand in for it."""
    return ModelSpec(
        tuple(dict.fromkeys((family, FLOOR))), horizon=horizon, grain=panel.grain, season_length=panel.season_length,
        params=QUICK, prophet_top_n=top_n,
    )  # fmt: skip


def calibration_of(panel: Panel, horizon: int = HORIZON) -> Calibration:
    """Intervals from the floor's residuals: quick, and rough where the history is."""
    return evaluate(panel, spec_of(FLOOR, panel, horizon), origins=2).calibration


@dataclass(frozen=True)
class Answer:
    """What a family made of the panel of all troubles."""

    family: str
    panel: Panel
    model: FittedModel
    frame: pd.DataFrame

    def of(self, kind: str) -> pd.DataFrame:
        return self.frame.loc[self.frame["unique_id"] == ID_OF[kind]]

    def flags(self, kind: str) -> set[str]:
        return {flag for text in self.of(kind)["flags"] for flag in text.split(",") if flag}


@pytest.fixture(scope="module")
def troubled() -> tuple[Panel, Calibration]:
    panel = troubled_panel()
    return panel, calibration_of(panel)


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def answer(request: pytest.FixtureRequest, troubled: tuple[Panel, Calibration]) -> Answer:
    panel, calibration = troubled
    model = fit(panel, spec_of(request.param, panel), calibration)
    return Answer(request.param, panel, model, model.forecast(panel, HORIZON))


def assert_sound(frame: pd.DataFrame, series: int, horizon: int = HORIZON) -> None:
    """Complete, finite, never negative, bounds in order, every row with its maker."""
    assert len(frame) == series * horizon and frame.groupby("unique_id").size().eq(horizon).all()
    values = frame[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert np.isfinite(values).all() and (values >= 0).all()
    assert (np.diff(values, axis=1) >= 0).all()
    assert frame["family"].notna().all() and (frame["family"] != "").all()
    assert {flag.partition(":")[0] for text in frame["flags"] for flag in text.split(",") if flag} <= set(FLAGS)


# --- every kind of history, every family ------------------------------------------------------------------------------


def test_forecast__every_kind_of_history__is_finite_ordered_and_whole(answer: Answer) -> None:
    assert_sound(answer.frame, len(KINDS))


def test_family__series_that_it_does_not_forecast__are_declined_with_a_reason(answer: Answer) -> None:
    part = answer.model.parts[answer.family]
    made = part.predict(answer.panel, HORIZON)
    assert np.isfinite(made["yhat"]).all() and (made["yhat"] >= 0).all()
    declined = part.declined
    assert not declined["unique_id"].duplicated().any() and (declined["reason"].str.len() > 5).all()
    assert set(made["unique_id"]) | set(declined["unique_id"]) == set(ID_OF.values())
    assert not set(made["unique_id"]) & set(declined["unique_id"])
    for series in declined["unique_id"]:
        flags = set(answer.frame.loc[answer.frame["unique_id"] == series, "flags"].iloc[0].split(","))
        assert {f"declined:{answer.family}", "fallback"} <= flags


@pytest.mark.parametrize("kind", KINDS)
def test_forecast__beyond_all_that_was_seen__is_cut_or_flagged(answer: Answer, kind: str) -> None:
    """Reckoned here from the raw values: the third largest day, and what a growth of 4 a month would still explain."""
    rows, history = answer.of(kind), answer.panel.history
    sold = np.sort(history.loc[history["unique_id"] == ID_OF[kind], "y"].dropna().to_numpy())[::-1]
    if not len(sold) or not sold[0] > 0:
        assert (rows["yhat"] == 0).all() or "cold_start" in answer.flags(kind) or answer.family == "prophet"
        return
    third = sold[2] if len(sold) > 2 and sold[2] > 0 else sold[0]
    assert rows["yhat"].max() <= 10 * third * (1 + 1e-12)
    assert rows["hi95"].max() <= 10 * third * (1 + 1e-12)
    remarkable = rows["yhat"] > 1.25 * 4.0 ** (HORIZON / 28) * min(sold[0], 10 * third)
    assert rows.loc[remarkable, "flags"].str.contains("above_history|capped").all()


@pytest.mark.parametrize("kind", OUTLIERS)
def test_forecast__after_a_million_on_a_day__stays_near_what_is_usual_or_says_so(answer: Answer, kind: str) -> None:
    rows = answer.of(kind)
    usual = KINDS["calm"].max()
    assert rows["yhat"].max() <= 10 * usual and rows["hi95"].max() <= 10 * usual
    for _, row in rows.loc[rows["yhat"] > 4 * usual].iterrows():
        assert {"capped", "above_history"} & set(row["flags"].split(","))


@pytest.mark.parametrize("kind", NOTHING_SOLD)
def test_forecast__nothing_was_ever_sold__is_zero(answer: Answer, kind: str) -> None:
    assert (answer.of(kind)["yhat"] == 0).all()


def test_forecast__constant_history__stays_near_it_and_unflagged(answer: Answer) -> None:
    assert answer.of("constant")["yhat"].between(7.0 * 0.6, 7.0 * 1.4).all()
    for kind in ("constant", "calm"):
        assert not answer.flags(kind) & {"capped", "above_history", "below_history"}


def test_forecast__other_series_of_the_panel_ran_wild__a_calm_one_keeps_its_level(answer: Answer) -> None:
    calm = KINDS["calm"]
    assert 0.7 * calm.mean() <= answer.of("calm")["yhat"].mean() <= 1.3 * calm.mean()


@pytest.mark.parametrize("kind", ["one_observation", "starts_inside_the_backtest", "stocked_out_but_for_one_day"])
def test_forecast__little_was_ever_seen__says_cold_start(answer: Answer, kind: str) -> None:
    assert "cold_start" in answer.flags(kind)


def test_saved__model_of_all_troubles__forecasts_the_same(answer: Answer, tmp_path: Any) -> None:
    answer.model.save(tmp_path)
    again = FittedModel.load(tmp_path).forecast(answer.panel, HORIZON)
    pd.testing.assert_frame_equal(again, answer.frame, check_exact=True)


# --- panels that are troubled as a whole ------------------------------------------------------------------------------


def _weekly() -> Panel:
    rows = plain_rows(days=70)
    rows["ds"] = pd.Timestamp("2022-10-02") + pd.to_timedelta(7 * rows.groupby("unique_id").cumcount(), unit="D")
    return build_panel(rows, grain="W")


def _planned(value: float = 1.0, **columns: Any) -> Panel:
    rows = plain_rows(**columns)
    return build_panel(rows, regressors=PROMO, future=plan(rows, value))


def _static(values: list[Any]) -> Panel:
    static = pd.DataFrame({"unique_id": [1, 2, 3], "store_id": ["a", "a", "b"], "size": values})
    return build_panel(plain_rows(), static=static, regressors=RegressorSet(static=("size",)))


def _priced(past: Any) -> Panel:
    rows = plain_rows(unit_price=past)
    return build_panel(rows, regressors=RegressorSet(known_future=("unit_price",)),
                       future=plan(rows, 2.5, name="unit_price"))  # fmt: skip


PANELS = {
    "a regressor constant in training, not after": lambda: _planned(1.0, promo=every(0.0)),
    "a regressor far out of its range": lambda: _planned(1e9, promo=promo),
    "a regressor unknown on some days": lambda: _planned(1.0, promo=some(np.nan)),
    "a historic regressor unknown on some days": lambda: build_panel(
        plain_rows(stock=some(np.nan)), regressors=RegressorSet(historic_only=("stock",))
    ),
    "a historic regressor that no row carries": lambda: build_panel(
        plain_rows(), regressors=RegressorSet(historic_only=("stock",))
    ),
    "prices of nothing": lambda: _priced(every(0.0)),
    "prices below nothing and unknown": lambda: _priced(some(np.nan, -3.0)),
    "an attribute unknown": lambda: _static([1.0, np.nan, np.nan]),
    "an attribute with the same value for all": lambda: _static(["x", "x", "x"]),
    "ids below zero": lambda: build_panel(plain_rows().assign(unique_id=lambda f: -f["unique_id"])),
    "ids beyond what a float holds": lambda: build_panel(plain_rows().assign(unique_id=lambda f: f.unique_id + 2**62)),
    "one series": lambda: build_panel(plain_rows(1)),
    "two series": lambda: build_panel(plain_rows(2)),
    "weeks": _weekly,
    "nothing ever sold by anyone": lambda: build_panel(plain_rows().assign(y=0.0)),
    "closed on all days without a sale": lambda: build_panel(
        plain_rows().loc[lambda f: f["ds"].dt.dayofweek < 5], missing_days="closed"
    ),
    "days unknown": lambda: build_panel(plain_rows().loc[lambda f: f["ds"].dt.day % 3 > 0], missing_days="unknown"),
    "a country that has no calendar": lambda: build_panel(plain_rows(), country="ZZ"),
}  # fmt: skip


@pytest.fixture(scope="module")
def rough() -> Calibration:
    """Intervals for panels that are too short or too empty to be backtested themselves."""
    return calibration_of(build_panel(plain_rows()))


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_panel__troubled_as_a_whole__is_forecast_soundly(family: str, name: str, rough: Calibration) -> None:
    panel = PANELS[name]()
    model = fit(panel, spec_of(family, panel, top_n=1), rough)
    frame = model.forecast(panel, HORIZON)
    assert_sound(frame, len(panel.ids))
    assert frame["yhat"].max() <= 2.5 * panel.history["y"].max() or frame["flags"].str.contains("above|capped").any()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_panel__one_day_or_all_but_one_stocked_out__floor_answers_and_others_decline(
    family: str, rough: Calibration
) -> None:
    rows = plain_rows().assign(censored=lambda f: f["ds"] > f["ds"].min())
    for panel in (build_panel(plain_rows(days=1)), build_panel(rows)):
        model = fit(panel, spec_of(family, panel), rough)
        assert_sound(model.forecast(panel, HORIZON), 3)
        assert (model.declined["reason"].str.len() > 5).all()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_panel__plan_is_missing__regressor_is_named_or_not_needed(family: str, rough: Calibration) -> None:
    for future in (None, plan(plain_rows(), days=3), plan(plain_rows(), np.nan), plan(plain_rows(), np.inf)):
        panel = build_panel(plain_rows(promo=promo), regressors=PROMO, future=future)
        model = fit(panel, spec_of(family, panel, top_n=1), rough)
        try:
            assert_sound(model.forecast(panel, HORIZON), 3)
            assert family not in {"lightgbm", "lightgbm_direct", "prophet"}
        except MissingRegressor as error:
            assert error.names == ("promo",) and "promo" in str(error) and "covariates file" in str(error)


def test_panel__horizon_longer_than_season_and_history__is_forecast_soundly(rough: Calibration) -> None:
    panel = build_panel(plain_rows(days=20))
    for family in ("seasonal_naive", "seasonal_average", "lightgbm"):
        assert_sound(fit(panel, spec_of(family, panel, 30), rough).forecast(panel, 30), 3, 30)


# --- the search, end to end -------------------------------------------------------------------------------------------

SEARCHED = {
    "all troubles": troubled_panel,
    "one series": lambda: build_panel(plain_rows(1)),
    "constant series only": lambda: build_panel(plain_rows().assign(y=7.0)),
    "nothing ever sold": lambda: build_panel(plain_rows().assign(y=0.0)),
    "one weekday only": lambda: build_panel(plain_rows().assign(y=lambda f: f["y"] * (f["ds"].dt.dayofweek == 2))),
    "hardly anything sold": lambda: build_panel(plain_rows().assign(y=lambda f: 1e-9 * f["y"])),
    "last weeks stocked out": lambda: build_panel(
        plain_rows().assign(censored=lambda f: f["ds"] > f["ds"].max() - pd.Timedelta(days=20))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEARCHED)
def test_search__troubled_panel__chooses_fits_and_forecasts_or_says_what_to_do(name: str) -> None:
    panel = SEARCHED[name]()
    config = SearchConfig(families=FAMILY_NAMES, horizon=7, origins=2, params=QUICK, prophet_top_n=1)
    try:
        found = search(panel, config)
        model = fit(panel, found.spec, found.evaluation.calibration)
    except (EngineError, ValueError) as error:
        assert name == "last weeks stocked out" and "add origins or load more history" in str(error)
        return
    assert found.reason
    assert_sound(model.forecast(panel, 7), len(panel.ids), 7)
    assert set(found.declined["family"]) <= set(FAMILY_NAMES)
    for score in found.evaluation.scores.overall.values():
        assert (score.value is None) == bool(score.reason) and (score.value is None or np.isfinite(score.value))
