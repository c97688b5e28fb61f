"""The panel: demand of many series on a regular grid, with regressors, and how it is made from sparse rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.engine.errors import DuplicateDays, NoUsableSeries, WeeksApart
from forecasting.engine.types import DemandClass, RegressorSet

ADI_CUT, CV2_CUT = 1.32, 0.49
STEP_DAYS = {"D": 1, "W": 7}
NO_REGRESSORS = RegressorSet()
VALUE_COLUMNS = ("unit_price", "unit_cost")
"""Kept in the history to value units, also when they are not declared as regressors (and then never a feature)."""


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
        return self.history["unique_id"].drop_duplicates().to_numpy()

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
        history = self.history.loc[self.history["ds"] <= pd.Timestamp(day)].reset_index(drop=True)
        return replace(self, history=history)._aligned()

    def subset(self, ids: Iterable[int]) -> Panel:
        """The same panel with only these series."""
        keep = self.history["unique_id"].isin(list(ids))
        return replace(self, history=self.history.loc[keep].reset_index(drop=True))._aligned()

    def _aligned(self) -> Panel:
        ids = self.ids
        static = self.static.loc[self.static["unique_id"].isin(ids)].reset_index(drop=True)
        future = self.future
        if future is not None and len(static) < len(self.static):
            future = future.loc[future["unique_id"].isin(ids)].reset_index(drop=True)
        return replace(self, static=static, future=future)


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
    frame = _clean_rows(rows, regressors)
    last = pd.Timestamp(end) if end is not None else frame["ds"].max()
    frame = frame.loc[frame["ds"] <= last]
    grid = _grid(frame, last, STEP_DAYS[grain])
    _require_phase(frame, last, STEP_DAYS[grain])
    history = grid.merge(frame, on=["unique_id", "ds"], how="left", sort=False)
    history = _fill(history, regressors, missing_days)
    if static is None:
        static = pd.DataFrame({"unique_id": history["unique_id"].drop_duplicates().to_numpy()})
    if static["unique_id"].duplicated().any():
        twice = static.loc[static["unique_id"].duplicated(), "unique_id"].iloc[0]
        raise ValueError(f"There is more than one row of attributes for series {twice}; give one row a series.")
    static = static.loc[static["unique_id"].isin(history["unique_id"])].sort_values("unique_id").reset_index(drop=True)
    known = _known_future(history, future, regressors)
    if known is not None:
        # What is planned ahead is learned from the plan of past days, too: one meaning before and after the origin.
        names = list(regressors.known_future)
        history = history.drop(columns=[c for c in names if c in history.columns])
        history = history.merge(known, on=["unique_id", "ds"], how="left", sort=False)
    season = season_length or {"D": 7, "W": 52}[grain]
    return Panel(history, static, known, grain, season, regressors, country)


def _clean_rows(rows: pd.DataFrame, regressors: RegressorSet) -> pd.DataFrame:
    if not len(rows):
        raise NoUsableSeries("there are no rows")
    absent = [c for c in ("unique_id", "ds", "y") if c not in rows.columns]
    if absent:
        raise ValueError(f"The rows have no column {', '.join(absent)}.")
    wanted = [*regressors.dynamic, *(c for c in VALUE_COLUMNS if c not in regressors.dynamic)]
    extra = [c for c in wanted if c in rows.columns]
    frame = rows[["unique_id", "ds", "y", *extra]].copy()
    frame["unique_id"] = frame["unique_id"].astype("int64")
    frame["ds"] = _days(frame["ds"])
    for column in ("y", *extra):
        frame[column] = _finite(frame[column])
    frame["y"] = frame["y"].clip(lower=0.0)
    given = rows["censored"].eq(True).fillna(False).to_numpy(dtype=bool) if "censored" in rows.columns else False
    frame["censored"] = given | frame["y"].isna().to_numpy()
    frame = frame.sort_values(["unique_id", "ds"], kind="stable", ignore_index=True)
    twice = frame.duplicated(["unique_id", "ds"])
    if twice.any():
        first = frame.loc[twice].iloc[0]
        raise DuplicateDays(int(twice.sum()), (int(first["unique_id"]), first["ds"].date()))
    frame.loc[frame["censored"], "y"] = np.nan
    return frame


def _days(values: pd.Series) -> pd.Series:
    """The calendar days of moments; a moment with a time zone is on the day that its own clock shows."""
    days = pd.to_datetime(values)
    if isinstance(days.dtype, pd.DatetimeTZDtype):
        days = days.dt.tz_localize(None)
    if days.isna().any():
        raise ValueError(f"{int(days.isna().sum())} row(s) have no date; give each row its day.")
    return days.astype("datetime64[ns]").dt.normalize()


def _finite(values: pd.Series) -> pd.Series:
    """As float64; an infinite value is an unknown one (NaN)."""
    numbers = values.astype("float64")
    infinite = np.isinf(numbers.to_numpy())
    return numbers.mask(infinite) if infinite.any() else numbers


def _require_phase(frame: pd.DataFrame, last: pd.Timestamp, step: int) -> None:
    """Raise WeeksApart where weekly rows fall between the steps of the grid: they would be lost in silence."""
    off = ((last - frame["ds"]).dt.days % step != 0).to_numpy() if step > 1 else np.zeros(0, dtype=bool)
    if off.any():
        first = frame.loc[off].iloc[0]
        raise WeeksApart(int(off.sum()), (int(first["unique_id"]), first["ds"].date()), last.date())


def _grid(frame: pd.DataFrame, last: pd.Timestamp, step: int) -> pd.DataFrame:
    """From each series' first sale (its first row, where it never sold) to the last day."""
    if not len(frame):
        raise NoUsableSeries("every row lies after the panel's last day")
    first_row = frame.groupby("unique_id")["ds"].min()
    first_sale = frame.loc[frame["y"] > 0].groupby("unique_id")["ds"].min()
    start = first_sale.reindex(first_row.index).fillna(first_row)
    if not frame["y"].notna().any():
        raise NoUsableSeries("every observation is censored or not a number")
    # Weeks are counted back from the last day, so that all series share one phase.
    steps = ((last - start).dt.days // step + 1).to_numpy()
    ids = np.repeat(start.index.to_numpy(), steps)
    back = np.concatenate([np.arange(n - 1, -1, -1) for n in steps])
    return pd.DataFrame({"unique_id": ids, "ds": last - pd.to_timedelta(back * step, unit="D")}).astype(
        {"ds": "datetime64[ns]", "unique_id": "int64"}
    )


def _fill(history: pd.DataFrame, regressors: RegressorSet, missing_days: str) -> pd.DataFrame:
    missing = history["censored"].isna().to_numpy()
    history["closed"] = missing & (missing_days == "closed")
    history["censored"] = np.where(missing, missing_days == "unknown", history["censored"].eq(True)).astype(bool)
    if missing_days != "unknown":
        history.loc[missing, "y"] = 0.0
    by_series = history.groupby("unique_id", sort=False)
    for column in history.columns.intersection([*regressors.dynamic, *VALUE_COLUMNS]):
        if column in VALUE_COLUMNS:
            # A price is seen only where something was sold; between sales the last one seen still holds. Never
            # backwards: that would tell the past about the future.
            history[column] = by_series[column].ffill()
        elif column in regressors.known_future:
            history[column] = history[column].fillna(0.0)
    return history


def absent_regressors(panel: Panel) -> list[str]:
    """Known-future regressors without a single value in the history: nothing can be learned of them."""
    history = panel.history
    return [c for c in panel.regressors.known_future if c not in history.columns or history[c].isna().all()]


def _known_future(history: pd.DataFrame, future: pd.DataFrame | None, regressors: RegressorSet) -> pd.DataFrame | None:
    names = list(regressors.known_future)
    if not names:
        return None
    have = [c for c in names if c in history.columns]
    parts = [history[["unique_id", "ds", *have]]]
    if future is not None:
        given = future[["unique_id", "ds", *(c for c in names if c in future.columns)]].copy()
        given["ds"] = _days(given["ds"])
        given = given.loc[given["unique_id"].isin(history["unique_id"].unique())]
        parts.insert(0, given)  # what the covariates file says wins over what the sales rows carry
    known = pd.concat(parts, ignore_index=True).groupby(["unique_id", "ds"], as_index=False).first()
    for name in names:
        known[name] = _finite(known[name]) if name in known.columns else np.nan
    return known[["unique_id", "ds", *names]]


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
