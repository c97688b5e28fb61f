"""Training windows are planned here, before any data is read: what is sealed, and whether the history is enough."""

from __future__ import annotations

from datetime import date
from typing import Literal

from forecasting import selectors
from forecasting.engine.backtest import steps_needed
from forecasting.engine.types import TrainingWindow
from forecasting.errors import AsOfOutsideData, HistoryShort, NoDemandLoaded, WrongRequest
from forecasting.services.data_profile import active_profile

HOLDOUT_DAYS = 28
BACKTEST_ORIGINS = 4
WindowKind = Literal["evaluation", "serving"]


def plan_window(*, as_of: date | None = None, mode: WindowKind = "evaluation") -> TrainingWindow:
    """The partition as of a day (default: the newest day of demand), before any data is read.

    "evaluation" seals the last 28 days; "serving" trains on everything up to the day. Weekly grain: the day is moved
    back to the end of a week that has data. Raises NoDemandLoaded, AsOfOutsideData, HistoryShort.
    """
    first, newest = selectors.first_day(), selectors.newest_day()
    if first is None or newest is None:
        raise NoDemandLoaded()
    as_of = as_of or newest
    if not first <= as_of <= newest:
        raise AsOfOutsideData(as_of, first, newest)
    if active_profile().grain == "W":
        as_of = selectors.newest_day(until=as_of) or as_of
    if mode == "serving":
        return TrainingWindow.refit(first, as_of)
    days = (as_of - first).days + 1
    if days <= HOLDOUT_DAYS:
        raise HistoryShort(days, HOLDOUT_DAYS + 1, f" ({HOLDOUT_DAYS} are sealed for the gate)")
    return TrainingWindow.plan(first, as_of, HOLDOUT_DAYS)


def require_history(*, as_of: date | None, horizon: int | None, origins: int = BACKTEST_ORIGINS) -> tuple[date, int]:
    """Check before a run that the history holds holdout, origins and horizon; the as-of date and horizon in force.

    horizon in steps of the grain (default 14 days or 4 weeks). Raises WrongRequest, NoDemandLoaded, AsOfOutsideData,
    HistoryShort with the days that are needed.
    """
    profile = active_profile()
    steps = profile.default_horizon if horizon is None else horizon
    limit = 366 // profile.step_days
    if not 1 <= steps <= limit:
        raise WrongRequest(f"The horizon must be between 1 and {limit} steps, not {steps}.")
    window = plan_window(as_of=as_of, mode="serving")
    available = (window.as_of - window.train_start).days + 1
    backtest = steps_needed(steps, origins, profile.season_length) * profile.step_days
    if available < backtest + HOLDOUT_DAYS:
        detail = f" ({HOLDOUT_DAYS} sealed for the gate, {backtest} for {origins} backtest origins of {steps} steps)"
        raise HistoryShort(available, backtest + HOLDOUT_DAYS, detail)
    return window.as_of, steps
