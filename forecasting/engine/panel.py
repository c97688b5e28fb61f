"""The panel: demand of many series on a regular grid, with regressors, and how it is made from sparse rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.engine.panel_grid import (
    clean_rows,
    day_numbers,
    fill,
    first_rows,
    known_future,
    make_grid,
)
from forecasting.engine.types import DemandClass, RegressorSet

ADI_CUT, CV2_CUT = 1.32, 0.49
STEP_DAYS = {"D": 1, "W": 7}
NO_REGRESSORS = RegressorSet()


@dataclass(frozen=True)
class Panel:
    """Demand on a regular grid.

    history: unique_id int64, ds datetime64[ns], y float64 (NaN on censored days), censored bool, closed bool,
        declared dynamic regressors float64, and unit_price / unit_cost where known; sorted by (unique_id, ds).
        Every series runs without gaps from its first sale to the panel's last day.
    static: unique_id and the series' attributes (store_id, product_id, category, ...), one row a series.
    future: unique_id, ds and the known-future regressors for every day known, in the history and beyond; or None.
    season_length: steps in the main season (7 days, 52 weeks). country: ISO code for holidays, or None.
    """

    history: pd.DataFrame
    static: pd.DataFrame
    future: pd.DataFrame | None = None
    grain: str = "D"
    season_length: int = 7
    regressors: RegressorSet = NO_REGRESSORS
    country: str | None = None

    @property
    def ids(self) -> np.ndarray:
        """Series ids in order."""
        column = self.history["unique_id"].to_numpy()
        return np.asarray(column[first_rows(column)])

    @property
    def step(self) -> pd.Timedelta:
        """One step of the grain."""
        return pd.Timedelta(days=STEP_DAYS[self.grain])

    @property
    def first_day(self) -> date:
        """First day of any series."""
        first: date = self.history["ds"].min().date()
        return first

    @property
    def last_day(self) -> date:
        """Last day of the panel: the origin a forecast starts from."""
        last: date = self.history["ds"].max().date()
        return last

    @property
    def days(self) -> int:
        """Steps between the first and the last day, both included."""
        return (self.last_day - self.first_day).days // STEP_DAYS[self.grain] + 1

    def upto(self, day: date | pd.Timestamp) -> Panel:
        """What was known at the end of `day`: history cut there; the known future stays known.

        Series that had not started by then are left out.
        """
        kept = (self.history["ds"] <= pd.Timestamp(day)).to_numpy()
        return replace(self, history=_kept(self.history, kept))._aligned()

    def recent(self, steps: int) -> Panel:
        """The same panel with the last `steps` steps of its history; no series is left out."""
        if not len(self.history) or self.days <= steps:
            return self
        kept = (self.history["ds"] > self.history["ds"].max() - steps * self.step).to_numpy()
        return replace(self, history=_kept(self.history, kept))

    def subset(self, ids: Iterable[int]) -> Panel:
        """The same panel with only these series."""
        kept = self.history["unique_id"].isin(list(ids)).to_numpy()
        return replace(self, history=_kept(self.history, kept))._aligned()

    def _aligned(self) -> Panel:
        ids = self.ids
        static = self.static.loc[self.static["unique_id"].isin(ids)].reset_index(drop=True)
        future = self.future
        if future is not None and len(static) < len(self.static):
            future = _kept(future, future["unique_id"].isin(ids).to_numpy())
        return replace(self, static=static, future=future)


def _kept(table: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """These rows (a mask) of a table, numbered anew."""
    return pd.DataFrame({name: table[name].to_numpy()[rows] for name in table.columns}, copy=False)


def build_panel(
    rows: pd.DataFrame,
    *,
    static: pd.DataFrame | None = None,
    future: pd.DataFrame | None = None,
    regressors: RegressorSet | None = None,
    missing_days: str = "zero",
    grain: str = "D",
    season_length: int | None = None,
    country: str | None = None,
    end: date | None = None,
) -> Panel:
    """Make the regular grid from sparse rows.

    rows: unique_id, ds, y (units; negative net sales count as 0), optional censored (a stocked-out day), optional
        regressors and unit_price / unit_cost. Rows may come in any order. For weekly grain, ds is the week's last day.
    missing_days: "zero" (no row means nothing was sold), "closed" (not a trading day: learned as 0, never scored),
        "unknown" (neither learned nor scored).
    end: last day of the panel (default: the last ds in `rows`), so that series that stopped selling are continued.

    Raises NoUsableSeries, DuplicateDays, WeeksApart, ValueError (unknown policy, a column or a date that is missing, y
    not a number, two rows of attributes for one series).
    """
    regressors = regressors or RegressorSet()
    if missing_days not in {"zero", "closed", "unknown"}:
        raise ValueError(f"missing_days must be zero, closed or unknown, not {missing_days!r}")
    given = clean_rows(rows, regressors)
    last = int(given["ds"].max() if end is None else day_numbers(pd.Series([pd.Timestamp(end)]))[0])
    grid = make_grid(given, last, STEP_DAYS[grain])
    columns = fill(grid, given, regressors, missing_days)
    if static is None:
        static = pd.DataFrame({"unique_id": grid.ids})
    if static["unique_id"].duplicated().any():
        twice = static.loc[static["unique_id"].duplicated(), "unique_id"].iloc[0]
        raise ValueError(f"There is more than one row of attributes for series {twice}; give one row a series.")
    static = static.loc[static["unique_id"].isin(grid.ids)].sort_values("unique_id").reset_index(drop=True)
    known, names = None, regressors.known_future
    if names:
        # What is planned ahead is learned from the plan of past days, too: one meaning before and after the origin.
        rows_of_history, planned = known_future(columns, grid, future, names)
        columns = {name: values for name, values in columns.items() if name not in names}
        columns |= {name: planned[name][rows_of_history] for name in names}
        known = pd.DataFrame(planned, copy=False)
    season = season_length or {"D": 7, "W": 52}[grain]
    return Panel(pd.DataFrame(columns, copy=False), static, known, grain, season, regressors, country)


def absent_regressors(panel: Panel) -> list[str]:
    """Known-future regressors without a single value in the history: nothing can be learned of them."""
    history = panel.history
    return [c for c in panel.regressors.known_future if c not in history.columns or history[c].isna().all()]


def classify(panel: Panel) -> pd.Series:
    """Demand class of each series (index unique_id), by ADI and CV² of its non-zero demand.

    Source: Syntetos, Boylan and Croston (2005), cuts 1.32 and 0.49. A series that never sold is intermittent.
    """
    known = panel.history.loc[~panel.history["censored"], ["unique_id", "y"]]
    sold = known.loc[known["y"] > 0].groupby("unique_id")["y"].agg(["size", "mean", "std"])
    sold = sold.reindex(panel.ids)
    days = known.groupby("unique_id")["y"].size().reindex(panel.ids).fillna(0)
    adi = days / sold["size"]
    cv2 = (sold["std"].fillna(0.0) / sold["mean"]) ** 2
    frequent, steady = (adi < ADI_CUT), ~(cv2 >= CV2_CUT)
    names = np.select(
        [frequent & steady, ~frequent & steady, frequent & ~steady],
        [DemandClass.SMOOTH.value, DemandClass.INTERMITTENT.value, DemandClass.ERRATIC.value],
        DemandClass.LUMPY.value,
    )
    return pd.Series(names, index=pd.Index(panel.ids, name="unique_id"), name="demand_class")


def revenue_weights(panel: Panel, steps: int = 28) -> pd.Series:
    """Revenue of each series over the panel's last `steps` days (units where no price is known), summing to 1.

    Index unique_id. All zero where nothing sold.
    """
    history = panel.history
    recent = history.loc[history["ds"] > history["ds"].max() - steps * panel.step]
    priced = "unit_price" in recent.columns and bool(recent["unit_price"].notna().any())
    value = recent["y"].fillna(0.0)
    if priced:
        value = value * recent["unit_price"].fillna(0.0)
    total: pd.Series = value.groupby(recent["unique_id"]).sum().reindex(panel.ids).fillna(0.0)
    whole = float(total.sum())
    return total.div(whole) if whole > 0 else total
