"""Sparse demand (intermittent and lumpy): Croston's descendants from statsforecast, one chosen for each series.

The choice is made on days before the origin; new days enter the rate and the weekday profile without a refit.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.base import Fitted, horizon_frame
from forecasting.engine.families.intermittent_rate import (
    MEMBERS,
    WEEK,
    Grid,
    grid_of,
    own_profiles,
    rates,
    store_profiles,
)
from forecasting.engine.features import unsold
from forecasting.engine.panel import Panel, classify
from forecasting.engine.types import DemandClass, ModelSpec

FILE = "intermittent.json"
SPARSE = (DemandClass.INTERMITTENT.value, DemandClass.LUMPY.value)
FOLDS = 4
LONGEST_FOLD = {"D": 28, "W": 8}
LEAST_STEPS = {"D": 28, "W": 8}
"""History before the first inner fold."""
LEAST_SALES = 2
LEAN_SALES = 30.0
"""How many sales in the inner folds weigh as much as what served all the others best."""
PROFILE_WEEKS = 8
DEFAULT = "tsb_0.05"


@dataclass(frozen=True)
class FittedIntermittent:
    """The member of each series, what serves a series that came later, and the weekday profiles of the stores.

    state: trained_until, grain, choice {series: member}, default, profiles {store: 7 factors, "" for all}. A member
    with "+weekday" has the profile multiplied onto its rate.
    """

    state: dict[str, Any]
    declined: pd.DataFrame
    family: str = "intermittent"

    @property
    def trained_until(self) -> date:
        """Last day it has chosen on."""
        return date.fromisoformat(self.state["trained_until"])

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Each series' rate of today, shaped by its week, at the `horizon` steps after the panel's last day; columns
        unique_id, ds, yhat."""
        made = self.taken_apart(panel, horizon)
        return made[["unique_id", "ds"]].assign(yhat=made["rate"] * made["factor"])

    def taken_apart(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """What each forecast is made of: columns unique_id, ds, rate (units a step), factor (of the weekday)."""
        served = self._served(panel)
        out = horizon_frame(panel, horizon, list(served))
        if not served:
            return out.assign(rate=pd.Series(dtype="float64"), factor=pd.Series(dtype="float64"))
        grid = grid_of(panel.subset(served))
        names = [served[int(i)].removesuffix("+weekday") for i in grid.ids]
        level = np.array([rates(row, [name])[0] for row, name in zip(grid.y, names, strict=True)])
        level[np.isin(grid.ids, unsold(panel))] = 0.0
        shaped = np.array([served[int(i)].endswith("+weekday") for i in grid.ids])
        prior = _priors(grid, _stores(panel), {k: np.array(v) for k, v in self.state["profiles"].items()})
        factors = np.where(shaped[:, None], own_profiles(grid, prior), 1.0)
        day = out["ds"].dt.dayofweek.to_numpy().reshape(len(grid.ids), horizon)
        return out.assign(rate=np.repeat(level, horizon), factor=np.take_along_axis(factors, day, axis=1).ravel())

    def _served(self, panel: Panel) -> dict[int, str]:
        """unique_id -> member, in the panel's order; a sparse series that came after the fit has the default."""
        choice = self.state["choice"]
        refused = set(self.declined["unique_id"].tolist())
        new = [int(i) for i in panel.ids if str(int(i)) not in choice and int(i) not in refused]
        classes = classify(panel.subset(new)) if new else pd.Series(dtype=object)
        late = {i for i in new if classes[i] in SPARSE}
        known = (int(i) for i in panel.ids)
        return {i: choice.get(str(i), self.state["default"]) for i in known if str(i) in choice or i in late}

    def describe(self) -> dict[str, Any]:
        """How many series each member serves, and what a new series gets."""
        return {
            "family": self.family,
            "trained_until": self.state["trained_until"],
            "series": len(self.state["choice"]),
            "declined": len(self.declined),
            "members": dict(sorted(Counter(self.state["choice"].values()).items())),
            "default": self.state["default"],
        }

    def save(self, directory: Path) -> list[str]:
        """One JSON file."""
        body = {"state": self.state, "declined": self.declined.to_dict("list")}
        (directory / FILE).write_text(json.dumps(body, sort_keys=True, allow_nan=False), encoding="utf-8")
        return [FILE]


class Intermittent:
    """Family `intermittent`."""

    name = "intermittent"
    can_roll = True

    def fit(
        self, panel: Panel, spec: ModelSpec, *, executor: Executor | None = None, start: Fitted | None = None
    ) -> FittedIntermittent:
        """Choose a member for each sparse series; smooth and erratic ones are declined. Milliseconds a series, so that
        the executor is not needed."""
        reasons = _declines(panel)
        grid = grid_of(panel)
        stores = _stores(panel)
        sparse = grid.take(np.flatnonzero(~np.isin(grid.ids, list(reasons))))
        candidates = _candidates(panel)
        loss, sales = _inner_loss(grid, sparse, stores, candidates, spec)
        chosen, default = _choose(loss, sales, candidates)
        shaped = spec.grain == "D" and len(sparse.ids) > 0
        profiles = store_profiles(grid, stores) if shaped else {"": np.ones(WEEK)}
        state = {
            "trained_until": str(panel.last_day),
            "grain": spec.grain,
            "choice": {str(int(i)): name for i, name in zip(sparse.ids, chosen, strict=True)},
            "default": default,
            "profiles": {store: factors.tolist() for store, factors in profiles.items()},
        }
        declined = pd.DataFrame({"unique_id": list(reasons), "reason": list(reasons.values())})
        return FittedIntermittent(state, declined.astype({"unique_id": "int64", "reason": "object"}))

    def load(self, directory: Path) -> FittedIntermittent:
        """Read what `save` wrote."""
        body = json.loads((directory / FILE).read_text(encoding="utf-8"))
        declined = pd.DataFrame(body["declined"], columns=["unique_id", "reason"])
        return FittedIntermittent(body["state"], declined.astype({"unique_id": "int64", "reason": "object"}))


def _declines(panel: Panel) -> dict[int, str]:
    classes = classify(panel)
    known = panel.history.loc[panel.history["y"].notna()].groupby("unique_id")["y"].size()
    reasons = {}
    for series in panel.ids:
        if classes[series] not in SPARSE:
            reasons[int(series)] = f"demand is {classes[series]}"
        elif int(known.get(series, 0)) < 1:
            reasons[int(series)] = "no day of it is known"
    return reasons


def _stores(panel: Panel) -> pd.Series:
    """Store of each series as text (index unique_id); one nameless store where the panel knows none."""
    table = panel.static.set_index("unique_id")
    if "store_id" not in table.columns:
        return pd.Series("", index=table.index)
    return table["store_id"].fillna("").astype(str)


def _priors(grid: Grid, stores: pd.Series, profiles: dict[str, np.ndarray]) -> np.ndarray:
    names = stores.reindex(grid.ids).fillna("")
    return np.array([profiles.get(name, profiles[""]) for name in names]).reshape(len(grid.ids), WEEK)


def _candidates(panel: Panel) -> list[str]:
    """Names of what is compared: the members, and with enough daily history each with the weekday profile."""
    if panel.grain != "D" or panel.days < PROFILE_WEEKS * WEEK:
        return list(MEMBERS)
    return [name + shape for name in MEMBERS for shape in ("", "+weekday")]


def _inner_loss(
    grid: Grid, sparse: Grid, stores: pd.Series, candidates: list[str], spec: ModelSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Summed squared error of each candidate (series × candidates) in the last days before the origin, and the number
    of sales in them; 0 and 0 where a series is too young to be asked.

    The error is squared, because a rate is a mean: the absolute error of sparse demand is least for a forecast of 0.
    """
    length = min(spec.horizon, LONGEST_FOLD[spec.grain])
    steps = grid.y.shape[1]
    loss, sales = np.zeros((len(sparse.ids), len(candidates))), np.zeros(len(sparse.ids))
    starts = [steps - k * length for k in range(FOLDS, 0, -1) if steps - k * length >= LEAST_STEPS[spec.grain]]
    shaped = any(name.endswith("+weekday") for name in candidates)
    for first in starts if len(sparse.ids) else []:
        ready = np.flatnonzero((np.nan_to_num(sparse.y[:, :first]) > 0).sum(axis=1) >= LEAST_SALES)
        if not len(ready):
            continue
        part = sparse.take(ready)
        level = np.array([rates(row, tuple(MEMBERS)) for row in part.y[:, :first]])
        truth = np.minimum(part.y[:, first : first + length], 2.0 * np.nanmax(part.y[:, :first], axis=1)[:, None])
        flat = np.ones((len(ready), length))
        shape = flat
        if shaped:
            factors = own_profiles(part, _priors(part, stores, store_profiles(grid, stores, first)), first)
            shape = factors[:, part.weekday[first : first + length]]
        for column, name in enumerate(candidates):
            rate = level[:, list(MEMBERS).index(name.removesuffix("+weekday"))][:, None]
            error = truth - rate * (shape if name.endswith("+weekday") else flat)
            loss[ready, column] += np.nansum(error**2, axis=1)
        sales[ready] += (np.nan_to_num(truth) > 0).sum(axis=1)
    return loss, sales


def _choose(loss: np.ndarray, sales: np.ndarray, candidates: list[str]) -> tuple[list[str], str]:
    """The candidate of each series, and that of all together. A series with few sales leans on the others, because its
    own few days would choose by chance; ties go to the first."""
    fallback = DEFAULT + ("+weekday" if DEFAULT + "+weekday" in candidates else "")
    mean = loss.mean(axis=1, keepdims=True) if len(loss) else loss
    relative = np.where(mean > 0, loss / np.where(mean > 0, mean, 1.0), 1.0)
    if not sales.sum():
        return [fallback] * len(loss), fallback
    together = sales @ relative / sales.sum()
    scores = (sales[:, None] * relative + LEAN_SALES * together) / (sales[:, None] + LEAN_SALES)
    return [candidates[int(i)] for i in scores.argmin(axis=1)], candidates[int(together.argmin())]


FAMILY = Intermittent()
