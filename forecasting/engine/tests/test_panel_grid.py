"""The grid against a plain reference that walks day by day, on generated rows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.engine.panel import build_panel
from forecasting.engine.synthetic import REGRESSORS, RetailShape, retail
from forecasting.engine.types import RegressorSet

FIRST = date(2023, 3, 1)
Rows = list[dict[str, Any]]


def generated(seed: int, step: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a few series with gaps, leading zeros, censored days and prices; and a plan that covers some days."""
    rng = np.random.default_rng(seed)
    rows, plan = [], []
    for series in range(1, 5):
        for number in range(40):
            day = FIRST + timedelta(days=number * step)
            if rng.random() < 0.5:
                sold = 0.0 if number < 5 or rng.random() < 0.3 else float(rng.integers(-1, 9))
                price = float(rng.integers(1, 5)) if rng.random() < 0.6 else np.nan
                promo = float(rng.integers(0, 2)) if rng.random() < 0.8 else np.nan
                rows.append((series, day, sold, rng.random() < 0.1, price, promo))
        for number in range(-3, 46):
            if rng.random() < 0.4:
                value = float(rng.integers(2, 4)) if rng.random() < 0.8 else np.nan
                plan.append((series, FIRST + timedelta(days=number * step), value))
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y", "censored", "unit_price", "promo"])
    ahead = pd.DataFrame(plan, columns=["unique_id", "ds", "promo"])
    return frame.sample(frac=1.0, random_state=seed), ahead.sample(frac=1.0, random_state=seed)


def walked(frame: pd.DataFrame, plan: pd.DataFrame, last: date, step: int, missing: str) -> tuple[Rows, Rows]:
    """History and known future, one day after the other."""
    rows: list[Any] = list(frame.itertuples())
    given: dict[Any, Any] = {(row.unique_id, row.ds): row for row in rows if row.ds <= last}
    planned: dict[Any, Any] = {(row.unique_id, row.ds): row.promo for row in plan.itertuples()}
    history: Rows = []
    known: list[tuple[int, date, float]] = []
    for series in sorted({key[0] for key in given}):
        own = {day: row for (one, day), row in given.items() if one == series}
        sales = [day for day, row in own.items() if row.y > 0 and not row.censored]
        day = min(sales) if sales else min(own)
        known += [(series, d, v) for (one, d), v in planned.items() if one == series and not day <= d <= last]
        price = np.nan
        while day <= last:
            row = own.get(day)
            price = row.unit_price if row is not None and not np.isnan(row.unit_price) else price
            sale = 0.0 if row is None or np.isnan(row.promo) else row.promo
            told = planned.get((series, day), np.nan)
            promo = sale if np.isnan(told) else told
            censored = missing == "unknown" if row is None else bool(row.censored)
            y = np.nan if censored else 0.0 if row is None else max(row.y, 0.0)
            closed = row is None and missing == "closed"
            history.append({"unique_id": series, "ds": day, "y": y, "unit_price": price, "censored": censored,
                            "closed": closed, "promo": promo})  # fmt: skip
            known.append((series, day, promo))
            day += timedelta(days=step)
    names = ("unique_id", "ds", "promo")
    return history, [dict(zip(names, row, strict=True)) for row in sorted(known, key=lambda row: row[:2])]


@pytest.mark.parametrize("missing", ["zero", "closed", "unknown"])
@pytest.mark.parametrize("grain", ["D", "W"])
@pytest.mark.parametrize("seed", range(5))
def test_build_panel__generated_rows__are_what_walking_day_by_day_gives(seed: int, grain: str, missing: str) -> None:
    step = {"D": 1, "W": 7}[grain]
    frame, plan = generated(seed, step)
    last = FIRST + timedelta(days=37 * step)
    panel = build_panel(
        frame,
        future=plan,
        regressors=RegressorSet(known_future=("promo",)),
        missing_days=missing,
        grain=grain,
        end=last,
    )
    history, known = walked(frame, plan, last, step, missing)
    assert panel.future is not None
    for made, expected in ((panel.history, history), (panel.future, known)):
        table = pd.DataFrame(expected).astype({"ds": "datetime64[ns]"})
        pd.testing.assert_frame_equal(made, table, check_exact=True)


def test_upto_and_subset__of_a_panel__are_the_rows_that_a_filter_keeps() -> None:
    panel = retail(RetailShape(series=12, days=90)).panel()
    day = pd.Timestamp(panel.last_day) - pd.Timedelta(days=20)
    cut, some = panel.upto(day), panel.subset(panel.ids[::3])
    known = panel.history["ds"] <= day
    pd.testing.assert_frame_equal(cut.history, panel.history.loc[known].reset_index(drop=True))
    assert some.future is not None and panel.future is not None and panel.regressors == REGRESSORS
    for made, whole in ((some.history, panel.history), (some.future, panel.future), (some.static, panel.static)):
        chosen = whole["unique_id"].isin(panel.ids[::3])
        pd.testing.assert_frame_equal(made, whole.loc[chosen].reset_index(drop=True))
