"""One global LightGBM over all series, by mlforecast: lags and rolling statistics roll forward recursively."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.base import (
    NOTHING_KNOWN,
    NOTHING_SOLD,
    Fitted,
    all_declined,
    horizon_frame,
    no_declines,
)
from forecasting.engine.features import (
    capped,
    design,
    encode_static,
    enough_for_yearly,
    impute,
    scales,
    static_codes,
    unsold,
)
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

MODEL_FILE, STATE_FILE = "lightgbm.txt", "lightgbm.json"
LAGS = {"D": (1, 2, 3, 7, 14, 21, 28), "W": (1, 2, 3, 4, 8, 13)}
WINDOWS = {"D": (7, 28, 91), "W": (4, 13, 26)}
SEASONAL_WINDOWS = (4, 8)
DEFAULTS: dict[str, Any] = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.3,
    "rounds": 150,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "num_threads": 1,
}


def _forecaster(grain: str, season: int, longest: int) -> Any:
    """A fresh MLForecast with the lags and windows that a history of `longest` steps can fill."""
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd, SeasonalRollingMean

    lags = [lag for lag in LAGS[grain] if lag < longest] or [1]
    transforms: dict[int, list[Any]] = {1: [RollingMean(w, min_samples=1) for w in WINDOWS[grain] if w < longest]}
    transforms[1] += [RollingStd(w, min_samples=2) for w in WINDOWS[grain][1:2] if w < longest]
    if grain == "D" and season * 2 < longest:
        transforms[season] = [SeasonalRollingMean(season, w, min_samples=1) for w in SEASONAL_WINDOWS]
    transforms = {lag: ts for lag, ts in transforms.items() if ts}
    freq: Any = "D" if grain == "D" else pd.offsets.Day(7)
    return MLForecast(models={}, freq=freq, lags=lags, lag_transforms=transforms, num_threads=1)


@dataclass(frozen=True)
class FittedLightGBM:
    """A booster and what is needed to make its features again from any history."""

    booster: Any
    state: dict[str, Any]
    family: str = "lightgbm"
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    @property
    def trained_until(self) -> date:
        """Last day it has learned from."""
        return date.fromisoformat(self.state["trained_until"])

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Roll forward `horizon` steps from the panel's last day; columns unique_id, ds, yhat."""
        state = self.state
        if self.booster is None:
            return horizon_frame(panel, 0, []).assign(yhat=pd.Series(dtype="float64"))
        keep = 2 * max(*WINDOWS[state["grain"]], *LAGS[state["grain"]]) + state["lag"]
        level = scales(panel)
        frame, dynamic = _frame(panel, level, state, horizon)
        last = panel.history["ds"].max()
        past = frame.loc[(frame["ds"] <= last) & (frame["ds"] > last - keep * panel.step)].reset_index(drop=True)
        ahead = frame.loc[frame["ds"] > last, ["unique_id", "ds", *dynamic]].reset_index(drop=True)
        forecaster = _forecaster(state["grain"], state["season_length"], state["longest"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NaN features are meant: LightGBM has its own branch for them
            forecaster.preprocess(past, static_features=list(state["codes"]), dropna=False, validate_data=False)
            forecaster.models = forecaster.models_ = {"yhat": _Booster(self.booster, state["features"])}
            out = forecaster.predict(horizon, X_df=ahead if dynamic else None)
        scale = level.reindex(out["unique_id"]).to_numpy()
        # A series that has not sold for half a year borrows no level from the others.
        sold = scale * ~out["unique_id"].isin(unsold(panel)).to_numpy()
        rows: pd.DataFrame = out[["unique_id", "ds"]]
        return rows.assign(yhat=np.maximum(out["yhat"].to_numpy() * sold, 0.0))

    def describe(self) -> dict[str, Any]:
        """Features, parameters, vocabulary."""
        return {"family": self.family, **self.state}

    def save(self, directory: Path) -> list[str]:
        """LightGBM's text format and a JSON of the feature state."""
        (directory / STATE_FILE).write_text(json.dumps(self.state, sort_keys=True), encoding="utf-8")
        if self.booster is None:
            return [STATE_FILE]
        (directory / MODEL_FILE).write_text(self.booster.model_to_string(), encoding="utf-8")
        return [MODEL_FILE, STATE_FILE]


class _Booster:
    """mlforecast calls `predict(frame)`; demand is never below zero, not inside the recursion either."""

    def __init__(self, booster: Any, features: list[str]) -> None:
        self.booster, self.features = booster, features

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        values = self.booster.predict(frame[self.features].to_numpy(dtype="float64"), num_threads=1)
        return np.asarray(np.clip(values, 0.0, 50.0))


def _frame(panel: Panel, level: pd.Series, state: dict[str, Any], horizon: int) -> tuple[pd.DataFrame, list[str]]:
    """Scaled target, dynamic and static features for the history and `horizon` steps more (y is NaN there)."""
    features, dynamic = design(panel, horizon=horizon, lag=state["lag"], yearly=state["yearly"])
    target = impute(panel)
    target["y"] = capped(target, level)
    frame = features.merge(target, on=["unique_id", "ds"], how="left", sort=False)
    statics = encode_static(panel, state["codes"]).set_index("unique_id").reindex(frame["unique_id"])
    for column in state["codes"]:
        frame[column] = statics[column].to_numpy()
    return frame, dynamic


class LightGBM:
    """Family `lightgbm`."""

    name = "lightgbm"
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedLightGBM:
        """One booster for all series of the panel, on targets divided by each series' level."""
        import lightgbm as lgb

        params = {**DEFAULTS, **spec.params.get("lightgbm", {})}
        columns = [c for c in dict.fromkeys((*panel.regressors.static, "store_id")) if c in panel.static.columns]
        codes = {c: v for c, v in static_codes(panel, columns).items() if len(v) > 1}
        state: dict[str, Any] = {
            "grain": spec.grain,
            "season_length": spec.season_length,
            "lag": spec.horizon,
            "yearly": enough_for_yearly(panel),
            "codes": codes,
            "longest": panel.days,
            "params": params,
            "seed": spec.seed,
            "trained_until": str(panel.last_day),
        }
        level = scales(panel)
        frame, _ = _frame(panel, level, state, 0)
        forecaster = _forecaster(spec.grain, spec.season_length, panel.days)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = forecaster.preprocess(frame, static_features=list(codes), dropna=False, validate_data=False)
        state["features"] = [c for c in forecaster.ts.features_order_ if c != "unique_id"]
        usable = self._usable(panel)
        y = table.loc[usable, "y"].to_numpy()
        if not y.any():
            # No reason to end a run: the other families go on, and these series say why.
            reason = NOTHING_SOLD if len(y) else NOTHING_KNOWN
            return _nothing_learned({**state, "declined": panel.ids.tolist(), "reason": reason})
        x = table.loc[usable, state["features"]].to_numpy(dtype="float64")
        weight = level.reindex(table.loc[usable, "unique_id"]).to_numpy() ** float(params.get("weight_power", 0.5))
        own = {k: v for k, v in params.items() if k not in {"rounds", "weight_power"}}
        own |= {"seed": spec.seed, "deterministic": True, "force_row_wise": True, "verbose": -1}
        data = lgb.Dataset(
            x,
            y,
            weight=weight / weight.mean(),
            feature_name=state["features"],
            categorical_feature=list(codes),
            free_raw_data=True,
        )
        booster = lgb.train(own, data, num_boost_round=int(params["rounds"]))
        # The text that will be stored is what predicts from now on, so that a reload cannot differ.
        return FittedLightGBM(lgb.Booster(model_str=booster.model_to_string()), state)

    @staticmethod
    def _usable(panel: Panel) -> np.ndarray:
        """Rows to learn from: observed, and with at least one step of history before them."""
        history = panel.history
        first = history["unique_id"].ne(history["unique_id"].shift())
        return (~history["censored"] & ~first).to_numpy()

    def load(self, directory: Path) -> FittedLightGBM:
        """Read what `save` wrote."""
        import lightgbm as lgb

        state = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        if "declined" in state:
            return _nothing_learned(state)
        text = (directory / MODEL_FILE).read_text(encoding="utf-8")
        return FittedLightGBM(lgb.Booster(model_str=text), state)


def _nothing_learned(state: dict[str, Any]) -> FittedLightGBM:
    """A fit that declines every series; `state` names them and the reason."""
    return FittedLightGBM(None, state, declined=all_declined(state["declined"], state["reason"]))


FAMILY = LightGBM()
