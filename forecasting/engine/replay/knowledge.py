"""What is known on a day: rows up to it that had arrived by then. The walk sees demand through this alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.panel import Panel, build_panel
from forecasting.engine.panel_grid import VALUE_COLUMNS
from forecasting.engine.replay.config import EmptyPartition, ReplayConfig
from forecasting.engine.types import RegressorSet

NEVER = np.iinfo(np.int32).max
_KEY = ("unique_id", "ds")


@dataclass(frozen=True)
class Rows:
    """Sparse rows with the rules for reading them, as `build_panel` takes them.

    rows may have a column `arrived` (day on which the row as it stands came in; NaT: on its own day). Before that its
    value is unknown: what stood there earlier, if anything, is not kept. static, future: as `build_panel`.
    """

    rows: pd.DataFrame
    static: pd.DataFrame | None = None
    future: pd.DataFrame | None = None
    regressors: RegressorSet = field(default_factory=RegressorSet)
    missing_days: str = "zero"
    grain: str = "D"
    country: str | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def panel(self, rows: pd.DataFrame, end: date) -> Panel:
        """The panel of these rows, which carries no column that no row has a value in."""
        kept = rows.drop(columns=["arrived"], errors="ignore")
        kept = kept.drop(columns=[c for c in _optional(self.regressors, kept) if kept[c].isna().all()])
        return build_panel(
            kept, static=self.static, future=self.future, regressors=self.regressors, missing_days=self.missing_days,
            grain=self.grain, country=self.country, end=end,
        )  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """Actuals as matrices of steps × series, from `before` steps ahead of the replay on; ids ascending.

    y: demand (NaN: unknown for good); closed: not a trading day; exists: the series has begun; arrives: the step (0 is
    the replay's first) from whose end on the value is known. inputs: column -> values, for drift.
    """

    ids: np.ndarray
    before: int
    y: np.ndarray
    closed: np.ndarray
    exists: np.ndarray
    arrives: np.ndarray
    inputs: Mapping[str, np.ndarray]

    def row(self, step: int) -> int:
        """Where a step stands in the matrices."""
        return step + self.before

    def values(self, first: int, last: int, *, at: int, column: str = "y") -> np.ndarray:
        """The steps first … last as known at the end of step `at`; NaN where not known or before the series began."""
        part = slice(max(self.row(first), 0), max(self.row(last) + 1, 0))
        table = self.y if column == "y" else self.inputs[column]
        known = (self.arrives[part] <= at) & self.exists[part]
        return np.where(known, table[part], np.nan)


class Knowledge:
    """Rows, and what of them was known when."""

    def __init__(self, given: Rows, config: ReplayConfig) -> None:
        self.given, self.config = given, config
        late = given.rows["arrived"].notna() if "arrived" in given.rows.columns else pd.Series(False, given.rows.index)
        days = pd.to_datetime(given.rows["ds"])
        inside = (days <= pd.Timestamp(config.end)).to_numpy()
        if not inside.any():
            raise EmptyPartition(f"up to {config.end}, when the replay ends")
        self._rows = given.rows.loc[inside].reset_index(drop=True)
        self._days = days.loc[inside].to_numpy().astype("datetime64[ns]")
        self._late = np.flatnonzero(late.to_numpy()[inside])
        arrived = pd.to_datetime(self._rows["arrived"]) if len(self._late) else pd.Series(dtype="datetime64[ns]")
        self._arrived = arrived.to_numpy().astype("datetime64[ns]")[self._late] if len(self._late) else arrived
        self.whole = given.panel(self._rows, config.end)
        config.require_history(self.whole.first_day, self.whole.last_day)
        self.sheet = self._sheet()

    @cached_property
    def sha256(self) -> str:
        """Identity of all that the walk is given: rows, when they came, attributes, plans, and the rules for reading
        them. A checkpoint is of one of these and no other."""
        given, ids = self.given, self.whole.ids
        names = [given.names.get(int(i), "") for i in ids]
        rules = (given.regressors, given.missing_days, given.grain, given.country, names)
        digest = hashlib.sha256(repr(rules).encode())
        for table, order in ((self._rows, _KEY), (given.static, _KEY[:1]), (given.future, _KEY)):
            if table is not None:
                own = table.loc[table["unique_id"].isin(ids)]  # a series without demand by then changes nothing
                own = own.sort_values(list(order), kind="stable", ignore_index=True)
                digest.update("|".join(map(str, own.columns)).encode())
                digest.update(pd.util.hash_pandas_object(own, index=False).to_numpy().tobytes())
        return digest.hexdigest()

    @property
    def late_rows(self) -> int:
        """Rows that came in after their day."""
        return len(self._late)

    def panel(self, day: date) -> Panel:
        """What was known at the end of `day`: rows up to it that had arrived, plans up to the end of the horizon."""
        stamp = np.datetime64(day, "ns")
        waiting = self._late[(np.asarray(self._arrived) > stamp) & (self._days[self._late] <= stamp)]
        if len(waiting):
            known = self._rows.copy()
            known.loc[waiting, ["y", *_optional(self.given.regressors, known)]] = np.nan
            panel = self.given.panel(known.loc[self._days <= stamp], day)
        else:
            panel = _without_empty(self.whole.upto(day), self.given.regressors)
        return _plans_until(panel, day + timedelta(days=self.config.horizon * self.config.step_days))

    def _sheet(self) -> Sheet:
        config, history = self.config, self.whole.history
        before = config.in_steps(max(config.drift.reference_days + config.drift.window_days,
                                     config.orders.history_days + config.business.protection_days))  # fmt: skip
        ids = self.whole.ids
        size = (before + config.steps, len(ids))
        back = (pd.Timestamp(config.end) - history["ds"]).dt.days.to_numpy() // config.step_days
        row = before + config.steps - 1 - back
        inside = row >= 0
        at = (row[inside], np.searchsorted(ids, history["unique_id"].to_numpy()[inside]))

        def table(values: np.ndarray, empty: Any, kind: str) -> np.ndarray:
            out = np.full(size, empty, dtype=kind)
            out[at] = values[inside]
            return out

        y = table(history["y"].to_numpy(), np.nan, "float64")
        closed = table(history["closed"].to_numpy(), False, "bool")
        exists = table(np.ones(len(history), dtype=bool), False, "bool")
        own = np.arange(size[0], dtype="int32") - before
        arrives = np.repeat(own[:, None], size[1], axis=1)
        if len(self._late):
            late_row = before + config.steps - 1 - self._steps_back(self._days[self._late])
            came = config.steps - 1 - self._steps_back(np.asarray(self._arrived), up=True)
            column = np.searchsorted(ids, self._rows["unique_id"].to_numpy()[self._late])
            there = (
                (late_row >= 0) & (late_row < size[0]) & np.isin(self._rows["unique_id"].to_numpy()[self._late], ids)
            )
            came = np.where(came >= config.steps, NEVER, came).astype("int32")
            arrives[late_row[there], column[there]] = np.maximum(arrives[late_row[there], column[there]], came[there])
        skipped = {"unique_id", "ds", "y", "censored", "closed"}
        inputs = {
            name: table(history[name].to_numpy(dtype="float64"), np.nan, "float64")
            for name in history.columns if name not in skipped
        }  # fmt: skip
        return Sheet(ids, before, y, closed, exists, arrives, inputs)

    def _steps_back(self, days: np.ndarray, *, up: bool = False) -> np.ndarray:
        """Steps between a day and the last of the replay; a moment inside of a step counts to that step's end."""
        whole = (np.datetime64(self.config.end, "D") - days.astype("datetime64[D]")).astype("int64")
        return np.asarray(whole // self.config.step_days)

    def names(self, ids: np.ndarray) -> list[str]:
        """What people call these series."""
        return [self.given.names.get(int(i), str(int(i))) for i in ids]


def panel_sha256(panel: Panel, names: Mapping[int, str]) -> str:
    """Identity of what a panel's history says, series named as people do; the proof of what a training saw."""
    digest, history = hashlib.sha256(), panel.history
    digest.update("|".join(names.get(int(i), str(int(i))) for i in panel.ids).encode())
    for column in sorted(history.columns):
        values = history[column].to_numpy()
        if column == "unique_id":
            values = np.searchsorted(panel.ids, values)
        kind = "float64" if values.dtype.kind == "f" else "int64"
        digest.update(column.encode() + np.ascontiguousarray(values.astype(kind)).tobytes())
    return digest.hexdigest()


def _plans_until(panel: Panel, last: date) -> Panel:
    if panel.future is None:
        return panel
    kept = (panel.future["ds"] <= pd.Timestamp(last)).to_numpy()
    return replace(panel, future=panel.future.loc[kept].reset_index(drop=True))


def _optional(regressors: RegressorSet, table: pd.DataFrame) -> list[str]:
    """Columns of a row that are known with it, not ahead."""
    names = dict.fromkeys((*VALUE_COLUMNS, *regressors.historic_only))
    return [name for name in names if name in table.columns and name not in regressors.known_future]


def _without_empty(panel: Panel, regressors: RegressorSet) -> Panel:
    """Without the optional columns that nobody had seen a value of by then."""
    empty = [name for name in _optional(regressors, panel.history) if panel.history[name].isna().all()]
    return replace(panel, history=panel.history.drop(columns=empty)) if empty else panel
