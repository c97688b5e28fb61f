"""The sums that scores are made of: of some rows at a time, added up by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from forecasting.engine.paths import path_begins

PARTS = (
    "n", "actual", "absolute", "error", "in80", "in95", "interval", "intervals", "pinball", "naive", "beside_naive",
    "both", "paths", "rmsse", "rmsses", "wrmsse", "weight", "mase", "mases",
)  # fmt: skip
"""n, paths, both and the plural ones count rows or paths; beside_naive: absolute errors where naive has a forecast."""
_PLACE = {name: place for place, name in enumerate(PARTS)}


@dataclass(frozen=True)
class Rows:
    """What the scores need of each row, measured once; the groups only add it up. None where the forecasts lack it.

    path: number of the series at its origin. inside: level -> whether the actual lies in the interval. interval:
    Winkler's score of the 80% interval in units. pinball: mean over the stored quantiles.
    """

    y: np.ndarray
    error: np.ndarray
    path: np.ndarray
    rmsse_scale: np.ndarray
    mase_scale: np.ndarray
    weight: np.ndarray
    inside: Mapping[int, np.ndarray]
    interval: np.ndarray | None
    pinball: np.ndarray | None
    naive: np.ndarray | None

    @classmethod
    def of(cls, table: pd.DataFrame, scales: Mapping[str, np.ndarray], grid: pd.DataFrame | None) -> Rows:
        """From known rows whose paths stand together, their scales (rmsse_scale, mase_scale, weight: one for each row,
        NaN where there is none) and their quantiles (one column per probability)."""
        y, interval = table["y"].to_numpy(dtype="float64"), None
        inside = {}
        for level in (80, 95):
            if f"lo{level}" in table.columns:
                low, high = table[f"lo{level}"].to_numpy(), table[f"hi{level}"].to_numpy()
                inside[level] = (y >= low) & (y <= high)
                if level == 80:
                    interval = (high - low) + 10.0 * np.maximum(low - y, 0) + 10.0 * np.maximum(y - high, 0)
        begins = path_begins(table)
        return cls(
            y=y,
            error=table["yhat"].to_numpy(dtype="float64") - y,
            path=np.arange(len(begins)).repeat(np.diff(begins, append=len(table))),
            **scales,
            inside=inside,
            interval=interval,
            pinball=None if grid is None else _pinball(y, grid),
            naive=table["naive"].to_numpy(dtype="float64") if "naive" in table.columns else None,
        )


def _pinball(y: np.ndarray, grid: pd.DataFrame) -> np.ndarray:
    """Mean pinball loss of each row over its quantiles (one column per probability)."""
    total = np.zeros(len(y))
    for level, column in zip(np.asarray(grid.columns, dtype="float64"), grid.to_numpy("float64").T, strict=True):
        off = y - column
        total += np.maximum(level * off, (level - 1.0) * off)
    return np.asarray(total / len(grid.columns))


@dataclass
class Tally:
    """Sums by group name: one number for each of PARTS."""

    sums: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, rows: Rows, code: np.ndarray, names: Sequence[str]) -> None:
        """Rows of whole paths; code: the group of each, as a position in `names`."""
        added = np.zeros((len(names), len(PARTS)))
        for name, values in {**_of_rows(rows, code, len(names)), **_of_paths(rows, code, len(names))}.items():
            added[:, _PLACE[name]] = values
        for name, row in zip(names, added, strict=True):
            self.sums[name] = self.sums[name] + row if name in self.sums else row

    def table(self) -> tuple[list[str], dict[str, np.ndarray]]:
        """The groups in order, and each part's sum of each of them."""
        names = sorted(self.sums)
        sums = np.array([self.sums[name] for name in names]).reshape(len(names), len(PARTS))
        return names, dict(zip(PARTS, sums.T, strict=True))


def _of_rows(rows: Rows, code: np.ndarray, groups: int) -> dict[str, np.ndarray]:
    """Sums over the rows of each group."""

    def total(values: np.ndarray, of: np.ndarray | slice = slice(None)) -> np.ndarray:
        return np.bincount(code[of], values[of], minlength=groups)

    def count(of: np.ndarray) -> np.ndarray:
        return np.bincount(code[of], minlength=groups)

    out = {
        "n": np.bincount(code, minlength=groups),
        "actual": total(np.abs(rows.y)),
        "absolute": total(np.abs(rows.error)),
        "error": total(rows.error),
        **{f"in{level}": count(found) for level, found in rows.inside.items()},
    }
    if rows.interval is not None:
        usable = rows.mase_scale > 0
        scaled = rows.interval / np.where(usable, rows.mase_scale, 1.0)
        out |= {"interval": total(scaled, usable), "intervals": count(usable)}
    if rows.pinball is not None:
        out["pinball"] = total(rows.pinball)
    if rows.naive is not None:
        both = np.isfinite(rows.naive)
        beside = total(np.abs(rows.error), both)
        out |= {"naive": total(np.abs(rows.y - rows.naive), both), "beside_naive": beside, "both": count(both)}
    return out


def _of_paths(rows: Rows, code: np.ndarray, groups: int) -> dict[str, np.ndarray]:
    """Sums over the paths of each group: a group may have a part of a path (one of its weeks)."""
    key = code * (int(rows.path.max(initial=0)) + 1) + rows.path
    path, begin = pd.factorize(key)[0], np.flatnonzero(~pd.Series(key).duplicated().to_numpy())
    of_path, n = code[begin], np.bincount(path)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(path, values, minlength=len(begin)) / n)

    def total(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
        return np.bincount(of_path[usable], values[usable], minlength=groups)

    weight, roots, means = rows.weight[begin], rows.rmsse_scale[begin], rows.mase_scale[begin]
    rooted, meant = roots > 0, means > 0
    rmsse = np.sqrt(mean(rows.error**2) / np.where(rooted, roots, 1.0))
    mase = mean(np.abs(rows.error)) / np.where(meant, means, 1.0)
    return {
        "paths": np.bincount(of_path, minlength=groups),
        "rmsse": total(rmsse, rooted),
        "rmsses": np.bincount(of_path[rooted], minlength=groups),
        "wrmsse": total(rmsse * weight, rooted),
        "weight": total(weight, rooted),
        "mase": total(mase, meant),
        "mases": np.bincount(of_path[meant], minlength=groups),
    }
