"""One Prophet per series, where it can pay; elsewhere it declines and says why. Intervals are not its business."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.errors import MissingRegressor
from forecasting.engine.families.base import Fitted, horizon_frame, no_declines
from forecasting.engine.families.prophet_curve import Curve, day_numbers
from forecasting.engine.families.prophet_fit import Calendar, Made, Series, fit_batch
from forecasting.engine.features import future_values, holiday_table
from forecasting.engine.panel import Panel, absent_regressors, classify, revenue_weights
from forecasting.engine.types import DemandClass, ModelSpec, canonical_json, sha256_text

MODELS_FILE, STATE_FILE = "prophet.models.json", "prophet.json"
WEEK, YEAR = 7, 365
BATCH = 4
DEFAULTS: dict[str, Any] = {
    "changepoint_prior_scale": 0.05,
    "seasonality_prior_scale": 10.0,
    "holidays_prior_scale": 1.0,
    "seasonality_mode": "multiplicative",
}


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
        days = day_numbers(ahead["ds"].to_numpy()[:horizon])
        values = {name: ahead[name].to_numpy().reshape(len(ids), horizon) for name in regressors}
        columns: dict[Any, np.ndarray] = {}
        rows = []
        for number, series in enumerate(ids):
            curve = Curve.parse(self.models[int(series)])
            kind = (curve.seasons, curve.holidays)
            if kind not in columns:
                columns[kind] = curve.shared_columns(days)
            made = curve.at(days, columns[kind], {name: table[number] for name, table in values.items()})
            rows.append(np.clip(made, 0.0, self.state["ceilings"][str(int(series))]))
        return ahead[["unique_id", "ds"]].assign(yhat=np.concatenate(rows)).reset_index(drop=True)

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
        """Fit the series it accepts, through the executor where there is one; the result is the same without.

        start: each series begins from its model there, where that has the same columns; a start that was trained on
        later days than the panel's is not looked at. The optimum is the same and is found sooner, but it is not
        approached from the same side: forecasts differ a little, so a start is for those who ask for it.
        """
        begun: dict[int, str] = {}
        if isinstance(start, FittedProphet) and start.trained_until <= panel.last_day:
            begun = start.models
        reasons = self._declines(panel, spec)
        chosen = [int(i) for i in panel.ids if int(i) not in reasons]
        calendar, tasks = self._tasks(panel, spec, chosen, begun)
        batches = [tasks[i : i + BATCH] for i in range(0, len(tasks), BATCH)]
        run = partial(fit_batch, calendar)
        done = map(run, batches) if executor is None else executor.map(run, batches)
        made = dict(zip(chosen, (one for batch in done for one in batch), strict=True))
        reasons |= {i: f"its fit failed: {one.failed}" for i, one in made.items() if one.model is None}
        models = {i: one.model for i, one in made.items() if one.model is not None}
        top = panel.history.groupby("unique_id")["y"].max()
        state = {
            "trained_until": str(panel.last_day),
            "settings": _settings(spec),
            "regressors": list(panel.regressors.known_future),
            # A trend that runs away is cut at twice the largest day ever seen.
            "ceilings": {str(i): float(2.0 * top.loc[i]) for i in models},
            "started_from": _started_from(begun, made),
        }
        refused = dict(sorted(reasons.items()))
        declined = pd.DataFrame({"unique_id": list(refused), "reason": list(refused.values())})
        return FittedProphet(models, state, declined.astype({"unique_id": "int64", "reason": "object"}))

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
        return reasons

    @staticmethod
    def _tasks(
        panel: Panel, spec: ModelSpec, chosen: list[int], begun: dict[int, str]
    ) -> tuple[Calendar, list[Series]]:
        names = list(panel.regressors.known_future)
        absent = absent_regressors(panel)
        if absent and chosen:
            raise MissingRegressor(absent)
        holidays = None
        if spec.grain == "D":
            reach = pd.Timedelta(days=400)
            table = holiday_table(panel.country, panel.history["ds"].min(), panel.history["ds"].max() + reach)
            days = day_numbers(table["ds"]).astype(int).tolist()
            holidays = tuple(zip(days, table["holiday"].tolist(), strict=True)) or None
        rows = panel.history.loc[panel.history["unique_id"].isin(chosen) & ~panel.history["censored"]]
        tasks = []
        for series, mine in rows.groupby("unique_id", sort=True):
            span = (mine["ds"].max() - mine["ds"].min()).days
            regressors = {n: mine[n].ffill().fillna(0.0).to_numpy() for n in names}
            yearly, earlier = span >= 2 * YEAR, begun.get(int(str(series)))
            ds, y = mine["ds"].to_numpy(), mine["y"].to_numpy()
            tasks.append(Series(ds, y, regressors, yearly=yearly, seed=spec.seed, start=earlier))
        every = tuple(np.unique(day_numbers(rows["ds"])).astype(int).tolist())
        return Calendar(every, holidays, canonical_json(_settings(spec)), weekly=spec.grain == "D"), tasks

    def load(self, directory: Path) -> FittedProphet:
        """Read what `save` wrote."""
        models = json.loads((directory / MODELS_FILE).read_text(encoding="utf-8"))
        rest = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        declined = pd.DataFrame(rest["declined"], columns=["unique_id", "reason"]).astype({"unique_id": "int64"})
        return FittedProphet({int(k): v for k, v in models.items()}, rest["state"], declined)


def beginnings(fits: Iterable[Fitted], ids: Iterable[int]) -> FittedProphet | None:
    """One start for these series from earlier fits, perhaps of other segments; None where none has a model of them."""
    wanted, found, newest = set(ids), dict[int, str](), None
    for one in fits:
        if isinstance(one, FittedProphet):
            found |= {i: text for i, text in one.models.items() if i in wanted}
            newest = one if newest is None or one.trained_until > newest.trained_until else newest
    return FittedProphet(found, newest.state, no_declines()) if newest is not None and found else None


def _settings(spec: ModelSpec) -> dict[str, Any]:
    return {**DEFAULTS, **spec.params.get("prophet", {})}


def _started_from(begun: dict[int, str], made: dict[int, Made]) -> dict[str, Any] | None:
    """What the manifest says of a warm start: the hash of the models begun from, and how many series could use them."""
    if not begun:
        return None
    text = canonical_json({str(i): text for i, text in begun.items()})
    return {"models_sha256": sha256_text(text), "series": sum(one.warm for one in made.values())}


FAMILY = ProphetFamily()
