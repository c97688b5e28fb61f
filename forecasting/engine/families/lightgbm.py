"""One global LightGBM over all series, one step ahead; its forecasts are fed back to it (recursive)."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.base import Fitted, horizon_frame
from forecasting.engine.families.lightgbm_boosters import CUT, DEFAULTS, Lesson, groups_of
from forecasting.engine.families.lightgbm_fitted import FittedBoosters
from forecasting.engine.families.lightgbm_rows import chosen_rows
from forecasting.engine.features import unsold
from forecasting.engine.features_grid import LEAN_STEPS, LEAST_LEVEL, LEVEL_STEPS, Grid
from forecasting.engine.features_known import SHUT_LEARNED, SHUT_SURE, feature_state, looked_at
from forecasting.engine.features_recursive import SHUT_SHARE, Known, carried_demand, known_features
from forecasting.engine.features_rolled import TRENDS, WINDOWS, Sales, mean_name, sales_names
from forecasting.engine.panel import Panel
from forecasting.engine.types import ModelSpec

__all__ = ["DEFAULTS", "FAMILY", "FittedLightGBM", "LightGBM"]
NAME = "lightgbm"


def model_rows(
    sales: Sales, known: Known, row: np.ndarray, col: np.ndarray, state: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """What the boosters see of rows (series, column): float32 features × rows, and each row's level in units.

    The level is made of the row's own trailing means, so it is what was known the day before, in training as in the
    recursion. Sales enter divided by it, and as trends: ratios of a shorter mean to a longer.
    """
    grain = state["grain"]
    recent, long = LEVEL_STEPS[grain]
    values = sales.at(row, col, state["sales"])
    means = {w: values[mean_name(w)] for w in WINDOWS[grain]}
    level = (recent * means[recent] + LEAN_STEPS * means[long]) / (recent + LEAN_STEPS)
    unit = np.maximum(level, LEAST_LEVEL)
    out = np.empty((len(state["features"]), len(row)), dtype="float32")
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {name: found / unit for name, found in values.items()}
        columns |= {f"sales_trend_{short}_{long}": means[short] / means[long] for short, long in TRENDS[grain]}
        columns["sales_level"] = np.log1p(level)
    columns |= known.at(row, col)
    for number, name in enumerate(state["features"]):
        out[number] = columns[name]
    out[~np.isfinite(out)] = np.nan
    return out, level


class FittedLightGBM(FittedBoosters):
    """Boosters that look one step ahead, and roll forward over any history."""

    name = NAME

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Roll forward `horizon` steps from the panel's last day; columns unique_id, ds, yhat."""
        state = self.state
        if self.boosters is None:
            return self.no_rows(panel)
        groups, panel = groups_of(panel), looked_at(panel, state, horizon)
        grid = Grid.of(panel)
        known = known_features(panel, grid, state, horizon)
        sales = Sales.of(carried_demand(panel, grid, state["season"]), grid.first, horizon)
        every, share = np.arange(len(grid.ids)), state["features"].index(SHUT_SHARE)
        made = np.empty((len(every), horizon))
        for step in range(horizon):
            column = np.full(len(every), grid.width + step)
            x, level = model_rows(sales, known, every, column, state)
            ahead = self.boosters.predict(x.T, np.where(level > LEAST_LEVEL, level, 0.0), groups)
            # A weekday that has been closed throughout stays closed; it is rolled on as the same weekday before it, as
            # the history's closed days are.
            shut = x[share] >= SHUT_SURE
            made[:, step] = np.where(shut, 0.0, ahead)
            same = np.nan_to_num(sales.back(every, column, state["season"]))
            sales.put(grid.width + step, np.where(shut, same, ahead))
        # A series unsold for half a year borrows no level.
        made[np.isin(grid.ids, unsold(panel))] = 0.0
        return horizon_frame(panel, horizon, grid.ids).assign(yhat=np.maximum(made, 0.0).ravel())


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
        usable = self._usable(panel, grid)
        lesson = self._lesson(panel, grid, state, usable)
        return FittedLightGBM.learn(lesson, state, panel, spec, observed=bool(usable.any()))

    @staticmethod
    def _lesson(panel: Panel, grid: Grid, state: dict[str, Any], usable: np.ndarray) -> Lesson:
        """What is learned of the usable rows of the history. It adds the features' names to the state."""
        known = known_features(panel, grid, state, 0)
        sales = Sales.of(carried_demand(panel, grid, state["season"]), grid.first, 0)
        state["sales"] = sales_names(state)
        trends = [f"sales_trend_{short}_{long}" for short, long in TRENDS[state["grain"]]]
        state["features"] = [*state["sales"], *trends, "sales_level", *known.dynamic, *state["codes"]]
        closed = panel.history["closed"].to_numpy()
        shut = known.columns[SHUT_SHARE][grid.row, grid.col]
        rows = np.flatnonzero(usable & (~closed | (shut >= SHUT_LEARNED)))
        group = groups_of(panel)
        kept, counts = chosen_rows(
            grid.ids[grid.row[rows]], grid.numbers(grid.col[rows]), group[grid.row[rows]], state["grain"]
        )
        rows = rows[kept]
        row, col = grid.row[rows], grid.col[rows]
        x, level = model_rows(sales, known, row, col, state)
        units = np.where(closed[rows], 0.0, sales.demand[row, col])
        lesson = Lesson(
            x=x,
            names=state["features"],
            target=np.minimum(units / np.maximum(level, LEAST_LEVEL), CUT),
            level=level,
            day=col,
            group=group[row],
            counts=counts,
        )
        return lesson.only(level > LEAST_LEVEL)

    @staticmethod
    def _usable(panel: Panel, grid: Grid) -> np.ndarray:
        """Rows to learn from: observed, and with at least one step of history before them."""
        return np.asarray(~panel.history["censored"].to_numpy() & (grid.col > grid.first[grid.row]))

    def load(self, directory: Path) -> FittedLightGBM:
        """Read what the fit saved."""
        return FittedLightGBM.load(directory)


FAMILY = LightGBM()
