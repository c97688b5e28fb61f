"""What is known of a day before it comes: planned prices and promotions, attributes, weekdays that stay closed.

All matrices are series × columns (see `features_grid`); those of the known future reach over the horizon, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from forecasting.engine.errors import MissingRegressor
from forecasting.engine.features import enough_for_yearly, future_values, static_codes
from forecasting.engine.features_grid import Grid, Trailing, last_known, seasonal_mean, steps_since
from forecasting.engine.panel import Panel, absent_regressors

PRICE_STEPS = {"D": 91, "W": 13}
EVENT_STEPS, SHARE_STEPS = 28, {"D": 28, "W": 4}
SHUT_SEASONS, SHUT_SURE, SHUT_LEARNED = 4, 0.99, 0.5
"""A closed day is learned from where its weekday was mostly closed (0.5); elsewhere it says nothing of demand."""
PRICE_BASE, EVENTS = "price_base", "events"
LOOK_BACK, YEAR_BACK = {"D": 280, "W": 60}, {"D": 504, "W": 100}
"""Steps of history that a forecast looks at, beside twice its horizon: half a year's mean of days that are cut by the
quarter before them; from two years of history on, also the weeks around the day a year before."""


def feature_state(panel: Panel, grid: Grid, *, horizon: int, season: int) -> dict[str, Any]:
    """What a fit keeps so that its features can be made again from any history. season: steps in a week; of no use in
    weekly grain. Raises MissingRegressor."""
    grain = panel.grain
    columns = [c for c in dict.fromkeys((*panel.regressors.static, "store_id")) if c in panel.static.columns]
    return {
        "grain": grain,
        "season": season if grain == "D" else 1,
        "horizon": horizon,
        "yearly": enough_for_yearly(panel),
        "codes": {c: v for c, v in static_codes(panel, columns).items() if len(v) > 1},
        PRICE_BASE: price_base(price_level(panel, grid, grain), categories(panel, grid)),
        EVENTS: events_of(known_matrices(panel, grid, 0)),
        "trained_until": str(panel.last_day),
    }


def looked_at(panel: Panel, state: Mapping[str, Any], horizon: int) -> Panel:
    """The panel with as much of its history as a forecast's features are made of."""
    reach = (YEAR_BACK if state["yearly"] else LOOK_BACK)[state["grain"]]
    return panel.recent(reach + 2 * max(horizon, state["horizon"]))


def is_price(name: str) -> bool:
    """Whether a regressor is a price, and so enters relative to what it was."""
    return "price" in name.lower()


def known_matrices(panel: Panel, grid: Grid, horizon: int) -> dict[str, np.ndarray]:
    """Each known-future regressor over the history and the `horizon` steps after it, as declared.

    Raises MissingRegressor naming those without any value in the history, or without one for a day ahead.
    """
    missing = absent_regressors(panel)
    if missing:
        raise MissingRegressor(missing)
    names = panel.regressors.known_future
    out = {name: grid.matrix(panel.history[name]) for name in names}
    if horizon and names:
        ahead = future_values(panel, horizon)
        shape = (len(grid.ids), horizon)
        for name in names:
            out[name] = np.hstack([out[name], ahead[name].to_numpy(dtype="float64").reshape(shape)])
    return out


def before(values: np.ndarray, fill: float = np.nan) -> np.ndarray:
    """Each column as it was one step earlier."""
    out = np.full_like(values, fill)
    out[:, 1:] = values[:, :-1]
    return out


def relative_price(price: np.ndarray, grain: str) -> np.ndarray:
    """A day's price divided by the mean of the quarter before that day; NaN on the first."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(price / before(usual_price(price, grain)))


def usual_price(price: np.ndarray, grain: str) -> np.ndarray:
    """Mean price of the quarter that ends at each column; NaN where it is not above zero."""
    mean = Trailing(price).mean(PRICE_STEPS[grain])
    return np.asarray(np.where(mean > 0, mean, np.nan))


def planned_features(known: Mapping[str, np.ndarray], grain: str, events: Collection[str]) -> dict[str, np.ndarray]:
    """Features of a day out of the known future up to that day: values, relative prices, steps since an event.

    events: see `events_of`. An event's last time is one before the day itself.
    """
    out: dict[str, np.ndarray] = {}
    for name, values in known.items():
        if is_price(name):
            out[f"{name}_relative"] = relative_price(values, grain)
            continue
        out[name] = values
        if name in events:
            on = values > 0
            out[f"{name}_since"] = np.minimum(before(steps_since(on, EVENT_STEPS), EVENT_STEPS) + 1, EVENT_STEPS)
            out[f"{name}_share"] = before(Trailing(on.astype("float64")).mean(SHARE_STEPS[grain]))
    return out


def events_of(known: Mapping[str, np.ndarray]) -> list[str]:
    """The regressors that are only ever 0 or 1, such as a promotion. It is asked once, of what a fit learns from: a
    forecast, of one series or with an odd plan, has the features of its fit."""
    return [
        name
        for name, values in known.items()
        if not is_price(name) and bool(np.isin(values[np.isfinite(values)], (0.0, 1.0)).all())
    ]


def steps_until(known: Mapping[str, np.ndarray], events: Collection[str]) -> dict[str, np.ndarray]:
    """Steps from each column to the next one of each event, the column itself left out; at most EVENT_STEPS.

    Whoever uses it cuts it where the plan ends: see `within_plan`.
    """
    out = {}
    for name, values in known.items():
        if name in events:
            ahead = steps_since((values > 0)[:, ::-1], EVENT_STEPS)[:, ::-1]
            until = np.full_like(ahead, EVENT_STEPS)
            until[:, :-1] = np.minimum(ahead[:, 1:] + 1, EVENT_STEPS)
            out[f"{name}_until"] = until
    return out


def within_plan(until: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Steps until the next event as far as a plan tells that ends `left` steps after the day; else EVENT_STEPS."""
    return np.asarray(np.where(until <= left, until, EVENT_STEPS))


def historic_matrices(panel: Panel, grid: Grid, grain: str) -> dict[str, np.ndarray]:
    """Each historic_only regressor as of each column: the last value known; a price relative to its quarter's mean."""
    out = {}
    for name in panel.regressors.historic_only:
        if name not in panel.history.columns:
            continue
        values = last_known(grid.matrix(panel.history[name]))
        if is_price(name):
            with np.errstate(invalid="ignore", divide="ignore"):
                values = values / usual_price(values, grain)
        out[name] = values
    return out


def shut_share(panel: Panel, grid: Grid, season: int) -> np.ndarray:
    """Share of closed days among each column and the same weekdays of the three weeks before; NaN where unknown."""
    shut = grid.matrix(panel.history["closed"])
    unknown = grid.matrix(panel.history["censored"], 0.0) > 0
    return seasonal_mean(np.where(unknown, np.nan, shut), season, SHUT_SEASONS)


def price_level(panel: Panel, grid: Grid, grain: str) -> np.ndarray | None:
    """Mean unit price of the quarter that ends at each column; None where prices are not declared as a regressor."""
    name = next((n for n in panel.regressors.dynamic if is_price(n) and n in panel.history.columns), None)
    return None if name is None else usual_price(last_known(grid.matrix(panel.history[name])), grain)


def price_base(level: np.ndarray | None, group: np.ndarray) -> dict[str, float]:
    """Median price of each category on the last column, to set a product's price against: stored with the model."""
    if level is None:
        return {}
    last, out = level[:, -1], {}
    for name in sorted(set(group)):
        of_group = last[(group == name) & np.isfinite(last)]
        if len(of_group):
            out[name] = float(np.median(of_group))
    return out


def categories(panel: Panel, grid: Grid) -> np.ndarray:
    """The category of each series as text; one for all where none is declared or known."""
    if "category" not in panel.static.columns or "category" not in panel.regressors.static:
        return np.full(len(grid.ids), "")
    known = panel.static.set_index("unique_id")["category"].reindex(grid.ids)
    return known.fillna("").astype(str).to_numpy()


def steps_ahead(ids: np.ndarray, day: np.ndarray, horizon: int) -> np.ndarray:
    """A number of steps in 1..horizon for each row, by a hash of its series and day number: each equally often.

    It depends on nothing else, so a row is learned at the same distance in every run and at every origin.
    """
    return np.asarray(hashed(ids, day) % np.uint64(horizon), dtype="int64") + 1


def hashed(ids: np.ndarray, day: np.ndarray) -> np.ndarray:
    """64 evenly mixed bits of each pair of a series and a day number."""
    mix = ids.astype("uint64") * np.uint64(0x9E3779B97F4A7C15) + day.astype("uint64")
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mix = (mix ^ (mix >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mix)
