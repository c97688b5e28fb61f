"""One global LightGBM for all series and all steps ahead: each day is forecast from the origin itself.

Nothing it forecasts is fed back to it, so errors do not pile up over the horizon; the price is that one booster has to
serve near and far days alike. Demand is divided by the level that its series had at the row's own origin.
"""

from __future__ import annotations

import json
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
from forecasting.engine.families.lightgbm_boosters import CUT, Boosters, Lesson, fit_boosters, groups_of
from forecasting.engine.features_direct import SHUT_SHARE, Facts, Rows, features, gather_facts
from forecasting.engine.features_grid import Grid
from forecasting.engine.features_known import SHUT_LEARNED, SHUT_SURE, feature_state, steps_ahead
from forecasting.engine.panel import STEP_DAYS, Panel
from forecasting.engine.types import ModelSpec

NAME, STATE_FILE = "lightgbm_direct", "lightgbm_direct.json"


@dataclass(frozen=True)
class FittedDirect:
    """Boosters and what is needed to make their features again from any history."""

    boosters: Boosters | None
    state: dict[str, Any]
    family: str = NAME
    declined: pd.DataFrame = field(default_factory=no_declines, compare=False)

    @property
    def trained_until(self) -> date:
        """Last day it has learned from."""
        return date.fromisoformat(self.state["trained_until"])

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Forecast `horizon` steps after the panel's last day, all at once; columns unique_id, ds, yhat."""
        if self.boosters is None:
            return horizon_frame(panel, 0, []).assign(yhat=pd.Series(dtype="float64"))
        facts = gather_facts(panel, self.state, horizon)
        series, ahead = np.arange(len(facts.grid.ids)), np.arange(1, horizon + 1)
        origin = np.full(len(series) * horizon, facts.grid.width - 1)
        rows = Rows(np.repeat(series, horizon), origin, np.tile(ahead, len(series)))
        x, names = features(facts, rows, horizon)
        level = np.nan_to_num(facts.level[:, -1], nan=self.state["overall_level"])[rows.series]
        made = self.boosters.predict(x.T, level, groups_of(panel)[rows.series])
        # A weekday that has been closed throughout stays closed; a series unsold for half a year has the level 0.
        shut = x[names.index(SHUT_SHARE)] >= SHUT_SURE
        out = horizon_frame(panel, horizon, facts.grid.ids)
        out["yhat"] = np.where(shut, 0.0, made)
        return out

    def describe(self) -> dict[str, Any]:
        """Features, parameters, vocabulary, transforms."""
        return {"family": self.family, **self.state}

    def save(self, directory: Path) -> list[str]:
        """LightGBM's text format and a JSON of the feature state."""
        (directory / STATE_FILE).write_text(json.dumps(self.state, sort_keys=True), encoding="utf-8")
        return [*(self.boosters.save(directory, NAME) if self.boosters is not None else ()), STATE_FILE]


class LightGBMDirect:
    """Family `lightgbm_direct`."""

    name = NAME
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedDirect:
        """Boosters for all series and all steps of the horizon. Raises MissingRegressor."""
        given = spec.params.get(self.name, {})
        state = feature_state(panel, Grid.of(panel), horizon=spec.horizon, season=spec.season_length)
        state |= {"params": dict(given), "seed": spec.seed}
        lesson = self._lesson(panel, state)
        if not lesson.target.any():
            # No reason to end a run: the other families go on, and these series say why.
            reason = NOTHING_SOLD if len(lesson.target) else NOTHING_KNOWN
            return _nothing_learned({**state, "declined": panel.ids.tolist(), "reason": reason})
        codes = list(state["codes"])
        boosters = fit_boosters(lesson, given, seed=spec.seed, categorical=codes, trial_steps=2 * spec.horizon)
        state["boosters"] = boosters.to_json()
        return FittedDirect(boosters, state)

    @staticmethod
    def _lesson(panel: Panel, state: dict[str, Any]) -> Lesson:
        """What is learned; the facts behind it are let go of. It adds the features' names and the overall level."""
        horizon: int = state["horizon"]
        facts = gather_facts(panel, state, 0)
        rows = training_rows(facts, horizon, state["grain"])
        x, state["features"] = features(facts, rows, horizon)
        last = facts.level[:, -1]
        state["overall_level"] = float(np.median(last[last > 0])) if (last > 0).any() else 1.0
        keep = ~facts.shut[rows.series, rows.day] | (x[state["features"].index(SHUT_SHARE)] >= SHUT_LEARNED)
        level = facts.level[rows.series, rows.origin]
        return Lesson(
            x=x,
            names=state["features"],
            target=np.minimum(facts.demand[rows.series, rows.day] / level, CUT),
            level=level,
            day=rows.day,
            group=groups_of(panel)[rows.series],
        ).only(keep)

    def load(self, directory: Path) -> FittedDirect:
        """Read what `save` wrote."""
        state = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        if "declined" in state:
            return _nothing_learned(state)
        return FittedDirect(Boosters.load(directory, NAME, state["boosters"]), state)


def _nothing_learned(state: dict[str, Any]) -> FittedDirect:
    """A fit that declines every series; `state` names them and the reason."""
    return FittedDirect(None, state, declined=all_declined(state["declined"], state["reason"]))


def training_rows(facts: Facts, horizon: int, grain: str) -> Rows:
    """Every observed day of every series, each from one origin before it at which the series had a level."""
    grid = facts.grid
    series, day = np.nonzero(np.isfinite(facts.demand))
    number = (grid.last - pd.Timestamp(0)).days // STEP_DAYS[grain] - (grid.width - 1 - day)
    h = steps_ahead(grid.ids[series], number, horizon)
    origin = day - h
    known = origin >= grid.first[series]
    known[known] = facts.level[series[known], origin[known]] > 0
    return Rows(series[known], origin[known], h[known])


FAMILY = LightGBMDirect()
