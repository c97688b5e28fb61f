"""How sparse rows become a regular grid: on arrays, in the time and memory of a few copies of the result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.engine.errors import DuplicateDays, NoUsableSeries, WeeksApart
from forecasting.engine.types import RegressorSet

VALUE_COLUMNS = ("unit_price", "unit_cost")
"""Kept in the history to value units, also when they are not declared as regressors (and then never a feature)."""
DAY = 86_400_000_000_000
"""Nanoseconds of a day."""
Columns = dict[str, np.ndarray]
"""Columns of one length; `ds` as day numbers (days since 1970), which are a single subtraction apart."""


@dataclass(frozen=True)
class Grid:
    """The regular days of each series: `steps` of them, `step` days apart, the last of them `last` (a day number).

    rows, places: which given row lies where in the grid. Rows before a series' first sale lie nowhere.
    """

    ids: np.ndarray
    steps: np.ndarray
    last: int
    step: int
    rows: np.ndarray
    places: np.ndarray

    @property
    def length(self) -> int:
        """Days of all series."""
        return int(self.steps.sum())

    @property
    def starts(self) -> np.ndarray:
        """Where each series begins."""
        return np.asarray(np.cumsum(self.steps) - self.steps)

    @property
    def ds(self) -> np.ndarray:
        """The days, as datetime64[ns]."""
        longest = as_days(self.last - self.step * np.arange(int(self.steps.max()) - 1, -1, -1))
        return np.concatenate([longest[len(longest) - steps :] for steps in self.steps.tolist()])


# --- what is given ----------------------------------------------------------------------------------------------------


def clean_rows(rows: pd.DataFrame, regressors: RegressorSet) -> Columns:
    """unique_id, ds, y, regressors and prices, censored; sorted by (unique_id, ds), each pair once.

    Raises NoUsableSeries, DuplicateDays, ValueError (a column or a date that is missing, y not a number).
    """
    if not len(rows):
        raise NoUsableSeries("there are no rows")
    absent = [c for c in ("unique_id", "ds", "y") if c not in rows.columns]
    if absent:
        raise ValueError(f"The rows have no column {', '.join(absent)}.")
    wanted = [*regressors.dynamic, *(c for c in VALUE_COLUMNS if c not in regressors.dynamic)]
    out: Columns = {"unique_id": rows["unique_id"].to_numpy().astype("int64"), "ds": day_numbers(rows["ds"])}
    for column in ("y", *(c for c in wanted if c in rows.columns)):
        out[column] = _finite(rows[column].astype("float64").to_numpy(copy=column == "y"))
    negative = out["y"] < 0.0
    out["y"][negative] = 0.0
    given = rows["censored"].eq(True).fillna(False).to_numpy(dtype=bool) if "censored" in rows.columns else False
    out["censored"] = given | np.isnan(out["y"])
    out = _ordered(out)
    twice = np.flatnonzero(_repeats(out))
    if len(twice):
        first = int(twice[0])
        raise DuplicateDays(len(twice), (int(out["unique_id"][first]), as_date(out["ds"][first])))
    out["y"][out["censored"]] = np.nan
    return out


def day_numbers(column: pd.Series) -> np.ndarray:
    """The number of each moment's calendar day; a moment with a time zone is on the day that its own clock shows.

    Raises ValueError where there is no date.
    """
    known = pd.api.types.is_datetime64_any_dtype(column.dtype)
    days = column if known else pd.to_datetime(column)
    if isinstance(days.dtype, pd.DatetimeTZDtype):
        days = days.dt.tz_localize(None)
    if days.isna().any():
        raise ValueError(f"{int(days.isna().sum())} row(s) have no date; give each row its day.")
    return np.asarray(days.to_numpy().astype("datetime64[D]").view("int64"))


def as_days(numbers: np.ndarray) -> np.ndarray:
    """Day numbers as datetime64[ns]."""
    return np.asarray((numbers * DAY).view("datetime64[ns]"))


def as_date(number: int | np.integer) -> date:
    """A day number as a date."""
    day: date = np.datetime64(int(number), "D").astype(date)
    return day


def first_rows(ids: np.ndarray) -> np.ndarray:
    """Where each series begins, rows of one series standing together."""
    return np.flatnonzero(np.concatenate((np.ones(min(len(ids), 1), dtype=bool), ids[1:] != ids[:-1])))


def _finite(values: np.ndarray) -> np.ndarray:
    """An infinite value is an unknown one (NaN)."""
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values


def _ordered(table: Columns) -> Columns:
    """The rows by (unique_id, ds); of those that are equal the first stays first."""
    ids, days = table["unique_id"], table["ds"]
    if not ((ids[1:] < ids[:-1]) | ((ids[1:] == ids[:-1]) & (days[1:] < days[:-1]))).any():
        return table
    order = np.lexsort((days, ids))
    return {name: values[order] for name, values in table.items()}


def _repeats(table: Columns) -> np.ndarray:
    """Which rows have the series and day of the row before them."""
    ids, days = table["unique_id"], table["ds"]
    return np.concatenate((np.zeros(1, dtype=bool), (ids[1:] == ids[:-1]) & (days[1:] == days[:-1])))


# --- the grid ---------------------------------------------------------------------------------------------------------


def make_grid(given: Columns, last: int, step: int) -> Grid:
    """From each series' first sale (its first row, where it never sold) to the last day.

    Raises NoUsableSeries; WeeksApart where weekly rows fall between the steps: they would be lost in silence.
    """
    kept = np.flatnonzero(given["ds"] <= last)
    whole = len(kept) == len(given["ds"])
    ids, days, y = (given[name] if whole else given[name][kept] for name in ("unique_id", "ds", "y"))
    if not len(ids):
        raise NoUsableSeries("every row lies after the panel's last day")
    if np.isnan(y).all():
        raise NoUsableSeries("every observation is censored or not a number")
    first = first_rows(ids)
    counts = np.diff(first, append=len(ids))
    sold = np.flatnonzero(y > 0)
    series = np.repeat(np.arange(len(counts)), counts)[sold]
    first_sale = first_rows(series)
    start = days[first]
    start[series[first_sale]] = days[sold[first_sale]]
    # Weeks are counted back from the last day, so that all series share one phase.
    steps = (last - start) // step + 1
    back = last - days
    if step > 1:
        back, off = np.divmod(back, step)
        if off.any():
            apart = int(np.flatnonzero(off)[0])
            raise WeeksApart(int(np.count_nonzero(off)), (int(ids[apart]), as_date(days[apart])), as_date(last))
    inside = back < np.repeat(steps, counts)
    places = np.repeat(np.cumsum(steps) - 1, counts) - back
    if not inside.all():
        kept, places = kept[inside], places[inside]
    return Grid(ids[first], steps, last, step, kept, places)


def fill(grid: Grid, given: Columns, regressors: RegressorSet, missing_days: str) -> Columns:
    """The columns of the history (ds as datetime64[ns]): the given rows in their places, and what a day without one
    means."""
    length, starts = grid.length, grid.starts
    missing = np.ones(length, dtype=bool)
    missing[grid.places] = False
    out: Columns = {"unique_id": np.repeat(grid.ids, grid.steps), "ds": grid.ds}
    for name in given:
        if name in ("unique_id", "ds", "censored"):
            continue
        values = np.full(length, np.nan)
        values[grid.places] = given[name][grid.rows]
        if name in VALUE_COLUMNS:
            # A price is seen only where something was sold; between sales the last one seen still holds. Never
            # backwards: that would tell the past about the future.
            values = _forward_filled(values, starts)
        elif name in regressors.known_future:
            values[np.isnan(values)] = 0.0
        out[name] = values
    if missing_days != "unknown":
        out["y"][missing] = 0.0
    out["censored"] = missing & (missing_days == "unknown")
    out["censored"][grid.places] = given["censored"][grid.rows]
    out["closed"] = missing & (missing_days == "closed")
    return out


def _forward_filled(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Each NaN takes the value before it in its series; those before the first value stay NaN."""
    told = ~np.isnan(values)
    if told.all():
        return values
    told[starts] = True
    held = np.flatnonzero(told)
    return np.repeat(values[held], np.diff(held, append=len(values)))


# --- what is known ahead ----------------------------------------------------------------------------------------------


def known_future(
    history: Columns, grid: Grid, future: pd.DataFrame | None, names: tuple[str, ...]
) -> tuple[np.ndarray, Columns]:
    """The known-future regressors of every day in the history or given ahead, and where the history's rows are in it.

    What the covariates file says wins over what the sales rows carry; of a day that it names twice, the first value.
    """
    length, plan = grid.length, _plan(future, names, grid.ids)
    if plan is None:
        own = {n: history.get(n, np.full(length, np.nan)) for n in names}
        return np.arange(length), {"unique_id": history["unique_id"], "ds": history["ds"], **own}
    # A planned day is one of the history's, or it goes in between: `place` is the history's row there, or after it.
    series = np.searchsorted(grid.ids, plan["unique_id"])
    steps = grid.steps[series]
    back, off = np.divmod(grid.last - plan["ds"], grid.step)
    place = grid.starts[series] + np.clip(steps - 1 - back, 0, steps)
    inside = (off == 0) & (back >= 0) & (back < steps)
    more = np.flatnonzero(~inside)
    here = np.arange(length) + np.cumsum(np.bincount(place[more], minlength=length + 1))[:length]
    there = here[np.minimum(place, length - 1)]
    there[more] = place[more] + np.arange(len(more))

    def merged(values: np.ndarray, planned: np.ndarray) -> np.ndarray:
        out = np.empty(length + len(more), dtype=values.dtype)
        out[here], out[there[more]] = values, planned[more]
        return out

    out = {
        "unique_id": merged(history["unique_id"], plan["unique_id"]),
        "ds": merged(history["ds"], as_days(plan["ds"])),
    }
    for name in names:
        values = merged(history[name] if name in history else np.full(length, np.nan), plan[name])
        told = ~np.isnan(plan[name])
        values[there[told]] = plan[name][told]
        out[name] = _finite(values)
    return here, out


def _plan(future: pd.DataFrame | None, names: tuple[str, ...], ids: np.ndarray) -> Columns | None:
    """What is given of these series ahead of time, sorted by (unique_id, ds), each pair once; None without any."""
    if future is None:
        return None
    days = day_numbers(future["ds"])
    of_these = future["unique_id"].isin(ids).to_numpy()
    given = future.loc[of_these]
    if not len(given):
        return None
    out: Columns = {"unique_id": given["unique_id"].to_numpy().astype("int64"), "ds": days[of_these]}
    for name in names:
        out[name] = given[name].astype("float64").to_numpy() if name in given else np.full(len(given), np.nan)
    out = _ordered(out)
    if not _repeats(out).any():
        return out
    once = pd.DataFrame(out).groupby(["unique_id", "ds"], as_index=False).first()
    return {name: once[name].to_numpy() for name in out}
