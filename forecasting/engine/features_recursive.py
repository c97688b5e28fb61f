"""Features of the recursive model that are known of a day before its forecast is rolled up to it.

What is rolled forward (lags and means of sales) is mlforecast's business; here is everything else, as a frame of the
history and the steps after it. A row's day is column t. Of sales it uses none later than t - `lag`, where `lag` is the
horizon that is trained for, so that every value is known at the origin of each forecast.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from forecasting.engine.panel import STEP_DAYS, Panel

SHUT_SHARE, YEAR_RATIO = "closed_share", "sales_year_ratio"
YEAR, YEAR_WINDOW = {"D": 364, "W": 52}, {"D": 28, "W": 4}


def design(panel: Panel, state: Mapping[str, Any], horizon: int) -> tuple[pd.DataFrame, list[str]]:
    """unique_id, ds, dynamic features and attributes of the history and `horizon` steps after it, by series and day;
    and the names of the dynamic ones.

    state: see `features_known.feature_state`. Raises MissingRegressor.
    """
    grid, grain, lag = Grid.of(panel), state["grain"], state["horizon"]
    known = known_matrices(panel, grid, horizon)
    columns = planned_features(known, grain, state[EVENTS])
    left = _plan_left(grid, horizon, lag, grain)
    columns |= {n: within_plan(until, left) for n, until in steps_until(known, state[EVENTS]).items()}
    for name, values in historic_matrices(panel, grid, grain).items():
        columns[f"{name}_lag{lag}"] = _later(values, lag, horizon)
    columns |= _price_against_category(panel, grid, known, state, horizon)
    season = state["season"]
    columns[SHUT_SHARE] = _later(shut_share(panel, grid, season), -(-lag // season) * season, horizon)
    if state["yearly"]:
        columns[YEAR_RATIO] = _year_ratio(panel, grid, grain, horizon)
    there = np.arange(grid.width + horizon)[None, :] >= grid.first[:, None]
    row, col = np.nonzero(there)
    out: dict[str, Any] = {"unique_id": grid.ids[row], "ds": grid.days(horizon).to_numpy()[col]}
    days = calendar(grid.days(horizon), panel, state["yearly"])
    out |= {str(name): days[name].to_numpy(dtype="float32")[col] for name in days.columns}
    out |= {
        name: np.where(np.isfinite(values), values, np.nan).astype("float32")[there] for name, values in columns.items()
    }
    dynamic = [name for name in out if name not in {"unique_id", "ds"}]
    static = encode_static(panel, state["codes"]).set_index("unique_id").reindex(grid.ids)
    out |= {str(name): static[name].to_numpy(dtype="float32")[row] for name in static.columns}
    return pd.DataFrame(out, copy=False), dynamic


def carried_demand(panel: Panel, season: int) -> np.ndarray:
    """Demand without gaps, in the order of the history's rows, for lags to be taken of; absurd days are cut.

    A censored or closed day takes the last value of the same weekday, else the last one, else 0: only the past is used.
    Such days feed lags; they are no targets (a closed one only where its weekday stays closed).
    """
    grid = Grid.of(panel)
    gap = (panel.history["closed"] | panel.history["censored"]).to_numpy()
    demand = tempered(grid.matrix(np.where(gap, np.nan, panel.history["y"].to_numpy())), panel.grain)
    same = np.empty_like(demand)
    for phase in range(season):
        same[:, phase::season] = last_known(demand[:, phase::season])
    filled = np.where(np.isfinite(demand), demand, same)
    filled = np.where(np.isfinite(filled), filled, last_known(filled))
    return np.asarray(np.nan_to_num(filled[grid.row, grid.col], nan=0.0))


def _later(values: np.ndarray, steps: int, horizon: int) -> np.ndarray:
    """Each column's value `steps` columns later, over the history and the horizon; NaN where it is not known."""
    out = np.full((values.shape[0], values.shape[1] + horizon), np.nan)
    width = max(min(values.shape[1], out.shape[1] - steps), 0)
    out[:, steps : steps + width] = values[:, :width]
    return out


def _plan_left(grid: Grid, horizon: int, lag: int, grain: str) -> np.ndarray:
    """How many steps the plan reaches beyond each column: known ahead; of the past, as if each day had been forecast
    from some origin within the horizon."""
    back = np.arange(grid.width - 1, -1, -1)
    number = (grid.last - pd.Timestamp(0)).days // STEP_DAYS[grain] - back
    ids, day = np.broadcast_arrays(grid.ids[:, None], number[None, :])
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
    gap = (panel.history["closed"] | panel.history["censored"]).to_numpy()
    demand = tempered(grid.matrix(np.where(gap, np.nan, panel.history["y"].to_numpy())), grain)
    window = YEAR_WINDOW[grain]
    mean = Trailing(demand).mean(window)
    around = _later(mean, YEAR[grain] - window // 2, horizon)
    earlier = _later(mean, YEAR[grain] + window // 2, horizon)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(around / earlier)
