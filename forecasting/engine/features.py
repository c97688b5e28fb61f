"""Features of the global model: calendar, holidays, declared regressors, attributes. None sees a future y."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from forecasting.engine.errors import MissingRegressor
from forecasting.engine.panel import Panel

HOLIDAY_REACH = 7
SCALE_STEPS = 182
YEARLY_STEPS = {"D": 2 * 365, "W": 2 * 52}


def holiday_table(country: str | None, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    """Public holidays of a country in the years of two days: columns ds, holiday. Empty without a (known) country."""
    years = range(first.year, last.year + 1) if country else range(0)
    rows = [row for year in years for row in _holidays(str(country).upper(), year)]
    days, names = [day for day, _ in rows], [name for _, name in rows]
    return pd.DataFrame({"ds": pd.Series(days, dtype="datetime64[ns]"), "holiday": pd.Series(names, dtype="object")})


@lru_cache(maxsize=64)
def _holidays(country: str, year: int) -> tuple[tuple[pd.Timestamp, str], ...]:
    """Day and name of each holiday of a year, in order; none where the country is not known."""
    import holidays

    try:
        found = holidays.country_holidays(country, years=year)
    except NotImplementedError:
        return ()
    rows = sorted((pd.Timestamp(day), name) for day, name in found.items())
    # An observed substitute of a week-end holiday changes office hours, not shopping.
    return tuple((day, name) for day, name in rows if "(observed)" not in name)


def calendar(days: pd.DatetimeIndex, panel: Panel, yearly: bool) -> pd.DataFrame:
    """Calendar features of each day (index ds), float64."""
    out = pd.DataFrame(index=days)
    reach = pd.Timedelta(days=HOLIDAY_REACH + 1)
    table = holiday_table(panel.country, days.min() - reach, days.max() + reach)
    dates = np.sort(table["ds"].unique()).astype("datetime64[D]")
    own = days.to_numpy().astype("datetime64[D]")
    if panel.grain == "D":
        out["weekday"] = days.dayofweek.astype("float64")
        out["monthday"] = days.day.astype("float64")
        span = 1
    else:
        out["week_of_month"] = ((days.day - 1) // 7).astype("float64")
        span = 7
    if len(dates):
        position = np.searchsorted(dates, own)
        ahead = np.where(position < len(dates), (dates[np.minimum(position, len(dates) - 1)] - own).astype(int), 99)
        before = np.searchsorted(dates, own, side="right") - 1
        since = np.where(before >= 0, (own - dates[np.maximum(before, 0)]).astype(int), 99)
        out["holiday"] = (since < span).astype("float64")
        out["days_to_holiday"] = np.minimum(ahead, HOLIDAY_REACH).astype("float64")
        out["days_since_holiday"] = np.minimum(since, HOLIDAY_REACH).astype("float64")
    if yearly:
        angle = 2 * np.pi * days.dayofyear.to_numpy() / 365.25
        out["year_sin"], out["year_cos"] = np.sin(angle), np.cos(angle)
    return out


def enough_for_yearly(panel: Panel) -> bool:
    """Whether two full years are there, so that a yearly shape can be told from a trend."""
    return panel.days >= YEARLY_STEPS[panel.grain]


def future_values(panel: Panel, horizon: int) -> pd.DataFrame:
    """Known-future regressors for the `horizon` steps after the panel's last day, on the full grid.

    Raises MissingRegressor naming the regressors without a value for some day.
    """
    from forecasting.engine.families.base import horizon_frame

    grid, names = horizon_frame(panel, horizon), list(panel.regressors.known_future)
    if not names:
        return grid
    if panel.future is None:
        raise MissingRegressor(names, grid["ds"].min().date(), len(grid))
    ahead = panel.future.loc[panel.future["ds"] > panel.history["ds"].max()]
    merged = grid.merge(ahead, on=["unique_id", "ds"], how="left", sort=False)
    absent = merged[names].isna()
    if absent.to_numpy().any():
        bad = [n for n in names if absent[n].any()]
        first = merged.loc[absent.any(axis=1).to_numpy(), "ds"].min().date()
        raise MissingRegressor(bad, first, int(absent.to_numpy().sum()))
    return merged


def unsold(panel: Panel) -> list[int]:
    """Series with observations but without a single sale in the last half year."""
    history = panel.history
    recent = history.loc[(history["ds"].max() - history["ds"]) // panel.step < SCALE_STEPS]
    top = recent.groupby("unique_id")["y"].max()
    return [int(i) for i in top.index[top == 0].to_numpy()]


def static_codes(panel: Panel, columns: Sequence[str]) -> dict[str, list[str]]:
    """The vocabulary of each static attribute, sorted; stored with the model."""
    table = panel.static
    return {c: sorted(table[c].dropna().astype(str).unique().tolist()) for c in columns if c in table.columns}


def encode_static(panel: Panel, codes: dict[str, list[str]]) -> pd.DataFrame:
    """unique_id and one integer code per attribute (float64); NaN where the value was not seen in training."""
    out = panel.static[["unique_id"]].copy()
    for column, values in codes.items():
        lookup = {value: float(i) for i, value in enumerate(values)}
        source = panel.static[column].astype(str) if column in panel.static.columns else pd.Series("", out.index)
        out[column] = source.map(lookup).astype("float64")
    return out
