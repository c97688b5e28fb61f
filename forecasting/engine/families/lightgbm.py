"""One global LightGBM over all series, by mlforecast: lags and rolling statistics roll forward recursively."""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.base import Fitted
from forecasting.engine.families.lightgbm_boosters import CUT, DEFAULTS, Boosters, Lesson, groups_of
from forecasting.engine.families.lightgbm_fitted import FittedBoosters
from forecasting.engine.features import unsold
from forecasting.engine.features_grid import LEAN_STEPS, LEAST_LEVEL, LEVEL_STEPS, Grid
from forecasting.engine.features_known import SHUT_LEARNED, SHUT_SURE, feature_state
from forecasting.engine.features_recursive import SHUT_SHARE, carried_demand, design
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

__all__ = ["DEFAULTS", "FAMILY", "FittedLightGBM", "LightGBM"]
NAME = "lightgbm"
LAGS = {"D": (1, 2, 3, 7, 14, 21, 28), "W": (1, 2, 3, 4, 8, 13)}
WINDOWS = {"D": (7, 28, 91, 182), "W": (4, 8, 13, 26)}
TRENDS = {"D": ((7, 28), (28, 91)), "W": ((4, 13), (13, 26))}
SPREAD = {"D": 28, "W": 13}
SEASONAL_WINDOWS = (4, 8)


def _forecaster(state: dict[str, Any]) -> Any:
    """A fresh MLForecast with the lags that a history of `longest` steps can fill, and the means that levels are of."""
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd, SeasonalRollingMean

    grain, season, longest = state["grain"], state["season"], state["longest"]
    lags = [lag for lag in LAGS[grain] if lag < longest] or [1]
    transforms: dict[int, list[Any]] = {1: [RollingMean(w, min_samples=1) for w in WINDOWS[grain]]}
    transforms[1].append(RollingStd(SPREAD[grain], min_samples=2))
    if season > 1 and season * 2 < longest:
        transforms[season] = [SeasonalRollingMean(season, w, min_samples=1) for w in SEASONAL_WINDOWS]
    freq: Any = "D" if grain == "D" else pd.offsets.Day(7)
    return MLForecast(models={}, freq=freq, lags=lags, lag_transforms=transforms, num_threads=1)


def _mean_name(window: int) -> str:
    return f"rolling_mean_lag1_window_size{window}_min_samples1"


def model_rows(table: pd.DataFrame, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """What the boosters see of mlforecast's table: float32 features × rows, and each row's level in units.

    The level is made of the row's own trailing means, so it is what was known the day before, in training as in the
    recursion. Sales enter divided by it, and as trends: ratios of a shorter mean to a longer.
    """
    grain = state["grain"]
    recent, long = LEVEL_STEPS[grain]
    means = {w: table[_mean_name(w)].to_numpy(dtype="float64") for w in WINDOWS[grain]}
    level = (recent * means[recent] + LEAN_STEPS * means[long]) / (recent + LEAN_STEPS)
    with np.errstate(invalid="ignore", divide="ignore"):
        trends = {f"sales_trend_{short}_{long}": means[short] / means[long] for short, long in TRENDS[grain]}
        out = np.empty((len(state["features"]), len(table)), dtype="float32")
        for number, name in enumerate(state["features"]):
            if name == "sales_level":
                values = np.log1p(level)
            elif name in trends:
                values = np.where(np.isfinite(trends[name]), trends[name], np.nan)
            else:
                values = table[name].to_numpy()
                if name in state["sales"]:
                    values = values / np.maximum(level, LEAST_LEVEL)
            out[number] = values
    return out, level


class FittedLightGBM(FittedBoosters):
    """Boosters that look one step ahead, and roll forward over any history."""

    name = NAME

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Roll forward `horizon` steps from the panel's last day; columns unique_id, ds, yhat."""
        state = self.state
        if self.boosters is None:
            return self.no_rows(panel)
        keep = 2 * max(*WINDOWS[state["grain"]], *LAGS[state["grain"]])
        frame, dynamic = _frame(panel, state, horizon)
        last = panel.history["ds"].max()
        past = frame.loc[(frame["ds"] <= last) & (frame["ds"] > last - keep * panel.step)].reset_index(drop=True)
        ahead = frame.loc[frame["ds"] > last, ["unique_id", "ds", *dynamic]].reset_index(drop=True)
        forecaster, rolled = (_forecaster(state), _Rolled(self.boosters, state, groups_of(panel)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NaN features are meant: LightGBM has its own branch for them
            forecaster.preprocess(past, static_features=list(state["codes"]), dropna=False, validate_data=False)
            forecaster.models = forecaster.models_ = {"yhat": rolled}
            out = forecaster.predict(horizon, X_df=ahead if dynamic else None)
        # A weekday that has been closed throughout stays closed; a series unsold for half a year borrows no level.
        shut = ahead[SHUT_SHARE].to_numpy() >= SHUT_SURE
        sold = ~out["unique_id"].isin(unsold(panel)).to_numpy()
        rows: pd.DataFrame = out[["unique_id", "ds"]]
        return rows.assign(yhat=np.where(shut | ~sold, 0.0, np.maximum(out["yhat"].to_numpy(), 0.0)))


class _Rolled:
    """mlforecast calls `predict(frame)` once a step; demand is never below zero, not inside the recursion either."""

    def __init__(self, boosters: Boosters, state: dict[str, Any], groups: np.ndarray) -> None:
        self.boosters, self.state, self.groups = boosters, state, groups

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        x, level = model_rows(frame, self.state)
        made = self.boosters.predict(x.T, np.where(level > LEAST_LEVEL, level, 0.0), self.groups)
        # A closed day is rolled on as the same weekday before it, as the history's closed days are.
        shut = frame[SHUT_SHARE].to_numpy() >= SHUT_SURE
        same = f"lag{self.state['season']}" if f"lag{self.state['season']}" in frame.columns else "lag1"
        return np.asarray(np.where(shut, frame[same].to_numpy(), made))


def _frame(panel: Panel, state: dict[str, Any], horizon: int) -> tuple[pd.DataFrame, list[str]]:
    """Demand, dynamic and static features for the history and `horizon` steps more (y is NaN there)."""
    frame, dynamic = design(panel, state, horizon)
    y = np.full(len(frame), np.nan)
    y[(frame["ds"] <= panel.history["ds"].max()).to_numpy()] = carried_demand(panel, state["season"])
    return frame.assign(y=y), dynamic


class LightGBM:
    """Family `lightgbm`."""

    name = NAME
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedLightGBM:
        """Boosters for all series of the panel, one step ahead. Raises MissingRegressor."""
        grid = Grid.of(panel)
        state = feature_state(panel, grid, horizon=spec.horizon, season=spec.season_length)
        state |= {"longest": panel.days, "params": dict(spec.params.get(NAME, {})), "seed": spec.seed}
        usable = self._usable(panel)
        lesson = self._lesson(panel, grid, state, usable)
        return FittedLightGBM.learn(lesson, state, panel, spec, observed=bool(usable.any()))

    @staticmethod
    def _lesson(panel: Panel, grid: Grid, state: dict[str, Any], usable: np.ndarray) -> Lesson:
        frame, dynamic = _frame(panel, state, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = _forecaster(state).preprocess(
                frame, static_features=list(state["codes"]), dropna=False, validate_data=False
            )
        known = {"unique_id", "ds", "y", *dynamic, *state["codes"]}
        state["sales"] = [str(c) for c in table.columns if c not in known]
        trends = [f"sales_trend_{short}_{long}" for short, long in TRENDS[state["grain"]]]
        state["features"] = [*state["sales"], *trends, "sales_level", *dynamic, *state["codes"]]
        x, level = model_rows(table, state)
        closed = panel.history["closed"].to_numpy()
        usable = usable & (~closed | (table[SHUT_SHARE].to_numpy() >= SHUT_LEARNED)) & (level > LEAST_LEVEL)
        units = np.where(closed, 0.0, table["y"].to_numpy())
        lesson = Lesson(
            x=x,
            names=state["features"],
            target=np.minimum(units / np.maximum(level, LEAST_LEVEL), CUT),
            level=level,
            day=grid.col,
            group=groups_of(panel)[grid.row],
        )
        return lesson.only(usable)

    @staticmethod
    def _usable(panel: Panel) -> np.ndarray:
        """Rows to learn from: observed, and with at least one step of history before them."""
        history = panel.history
        first = history["unique_id"].ne(history["unique_id"].shift())
        return (~history["censored"] & ~first).to_numpy()

    def load(self, directory: Path) -> FittedLightGBM:
        """Read what the fit saved."""
        return FittedLightGBM.load(directory)


FAMILY = LightGBM()
