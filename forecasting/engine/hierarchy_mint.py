"""MinT: forecasts of the nodes' own models change those of the series, so that both agree and errors cancel out.

Source: Wickramasuriya, Athanasopoulos and Hyndman (2019), with the variances of the rolling-origin errors as weights
("wls_var"), and non-negative by quadratic programming (Wickramasuriya, Turlach and Hyndman 2020). Where no forecast
would be negative, the closed form is the answer, written for the few nodes; where one would, the solver is
hierarchicalforecast's. The result is a forecast of the series; the nodes are then summed up as always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.hierarchy import Node, Tree

MIN_VARIANCE = 1e-6
"""Of a series that was never wrong: as good as certain, and the weights stay finite."""


@dataclass(frozen=True)
class Variances:
    """Mean squared error of each series (by id) and of each node's own model, in units², from rolling origins."""

    series: Mapping[int, float]
    nodes: Mapping[Node, float]

    @classmethod
    def of(cls, series: pd.DataFrame, nodes: pd.DataFrame, tree: Tree) -> Variances:
        """From rows (unique_id, y, yhat) of series and of nodes; where y or yhat is unknown a row says nothing."""
        by_number = _mean_squares(nodes)
        return cls(
            _mean_squares(series), {tree.nodes[number - 1]: value for number, value in sorted(by_number.items())}
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "series": {str(key): value for key, value in self.series.items()},
            "nodes": [[*node, value] for node, value in self.nodes.items()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Variances:
        """Inverse of `to_json`."""
        nodes = {Node(level, key): value for level, key, value in data["nodes"]}
        return cls({int(key): value for key, value in data["series"].items()}, nodes)


def _mean_squares(rows: pd.DataFrame) -> dict[int, float]:
    square = (rows["y"] - rows["yhat"]) ** 2
    found = square.groupby(rows["unique_id"]).mean().dropna()
    return {
        int(key): max(float(value), MIN_VARIANCE)
        for key, value in zip(found.index.to_numpy(), found.to_numpy(), strict=True)
    }


def reconcile(series: pd.DataFrame, nodes: pd.DataFrame, tree: Tree, variances: Variances) -> pd.Series:
    """The reconciled yhat of each row of `series` (its index), >= 0.

    series: unique_id, ds, yhat; nodes: the same of the nodes' own models, unique_id being their numbers in `tree`. Each
    (series or node) × ds once. A series without a variance (it is new) is taken to err by its whole mean forecast; a
    node without one takes no part.
    """
    ids = np.sort(series["unique_id"].unique())
    days = np.sort(series["ds"].unique())
    known = {number + 1: variances.nodes[node] for number, node in enumerate(tree.nodes) if node in variances.nodes}
    upper = nodes.loc[nodes["unique_id"].isin(list(known)) & nodes["yhat"].notna() & nodes["ds"].isin(days)]
    whole = upper.groupby("unique_id").size()
    numbers = np.sort(whole.index[whole == len(days)].to_numpy())
    if not len(numbers):
        return series["yhat"].astype("float64")
    bottom = _matrix(series, ids, days)
    own = pd.Series(ids).map(dict(variances.series)).to_numpy(dtype="float64")
    guessed = np.maximum(bottom.mean(axis=1) ** 2, MIN_VARIANCE)
    spread = np.sqrt([*(known[int(n)] for n in numbers), *np.where(np.isnan(own), guessed, own)])
    summing = np.vstack([tree.matrix(ids, numbers), np.eye(len(ids))])
    made = _solve(np.vstack([_matrix(upper, numbers, days), bottom]), summing, spread)
    row, column = np.searchsorted(ids, series["unique_id"]), np.searchsorted(days, series["ds"])
    return pd.Series(np.maximum(made[row, column], 0.0), index=series.index)


def _matrix(rows: pd.DataFrame, ids: np.ndarray, days: np.ndarray) -> np.ndarray:
    """ids × days of yhat. Raises ValueError where one is missing."""
    out = np.full((len(ids), len(days)), np.nan)
    out[np.searchsorted(ids, rows["unique_id"]), np.searchsorted(days, rows["ds"])] = rows["yhat"].to_numpy()
    if np.isnan(out).any():
        raise ValueError("a forecast is missing: every series needs one for every day")
    return out


def _solve(base: np.ndarray, summing: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Reconciled forecasts of the series (the last rows of `summing`), from base forecasts with these deviations.

    The closed form where it is nowhere negative; the days on which it is are solved under the constraint.
    """
    count = len(base) - summing.shape[1]
    above, upper, bottom = summing[:count], base[:count], base[count:]
    variance = spread**2
    weighed = above * variance[count:]
    # b + W A' (A W A' + V)^-1 (u - A b): the estimator of the paper with an equation for each node, not each series.
    gap = np.linalg.solve(weighed @ above.T + np.diag(variance[:count]), upper - above @ bottom)
    made: np.ndarray = bottom + weighed.T @ gap
    negative = (made < 0).any(axis=0)
    if negative.any():
        made[:, negative] = _constrained(base[:, negative], summing, spread)
    return made


def _constrained(base: np.ndarray, summing: np.ndarray, spread: np.ndarray) -> np.ndarray:
    from hierarchicalforecast.methods import MinTraceSparse
    from scipy import sparse

    # This solver takes the sample variance of its residuals: two of each, whose variance is the one wanted. In units of
    # the widest, because its tolerance is absolute and the problem has no unit of its own.
    unit = float(spread.max())
    half = spread / unit / np.sqrt(2.0)
    made = MinTraceSparse(method="wls_var", nonnegative=True, num_threads=1).fit_predict(
        S=sparse.csr_matrix(summing),
        y_hat=base / unit,
        y_insample=np.column_stack([half, -half]),
        y_hat_insample=np.zeros((len(spread), 2)),
    )
    return np.asarray(made["mean"])[-summing.shape[1] :] * unit
