"""One Prophet per series, where it can pay; elsewhere it declines and says why. Intervals are not its business."""

from __future__ import annotations

import json
import logging
import warnings
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.errors import MissingRegressor
from forecasting.engine.families.base import Fitted, horizon_frame
from forecasting.engine.features import future_values, holiday_table
from forecasting.engine.panel import Panel, absent_regressors, classify, revenue_weights
from forecasting.engine.types import DemandClass, ModelSpec

MODELS_FILE, STATE_FILE = "prophet.models.json", "prophet.json"
WEEK, YEAR = 7, 365
CHUNK = 2
DEFAULTS: dict[str, Any] = {
    "changepoint_prior_scale": 0.05,
    "seasonality_prior_scale": 10.0,
    "holidays_prior_scale": 1.0,
    "seasonality_mode": "multiplicative",
}


def _quiet() -> None:
    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logger = logging.getLogger(name)
        logger.disabled = True  # cmdstanpy sets its own level again when it is first used


def fit_one(task: dict[str, Any]) -> str:
    """Fit one series and return Prophet's JSON. At module level and with plain arguments, for a process pool.

    task: ds (datetime64), y, regressors {name: array}, holidays (frame or None), settings, yearly, weekly, seed.
    """
    _quiet()
    from prophet import Prophet
    from prophet.serialize import model_to_json

    frame = pd.DataFrame({"ds": task["ds"], "y": task["y"], **task["regressors"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Prophet(
            uncertainty_samples=0,
            weekly_seasonality=task["weekly"],
            yearly_seasonality=task["yearly"],
            daily_seasonality=False,
            holidays=task["holidays"],
            **task["settings"],
        )
        for name in task["regressors"]:
            model.add_regressor(name)
        model.fit(frame, seed=task["seed"])
    text: str = model_to_json(model)
    return text


def predict_one(text: str, frame: pd.DataFrame) -> np.ndarray:
    """yhat of a stored model at the rows of `frame` (ds and its regressors)."""
    _quiet()
    from prophet.serialize import model_from_json

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model_from_json(text)
        values: np.ndarray = model.predict(frame)["yhat"].to_numpy(dtype="float64")
    return values


@dataclass(frozen=True)
class FittedProphet:
    """Prophet's own JSON per series, and the ceiling each series' history makes plausible."""

    models: dict[int, str]
    state: dict[str, Any]
    declined: pd.DataFrame
    family: str = "prophet"

    @property
    def trained_until(self) -> date:
        """Last day it has learned from."""
        return date.fromisoformat(self.state["trained_until"])

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """The fitted curves at the `horizon` steps after the panel's last day (new days do not enter)."""
        ids = [i for i in panel.ids if int(i) in self.models]
        if not ids:
            return horizon_frame(panel, 0).assign(yhat=pd.Series(dtype="float64"))
        regressors = self.state["regressors"]
        ahead = future_values(panel.subset(ids), horizon) if regressors else horizon_frame(panel, horizon, ids)
        parts = []
        for series in ids:
            frame = ahead.loc[ahead["unique_id"] == series, ["ds", *regressors]].reset_index(drop=True)
            values = predict_one(self.models[int(series)], frame)
            parts.append(np.clip(values, 0.0, self.state["ceilings"][str(int(series))]))
        return ahead[["unique_id", "ds"]].assign(yhat=np.concatenate(parts)).reset_index(drop=True)

    def describe(self) -> dict[str, Any]:
        """Settings, series, reasons of the declined."""
        return {"family": self.family, "series": len(self.models), "declined": len(self.declined), **self.state}

    def save(self, directory: Path) -> list[str]:
        """Two JSON files: the models, and the rest."""
        models = {str(k): v for k, v in self.models.items()}
        (directory / MODELS_FILE).write_text(json.dumps(models, sort_keys=True), encoding="utf-8")
        state = {"state": self.state, "declined": self.declined.to_dict("list")}
        (directory / STATE_FILE).write_text(json.dumps(state, sort_keys=True), encoding="utf-8")
        return [MODELS_FILE, STATE_FILE]


class ProphetFamily:
    """Family `prophet`."""

    name = "prophet"
    can_roll = False

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedProphet:
        """Fit the series it accepts, through the executor where there is one; the result is the same without."""
        reasons = self._declines(panel, spec)
        chosen = [int(i) for i in panel.ids if int(i) not in reasons]
        tasks = self._tasks(panel, spec, chosen)
        if executor is None:
            texts = [fit_one(task) for task in tasks]
        else:
            texts = list(executor.map(fit_one, tasks, chunksize=CHUNK))
        top = panel.history.groupby("unique_id")["y"].max()
        state = {
            "trained_until": str(panel.last_day),
            "settings": {**DEFAULTS, **spec.params.get("prophet", {})},
            "regressors": list(panel.regressors.known_future),
            # A trend that runs away is cut at twice the largest day ever seen.
            "ceilings": {str(i): float(2.0 * top.loc[i]) for i in chosen},
        }
        declined = pd.DataFrame(
            {
                "unique_id": pd.Series(list(reasons), dtype="int64"),
                "reason": pd.Series(list(reasons.values()), dtype=object),
            }
        )
        return FittedProphet(dict(zip(chosen, texts, strict=True)), state, declined)

    @staticmethod
    def _declines(panel: Panel, spec: ModelSpec) -> dict[int, str]:
        """unique_id -> reason, for the series where it cannot pay."""
        classes, weights = classify(panel), revenue_weights(panel)
        cycle = 2 * (WEEK if spec.grain == "D" else 13)
        known = panel.history.loc[~panel.history["censored"]].groupby("unique_id")["y"].size()
        reasons: dict[int, str] = {}
        for series in panel.ids:
            have = int(known.get(series, 0))
            if have < cycle:
                reasons[int(series)] = f"history of {have} steps is shorter than two cycles ({cycle})"
            elif classes[series] in {DemandClass.INTERMITTENT, DemandClass.LUMPY}:
                reasons[int(series)] = f"demand is {classes[series]}"
        rest = [int(i) for i in panel.ids if int(i) not in reasons]
        ranked = sorted(rest, key=lambda i: (-float(weights.get(i, 0.0)), i))
        for series in ranked[spec.prophet_top_n :]:
            reasons[series] = f"not among the top {spec.prophet_top_n} series by revenue"
        return dict(sorted(reasons.items()))

    @staticmethod
    def _tasks(panel: Panel, spec: ModelSpec, chosen: list[int]) -> list[dict[str, Any]]:
        names = list(panel.regressors.known_future)
        absent = absent_regressors(panel)
        if absent and chosen:
            raise MissingRegressor(absent)
        reach = pd.Timedelta(days=400)
        table = holiday_table(panel.country, panel.history["ds"].min(), panel.history["ds"].max() + reach)
        if len(table) and spec.grain == "D":
            table = table.assign(lower_window=-1, upper_window=0)
        holidays = table if len(table) and spec.grain == "D" else None
        tasks = []
        for series in chosen:
            rows = panel.history.loc[(panel.history["unique_id"] == series) & ~panel.history["censored"]]
            span = (rows["ds"].max() - rows["ds"].min()).days
            tasks.append(
                {
                    "ds": rows["ds"].to_numpy(),
                    "y": rows["y"].to_numpy(),
                    "regressors": {n: rows[n].ffill().fillna(0.0).to_numpy() for n in names},
                    "holidays": holidays,
                    "settings": {**DEFAULTS, **spec.params.get("prophet", {})},
                    "weekly": spec.grain == "D",
                    "yearly": span >= 2 * YEAR,
                    "seed": spec.seed,
                }
            )
        return tasks

    def load(self, directory: Path) -> FittedProphet:
        """Read what `save` wrote."""
        models = json.loads((directory / MODELS_FILE).read_text(encoding="utf-8"))
        rest = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        declined = pd.DataFrame(rest["declined"], columns=["unique_id", "reason"]).astype({"unique_id": "int64"})
        return FittedProphet({int(k): v for k, v in models.items()}, rest["state"], declined)


FAMILY = ProphetFamily()
