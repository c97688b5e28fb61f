"""The days of a drill: actuals come one by one, and the rule that watches the live champion watches the drill's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from forecasting.engine.outlook import came
from forecasting.engine.regression import InService, Promise, Regression, detect_regression
from forecasting.models import ForecastSet
from forecasting.services.accuracy import error_sums, stored_rows
from forecasting.services.data_profile import active_profile
from forecasting.services.engine_errors import engine_errors
from forecasting.services.policy import active_policy, body_of
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from ledger.context import RunContext


@dataclass(frozen=True)
class DrillDay:
    """One revealed day: what the rule says of the damaged version and of the whole one, on the same rows so far."""

    day: date
    steps: int
    damaged: Regression
    whole: Regression

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "day": self.day.isoformat(),
            "steps": self.steps,
            "damaged": self.damaged.to_json(),
            "whole": self.whole.to_json(),
        }


def reveal(
    *, ctx: RunContext, damaged: ForecastSet, whole: ForecastSet, promise: Promise, until: date
) -> list[DrillDay]:
    """Let one day after the other come, until the rule calls the damaged version or no day is left.

    Each day reads demand up to that day and no further. Both sets are of one origin. Raises SeriesUnusable.
    """
    step = active_profile().step_days
    steps = min((until - damaged.origin_date).days // step, damaged.horizon, whole.horizon)
    rules = body_of(active_policy()).regression.regression_rules()
    days: list[DrillDay] = []
    for known in range(1, steps + 1):
        day = damaged.origin_date + timedelta(days=known * step)
        ctx.progress(known, steps, f"Actuals of {day} came")
        with engine_errors(), demand_snapshot() as demand:
            source = demand.source(plan_window(as_of=day, mode="serving"))
            (facts,) = came(source, [(damaged.origin_date, known)], demand.executor)
        told = [
            detect_regression(_seen(one, facts.rows, day), promise, rules) for one in (damaged, whole)
        ]  # fmt: skip
        days.append(DrillDay(day, known, *told))
        if told[0].detected:
            break
    return days


def _seen(forecast_set: ForecastSet, rows: pd.DataFrame, day: date) -> InService:
    made = stored_rows(forecast_set, day)
    frame = made.merge(rows.drop(columns="h"), on=["unique_id", "ds"], how="inner", sort=False)
    sure = frame.loc[~frame["censored"] & frame["y"].notna()]
    sums = error_sums(sure)
    return InService(sums["absolute"], sums["naive"], sums["actual"], int(sure["ds"].nunique()), len(sure))
