"""Features of a forecast made in one go: what was known at its origin, and what is planned for its day.

A row is (series, origin column o, steps ahead h); its day is column o + h. Statistics of sales are taken at o, from the
matrices of `features_grid`; the calendar and the known future are taken at o + h. So a row cannot see a sale after its
origin, whether it is learned from or forecast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.features import calendar, encode_static
from forecasting.engine.features_grid import (
    Grid,
    Trailing,
    last_known,
    levels,
    seasonal_mean,
    steps_since,
    tempered,
    trailing_std,
)
from forecasting.engine.features_known import (
    EVENTS,
    PRICE_BASE,
    categories,
    historic_matrices,
    known_matrices,
    planned_features,
    price_level,
    shut_share,
    steps_until,
    within_plan,
)
from forecasting.engine.panel import Panel

WINDOWS = {"D": (3, 7, 28, 91, 182), "W": (2, 4, 13, 26)}
TRENDS = {"D": ((7, 28), (28, 91)), "W": ((4, 13), (13, 26))}
SPREAD, LONG = {"D": 28, "W": 13}, {"D": 91, "W": 26}
SAME_WEEKDAYS = (1, 4, 8, 26)
YEAR, YEAR_WINDOW = {"D": 364, "W": 52}, {"D": 28, "W": 4}
STEPS_AHEAD, SHUT_SHARE, YEAR_RATIO = "steps_ahead", "closed_share", "sales_year_ratio"


@dataclass(frozen=True)
class Facts:
    """What features are gathered from. Matrices are series × columns; `level` and `demand` in units.

    demand: as sold, NaN where censored. origin: features taken at the origin. same_weekday: taken at the day's last
    same weekday at or before the origin, in units. shut_share: taken there, too. yearly: see `_year_ratio`; None
    without two years. day, until: taken at the day itself, known beyond the history. calendar: columns × features.
    static: series × attributes.
    """

    grid: Grid
    season: int
    year: int
    level: np.ndarray
    demand: np.ndarray
    shut: np.ndarray
    shut_share: np.ndarray
    origin: Mapping[str, np.ndarray]
    same_weekday: Mapping[str, np.ndarray]
    yearly: np.ndarray | None
    day: Mapping[str, np.ndarray]
    until: Mapping[str, np.ndarray]
    calendar: pd.DataFrame
    static: pd.DataFrame


@dataclass(frozen=True)
class Rows:
    """Rows to make features for: index of the series, column of the origin, steps ahead (1 and more)."""

    series: np.ndarray
    origin: np.ndarray
    h: np.ndarray

    def __getitem__(self, keep: np.ndarray) -> Rows:
        return Rows(self.series[keep], self.origin[keep], self.h[keep])

    @property
    def day(self) -> np.ndarray:
        """Column of the day that is forecast."""
        return np.asarray(self.origin + self.h)


def gather_facts(panel: Panel, state: Mapping[str, Any], horizon: int) -> Facts:
    """Facts of a panel's history and of the `horizon` steps after it.

    state: see `features_known.feature_state`. Raises MissingRegressor.
    """
    grid, grain, season = Grid.of(panel), state["grain"], state["season"]
    known = known_matrices(panel, grid, horizon)
    sold, shut = (grid.matrix(panel.history["y"]), grid.matrix(panel.history["closed"], 0.0) > 0)
    # A closed day tells nothing of demand: it is left out of what is usual, and only its weekday is remembered.
    demand = tempered(np.where(shut, np.nan, sold), grain)
    level, past = levels(demand, grain), Trailing(demand)
    with np.errstate(invalid="ignore", divide="ignore"):
        origin = _recent(demand, past, level, grain)
        origin |= {f"{name}_at_origin": values for name, values in historic_matrices(panel, grid, grain).items()}
        origin |= _price_against_category(panel, grid, state)
    weekdays = {f"sales_same_weekday_{n}": seasonal_mean(demand, season, n) for n in SAME_WEEKDAYS if season > 1}
    return Facts(
        grid=grid,
        season=season,
        year=YEAR[grain],
        level=level,
        demand=sold,
        shut=shut,
        shut_share=shut_share(panel, grid, season),
        origin=_small(origin),
        same_weekday=_small(weekdays),
        yearly=past.mean(YEAR_WINDOW[grain]) if state["yearly"] else None,
        day=_small(planned_features(known, grain, state[EVENTS])),
        until=_small(steps_until(known, state[EVENTS])),
        calendar=calendar(grid.days(horizon), panel, state["yearly"]),
        static=encode_static(panel, state["codes"]).set_index("unique_id").reindex(grid.ids),
    )


def features(facts: Facts, rows: Rows, horizon: int) -> tuple[np.ndarray, list[str]]:
    """float32 matrix of features × rows, and the features' names. The plan ends `horizon` steps after the origin."""
    width = facts.grid.width
    at = rows.series * width + rows.origin
    day = rows.day
    columns: dict[str, np.ndarray] = {STEPS_AHEAD: rows.h}
    columns |= {name: values.ravel()[at] for name, values in facts.origin.items()}
    same = day - -(-rows.h // facts.season) * facts.season
    at_same = rows.series * width + np.maximum(same, 0)
    level = facts.level.ravel()[at]
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, values in facts.same_weekday.items():
            columns[name] = np.where(same >= 0, values.ravel()[at_same] / level, np.nan)
    columns[SHUT_SHARE] = np.where(same >= 0, facts.shut_share.ravel()[at_same], np.nan)
    if facts.yearly is not None:
        columns[YEAR_RATIO] = _year_ratio(facts.yearly, facts.year, rows, width)
    at_day = rows.series * (width + _ahead(facts)) + day
    columns |= {name: values.ravel()[at_day] for name, values in facts.day.items()}
    for name, values in facts.until.items():
        columns[name] = within_plan(values.ravel()[at_day], horizon - rows.h)
    columns |= {str(name): facts.calendar[name].to_numpy()[day] for name in facts.calendar.columns}
    columns |= {str(name): facts.static[name].to_numpy()[rows.series] for name in facts.static.columns}
    out = np.empty((len(columns), len(at)), dtype="float32")
    for number, values in enumerate(columns.values()):
        out[number] = np.where(np.isfinite(values), values, np.nan)
    return out, list(columns)


def _ahead(facts: Facts) -> int:
    """Columns after the history."""
    return len(facts.calendar) - facts.grid.width


def _recent(demand: np.ndarray, past: Trailing, level: np.ndarray, grain: str) -> dict[str, np.ndarray]:
    """Sales up to each column: means, spread and last value in levels; shares, steps and trends without a unit."""
    # Where all days of a window were closed, the last mean before them still holds.
    means = {n: last_known(past.mean(n)) for n in {*WINDOWS[grain], *(n for pair in TRENDS[grain] for n in pair)}}
    out = {f"sales_mean_{n}": means[n] / level for n in WINDOWS[grain]}
    out["sales_last"] = last_known(demand) / level
    out[f"sales_spread_{SPREAD[grain]}"] = trailing_std(demand, SPREAD[grain]) / level
    for short, long in TRENDS[grain]:
        out[f"sales_trend_{short}_{long}"] = means[short] / means[long]
    none = np.where(np.isfinite(demand), demand <= 0, np.nan)
    out[f"sales_zero_share_{LONG[grain]}"] = Trailing(none).mean(LONG[grain])
    out["sales_steps_since"] = steps_since(demand > 0, LONG[grain])
    out["sales_level"] = np.log1p(level)
    return out


def _year_ratio(mean: np.ndarray, year: int, rows: Rows, width: int) -> np.ndarray:
    """How demand moved a year before from the origin to the weeks around the day: the ratio of two trailing means.

    mean: over four weeks that end at each column. The weeks around the day of last year end half of that after it.
    """
    then, half = rows.origin - year, (28 if year > 52 else 4) // 2
    around = np.minimum(rows.day - year + half, rows.origin)
    flat, base = mean.ravel(), rows.series * width
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = flat[base + np.maximum(around, 0)] / flat[base + np.maximum(then, 0)]
    return np.where(then >= 0, ratio, np.nan)


def _price_against_category(panel: Panel, grid: Grid, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    level, base = price_level(panel, grid, state["grain"]), state[PRICE_BASE]
    if level is None or not base:
        return {}
    usual = np.array([base.get(name, np.nan) for name in categories(panel, grid)])
    return {"price_against_category": level / usual[:, None]}


def _small(matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same in float32, which is what a booster is given: half the memory."""
    return {name: values.astype("float32") for name, values in matrices.items()}
