"""Features of the recursive model that are known of a day before its forecast is rolled up to it.

What is rolled forward (lags and means of sales) is the business of `features_rolled`; here is everything else, as
matrices of the history and the steps after it. A row's day is column t. Of sales it uses none later than t - `lag`,
where `lag` is the horizon that is trained for, so that every value is known at the origin of each forecast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.features import calendar, encode_static
from forecasting.engine.features_grid import Grid, Trailing, last_known, tempered
from forecasting.engine.features_known import (
    EVENTS,
    PRICE_BASE,
    before,
    categories,
    historic_matrices,
    is_price,
    known_matrices,
    planned_features,
    price_level,
    shut_share,
    steps_ahead,
    steps_until,
    usual_price,
    within_plan,
)
from forecasting.engine.panel import Panel

SHUT_SHARE, YEAR_RATIO = "closed_share", "sales_year_ratio"
YEAR, YEAR_WINDOW = {"D": 364, "W": 52}, {"D": 28, "W": 4}


@dataclass(frozen=True)
class Known:
    """What is known of a day before its forecast is rolled up to it.

    columns: series × columns of the history and the horizon. calendar: columns × features. static: series × attributes.
    """

    columns: Mapping[str, np.ndarray]
    calendar: pd.DataFrame
    static: pd.DataFrame

    @property
    def dynamic(self) -> list[str]:
        """The names of what changes from day to day."""
        return [*map(str, self.calendar.columns), *self.columns]

    def at(self, row: np.ndarray, col: np.ndarray) -> dict[str, np.ndarray]:
        """Every feature of rows (series, column)."""
        out = {str(name): self.calendar[name].to_numpy()[col] for name in self.calendar.columns}
        out |= {name: values[row, col] for name, values in self.columns.items()}
        return out | {str(name): self.static[name].to_numpy()[row] for name in self.static.columns}


def known_features(panel: Panel, grid: Grid, state: Mapping[str, Any], horizon: int) -> Known:
    """Of the history and the `horizon` steps after it. state: see `features_known.feature_state`.

    Raises MissingRegressor.
    """
    grain, lag = state["grain"], state["horizon"]
    known = known_matrices(panel, grid, horizon)
    columns = planned_features(known, grain, state[EVENTS])
    if state[EVENTS]:
        left = _plan_left(grid, horizon, lag)
        columns |= {n: within_plan(until, left) for n, until in steps_until(known, state[EVENTS]).items()}
    for name, values in historic_matrices(panel, grid, grain).items():
        columns[f"{name}_lag{lag}"] = _later(values, lag, horizon)
    columns |= _price_against_category(panel, grid, known, state, horizon)
    season = state["season"]
    columns[SHUT_SHARE] = _later(shut_share(panel, grid, season), -(-lag // season) * season, horizon)
    if state["yearly"]:
        columns[YEAR_RATIO] = _year_ratio(panel, grid, grain, horizon)
    return Known(
        columns=columns,
        calendar=calendar(grid.days(horizon), panel, state["yearly"]),
        static=encode_static(panel, state["codes"]).set_index("unique_id").reindex(grid.ids),
    )


def carried_demand(panel: Panel, grid: Grid, season: int) -> np.ndarray:
    """Demand without gaps, series × columns, for lags to be taken of; absurd days are cut; 0 before a series began.

    A censored or closed day takes the last value of the same weekday, else the last one, else 0: only the past is used.
    Such days feed lags; they are no targets (a closed one only where its weekday stays closed).
    """
    demand = _told(panel, grid)
    if not np.isnan(demand[grid.row, grid.col]).any():
        return np.asarray(np.nan_to_num(demand, copy=False))
    same = np.empty_like(demand)
    for phase in range(season):
        same[:, phase::season] = last_known(demand[:, phase::season])
    filled = np.where(np.isfinite(demand), demand, same)
    filled = np.where(np.isfinite(filled), filled, last_known(filled))
    return np.asarray(np.nan_to_num(filled, copy=False))


def _told(panel: Panel, grid: Grid) -> np.ndarray:
    """Demand of the days that tell something of it, absurd ones cut; NaN elsewhere."""
    gap = (panel.history["closed"] | panel.history["censored"]).to_numpy()
    return tempered(grid.matrix(np.where(gap, np.nan, panel.history["y"].to_numpy())), panel.grain)


def _later(values: np.ndarray, steps: int, horizon: int) -> np.ndarray:
    """Each column's value `steps` columns later, over the history and the horizon; NaN where it is not known."""
    out = np.full((values.shape[0], values.shape[1] + horizon), np.nan)
    width = max(min(values.shape[1], out.shape[1] - steps), 0)
    out[:, steps : steps + width] = values[:, :width]
    return out


def _plan_left(grid: Grid, horizon: int, lag: int) -> np.ndarray:
    """How many steps the plan reaches beyond each column: known ahead; of the past, as if each day had been forecast
    from some origin within the horizon."""
    ids, day = np.broadcast_arrays(grid.ids[:, None], grid.numbers(np.arange(grid.width))[None, :])
    past = lag - steps_ahead(ids, day, lag)
    ahead = np.broadcast_to(np.arange(horizon - 1, -1, -1), (len(grid.ids), horizon))
    return np.hstack([past, ahead])


def _price_against_category(
    panel: Panel, grid: Grid, known: Mapping[str, np.ndarray], state: Mapping[str, Any], horizon: int
) -> dict[str, np.ndarray]:
    base = state[PRICE_BASE]
    if not base:
        return {}
    planned = next((values for name, values in known.items() if is_price(name)), None)
    if planned is not None:
        level = before(usual_price(last_known(planned), state["grain"]))
    else:
        own = price_level(panel, grid, state["grain"])
        if own is None:
            return {}
        level = _later(own, state["horizon"], horizon)
    usual = np.array([base.get(name, np.nan) for name in categories(panel, grid)])
    return {"price_against_category": level / usual[:, None]}


def _year_ratio(panel: Panel, grid: Grid, grain: str, horizon: int) -> np.ndarray:
    """Demand of the weeks around the day a year before, divided by that of the weeks before them."""
    window = YEAR_WINDOW[grain]
    mean = Trailing(_told(panel, grid)).mean(window)
    around = _later(mean, YEAR[grain] - window // 2, horizon)
    earlier = _later(mean, YEAR[grain] + window // 2, horizon)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(around / earlier)
