"""The floor, against a reckoning of its own: each value looked up day by day."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.engine.families.seasonal_naive import SEASONS, FittedSeasonalNaive
from forecasting.engine.panel import Panel

LAST = date(2026, 3, 1)
DAYS = st.lists(st.one_of(st.none(), st.integers(0, 50)), min_size=1, max_size=40)


def panel_of(series: list[list[int | None]]) -> Panel:
    """Series that all end on one day; None is an unknown one."""
    parts = [
        pd.DataFrame(
            {
                "unique_id": number + 1,
                "ds": pd.date_range(end=LAST, periods=len(days)),
                "y": [math.nan if day is None else float(day) for day in days],
            }
        )
        for number, days in enumerate(series)
    ]
    return Panel(pd.concat(parts, ignore_index=True), pd.DataFrame({"unique_id": range(1, len(series) + 1)}))


def looked_up(days: list[int | None], step: int, season: int) -> float:
    """The value of one season ago, or two, three, four; else the mean of what is known; else 0."""
    for place in range(len(days) - 1, max(len(days) - 1 - SEASONS * season, -1), -1):
        value = days[place]
        if value is not None and (len(days) - 1 + step - place) % season == 0:
            return float(value)
    known = [day for day in days if day is not None]
    return sum(known) / len(known) if known else 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(DAYS, min_size=1, max_size=4), st.integers(1, 16), st.sampled_from([1, 2, 7]))
def test_predict__holes_and_short_series__as_looked_up(series: list[list[int | None]], horizon: int, season: int):
    made = FittedSeasonalNaive(season, LAST).predict(panel_of(series), horizon)
    expected = [looked_up(days, step, season) for days in series for step in range(1, horizon + 1)]
    np.testing.assert_allclose(made["yhat"], expected, rtol=1e-12)
    assert made["unique_id"].tolist() == [n + 1 for n in range(len(series)) for _ in range(horizon)]
