"""Features of the global model: calendar, holidays, declared regressors, attributes. None sees a future y."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from forecasting.engine.errors import MissingRegressor
from forecasting.engine.panel import Panel, absent_regressors

HOLIDAY_REACH = 7
SCALE_STEPS, LEAN_STEPS = 182, 7
RECENT_STEPS = {"D": 28, "W": 8}
YEARLY_STEPS = {"D": 2 * 365, "W": 2 * 52}


def holiday_table(country: str | None, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    """Public holidays of a country between two days: columns ds, holiday. Empty without a (known) country."""
    empty = pd.DataFrame({"ds": pd.Series(dtype="datetime64[ns]"), "holiday": pd.Series(dtype="object")})
    if not country:
        return empty
    import holidays

    try:
        found = holidays.country_holidays(country.upper(), years=range(first.year, last.year + 1))
    except NotImplementedError:
        return empty
    rows = sorted((pd.Timestamp(day), name) for day, name in found.items())
    table = pd.DataFrame(rows, columns=["ds", "holiday"])
    table["ds"] = table["ds"].astype("datetime64[ns]")
    # An observed substitute of a week-end holiday changes office hours, not shopping.
    return table.loc[~table["holiday"].str.contains("(observed)", regex=False)].reset_index(drop=True)


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


def design(panel: Panel, *, horizon: int, lag: int, yearly: bool) -> tuple[pd.DataFrame, list[str]]:
    """Dynamic features for the history and the `horizon` steps after it, and their names.

    A historic_only regressor enters shifted by `lag` steps (>= the horizon it is trained for); where even that value
    lies in the future it is NaN. A price enters relative to the series' own mean.
    """
    names = panel.regressors
    have = [c for c in names.dynamic if c in panel.history.columns]
    missing = absent_regressors(panel)
    if missing:
        raise MissingRegressor(missing)
    past = panel.history[["unique_id", "ds", *have]]
    frame = past
    if horizon:
        frame = pd.concat([past, future_values(panel, horizon)], ignore_index=True)
        frame = frame.sort_values(["unique_id", "ds"], kind="stable", ignore_index=True)
    days = calendar(pd.DatetimeIndex(np.sort(frame["ds"].unique())), panel, yearly)
    out = frame[["unique_id", "ds"]].copy()
    row = days.index.get_indexer(pd.DatetimeIndex(frame["ds"]))
    for column in days.columns:
        out[column] = days[column].to_numpy()[row]
    for column in names.known_future:
        values = frame[column]
        if column == "unit_price":
            mean = past.groupby("unique_id")[column].mean().reindex(frame["unique_id"]).to_numpy()
            values = values / np.where(mean > 0, mean, np.nan)
        out[column] = values.to_numpy()
    for column in names.historic_only:
        if column in have:
            out[f"{column}_lag{lag}"] = frame.groupby("unique_id", sort=False)[column].shift(lag).to_numpy()
    return out, [c for c in out.columns if c not in {"unique_id", "ds"}]


def impute(panel: Panel) -> pd.DataFrame:
    """unique_id, ds, y without gaps: a censored day takes the last value of the same weekday, else the last, else 0.

    Only the past is used, so that no day learns from a later one. Imputed days feed lags; they are never targets.
    """
    frame = panel.history[["unique_id", "ds", "y"]].copy()
    if frame["y"].isna().any():
        season = panel.season_length if panel.grain == "D" else 1
        back = (frame["ds"].max() - frame["ds"]) // panel.step
        frame["y"] = frame.groupby(["unique_id", back % season], sort=False)["y"].ffill()
        frame["y"] = frame.groupby("unique_id", sort=False)["y"].ffill().fillna(0.0)
    return frame


def scales(panel: Panel) -> pd.Series:
    """Level of each series (index unique_id, > 0): its recent mean, leaning a little on that of the last half year.

    Recent, so that a shifted level is followed at once; leaning, so that a sparse series is not scaled by nothing.
    Single days are capped at 20 times the median sale, so that one absurd day does not flatten the series.
    """
    history = panel.history
    back = (history["ds"].max() - history["ds"]) // panel.step
    rows = history.loc[back < SCALE_STEPS, ["unique_id", "y"]].assign(recent=back < RECENT_STEPS[panel.grain])
    sale = rows["y"].where(rows["y"] > 0).groupby(rows["unique_id"]).median()
    rows["y"] = rows["y"].clip(upper=20.0 * rows["unique_id"].map(sale))
    slow = rows.groupby("unique_id")["y"].mean().reindex(panel.ids)
    recent = rows.loc[rows["recent"]].groupby("unique_id")["y"].agg(["sum", "count"]).reindex(panel.ids).fillna(0.0)
    level = (recent["sum"] + LEAN_STEPS * slow) / (recent["count"] + LEAN_STEPS)
    overall = level[level > 0].median()
    out: pd.Series = level.where(level > 0, overall if overall > 0 else 1.0).clip(lower=1e-6)
    return out


def unsold(panel: Panel) -> list[int]:
    """Series with observations but without a single sale in the last half year."""
    history = panel.history
    recent = history.loc[(history["ds"].max() - history["ds"]) // panel.step < SCALE_STEPS]
    top = recent.groupby("unique_id")["y"].max()
    return [int(i) for i in top.index[top == 0].to_numpy()]


def capped(frame: pd.DataFrame, level: pd.Series) -> np.ndarray:
    """y divided by its series' level and cut at 50 levels: one absurd day neither leads the fit nor the lags."""
    return np.asarray(np.minimum(frame["y"].to_numpy() / level.reindex(frame["unique_id"]).to_numpy(), 50.0))


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
