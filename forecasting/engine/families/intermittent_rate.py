"""What a sparse series sells a step: the members of statsforecast's intermittent family, and a weekday profile on top.

A member gives one rate for all steps ahead. The profile spreads it over the week: a store's sparse articles sell when
its other articles do, so a series' own weekdays are shrunk to those of its store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.panel import STEP_DAYS, Panel

TSB_SIZE = 0.1
MEMBERS: dict[str, float | None] = {
    "croston_sba": None, "tsb_0.02": 0.02, "tsb_0.05": 0.05, "tsb_0.1": 0.1, "tsb_0.2": 0.2, "adida": None,
    "imapa": None,
}  # fmt: skip
"""Name of each member and its smoothing of the demand probability (TSB); the size of a sale is smoothed by TSB_SIZE."""
CAP_SALES = 20.0
"""A day is cut at this many median sales: one absurd day does not make a rate."""
WEEK = 7
PROFILE_STEPS = 182
PRIOR_SALES = 10.0
"""How many sales of its own, on one weekday, weigh as much as what the store says of that weekday."""


@dataclass(frozen=True)
class Grid:
    """Demand as a matrix: one row a series (in the order of `ids`), one column a step, the panel's last day at the end.

    y: NaN before a series began and on censored days. weekday: of each column (0 is Monday).
    """

    ids: np.ndarray
    y: np.ndarray
    weekday: np.ndarray

    def take(self, rows: np.ndarray) -> Grid:
        """Only these rows (positions)."""
        return Grid(self.ids[rows], self.y[rows], self.weekday)


def grid_of(panel: Panel) -> Grid:
    """The panel's history as a matrix."""
    history = panel.history
    last = history["ds"].max()
    back = ((last - history["ds"]) // panel.step).to_numpy()
    ids, row = np.unique(history["unique_id"].to_numpy(), return_inverse=True)
    steps = int(back.max()) + 1
    y = np.full((len(ids), steps), np.nan)
    y[row, steps - 1 - back] = history["y"].to_numpy()
    weekday = (int(last.dayofweek) - np.arange(steps - 1, -1, -1) * STEP_DAYS[panel.grain]) % WEEK
    return Grid(ids, y, weekday)


@cache
def _models() -> dict[str, Any]:
    """The library's models by name. Imported here, so that a panel without sparse series never pays for it (1 s)."""
    from statsforecast.models import ADIDA, IMAPA, TSB, CrostonSBA

    plain = {"croston_sba": CrostonSBA(), "adida": ADIDA(), "imapa": IMAPA()}
    return {n: plain[n] if a is None else TSB(alpha_d=TSB_SIZE, alpha_p=a) for n, a in MEMBERS.items()}


def observed(row: np.ndarray) -> np.ndarray:
    """One series without its unknown days, each day cut at CAP_SALES median sales."""
    known = row[np.isfinite(row)]
    sales = known[known > 0]
    return np.asarray(np.minimum(known, CAP_SALES * np.median(sales))) if len(sales) else known


def rates(row: np.ndarray, members: Sequence[str]) -> list[float]:
    """Units a step that each member expects of one series (NaN on unknown days); 0 where it never sold."""
    known = observed(row)
    if not known.any():
        return [0.0] * len(members)
    models = _models()
    made = [float(models[name].forecast(y=known, h=1)["mean"][0]) for name in members]
    top = float(known.max())
    return [min(max(rate, 0.0), top) if np.isfinite(rate) else float(known.mean()) for rate in made]


def store_profiles(grid: Grid, stores: pd.Series, upto: int | None = None) -> dict[str, np.ndarray]:
    """Weekday profile (7 factors, mean 1) of each store, and of all under "". Every series of a store counts alike.

    stores: index unique_id, store as text. upto: only the columns before this one are looked at.
    """
    y, weekday = _recent(grid, upto)
    known = np.isfinite(y)
    total, count = np.where(known, y, 0.0).sum(axis=1), known.sum(axis=1)
    sold = total > 0
    relative = np.where(known, y, 0.0)[sold] / (total / np.maximum(count, 1))[sold, None]
    sums, counts = _by_weekday(relative, weekday), _by_weekday(known[sold].astype("float64"), weekday)
    of_row = stores.reindex(grid.ids).fillna("").astype(str).to_numpy()[sold]
    out = {"": _normal(sums.sum(axis=0), counts.sum(axis=0))}
    for store in sorted(set(of_row) - {""}):
        mine = of_row == store
        out[store] = _normal(sums[mine].sum(axis=0), counts[mine].sum(axis=0))
    return out


def own_profiles(grid: Grid, prior: np.ndarray, upto: int | None = None) -> np.ndarray:
    """Weekday profile of each series (series × 7, mean 1), shrunk to `prior` (series × 7)."""
    y, weekday = _recent(grid, upto)
    known, sale = np.isfinite(y), np.nan_to_num(y) > 0
    total, sales, count = np.nansum(y, axis=1), sale.sum(axis=1), known.sum(axis=1)
    size = total / np.maximum(sales, 1)
    mean = total / np.maximum(count, 1)
    lean = (PRIOR_SALES * size)[:, None]
    sums, counts = _by_weekday(np.nan_to_num(y), weekday), _by_weekday(known.astype("float64"), weekday)
    below = mean[:, None] * counts + lean
    factors = np.where(below > 0, (sums + lean * prior) / np.where(below > 0, below, 1.0), prior)
    level = factors.mean(axis=1, keepdims=True)
    return np.asarray(np.where(level > 0, factors / np.where(level > 0, level, 1.0), 1.0))


def _recent(grid: Grid, upto: int | None) -> tuple[np.ndarray, np.ndarray]:
    end = grid.y.shape[1] if upto is None else upto
    start = max(end - PROFILE_STEPS, 0)
    return grid.y[:, start:end], grid.weekday[start:end]


def _by_weekday(values: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    return np.stack([values[:, weekday == day].sum(axis=1) for day in range(WEEK)], axis=1)


def _normal(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    factors = np.where(counts > 0, sums / np.maximum(counts, 1.0), 1.0)
    return np.asarray(factors / factors.mean()) if factors.mean() > 0 else np.ones(WEEK)
