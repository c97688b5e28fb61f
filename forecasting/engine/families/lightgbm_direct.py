"""One global LightGBM for all series and all steps ahead: each day is forecast from the origin itself.

Nothing it forecasts is fed back to it, so errors do not pile up over the horizon; the price is that one booster has to
serve near and far days alike. Demand is divided by the level that its series had at the row's own origin.
"""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.base import Fitted, horizon_frame
from forecasting.engine.families.lightgbm_boosters import CUT, Lesson, groups_of
from forecasting.engine.families.lightgbm_fitted import FittedBoosters
from forecasting.engine.families.lightgbm_rows import chosen_rows
from forecasting.engine.features_direct import SHUT_SHARE, Facts, Rows, features, gather_facts
from forecasting.engine.features_grid import Grid
from forecasting.engine.features_known import SHUT_LEARNED, SHUT_SURE, feature_state, looked_at, steps_ahead
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

NAME = "lightgbm_direct"


class FittedDirect(FittedBoosters):
    """Boosters that look from the origin at every step of the horizon."""

    name = NAME

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Forecast `horizon` steps after the panel's last day, all at once; columns unique_id, ds, yhat."""
        if self.boosters is None:
            return self.no_rows(panel)
        groups = groups_of(panel)
        facts = gather_facts(looked_at(panel, self.state, horizon), self.state, horizon)
        series, ahead = np.arange(len(facts.grid.ids)), np.arange(1, horizon + 1)
        origin = np.full(len(series) * horizon, facts.grid.width - 1)
        rows = Rows(np.repeat(series, horizon), origin, np.tile(ahead, len(series)))
        x, names = features(facts, rows, horizon)
        level = np.nan_to_num(facts.level[:, -1], nan=self.state["overall_level"])[rows.series]
        made = self.boosters.predict(x.T, level, groups[rows.series])
        # A weekday that has been closed throughout stays closed; a series unsold for half a year has the level 0.
        shut = x[names.index(SHUT_SHARE)] >= SHUT_SURE
        out = horizon_frame(panel, horizon, facts.grid.ids)
        out["yhat"] = np.where(shut, 0.0, made)
        return out


class LightGBMDirect:
    """Family `lightgbm_direct`."""

    name = NAME
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedDirect:
        """Boosters for all series and all steps of the horizon. Raises MissingRegressor."""
        state = feature_state(panel, Grid.of(panel), horizon=spec.horizon, season=spec.season_length)
        state |= {"params": dict(spec.params.get(NAME, {})), "seed": spec.seed}
        lesson = self._lesson(panel, state)
        return FittedDirect.learn(lesson, state, panel, spec, observed=bool(len(lesson.target)))

    @staticmethod
    def _lesson(panel: Panel, state: dict[str, Any]) -> Lesson:
        """What is learned; the facts behind it are let go of. It adds the features' names and the overall level."""
        horizon: int = state["horizon"]
        facts = gather_facts(panel, state, 0)
        rows, group = training_rows(facts, horizon), groups_of(panel)
        kept, counts = chosen_rows(
            facts.grid.ids[rows.series], facts.grid.numbers(rows.day), group[rows.series], state["grain"]
        )
        rows = rows[kept]
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
            group=group[rows.series],
            counts=counts,
        ).only(keep)

    def load(self, directory: Path) -> FittedDirect:
        """Read what the fit saved."""
        return FittedDirect.load(directory)


def training_rows(facts: Facts, horizon: int) -> Rows:
    """Every observed day of every series, each from one origin before it at which the series had a level."""
    grid = facts.grid
    series, day = np.nonzero(np.isfinite(facts.demand))
    h = steps_ahead(grid.ids[series], grid.numbers(day), horizon)
    origin = day - h
    known = origin >= grid.first[series]
    known[known] = facts.level[series[known], origin[known]] > 0
    return Rows(series[known], origin[known], h[known])


FAMILY = LightGBMDirect()
