"""How often intervals hold: by demand class and week ahead, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.bootstrap import MIN_SERIES, resampled_totals
from forecasting.engine.scores import NO_ROWS

ALL = "*"
LEVELS = (80, 95)
RESAMPLES = 500


@dataclass(frozen=True)
class Coverage:
    """Share of actuals inside the interval of one level, for a demand class and a week ahead ("*": all).

    below, above: shares under and over it. low, high: central 95% of `share` when series are drawn anew (cluster
    bootstrap: days of one series err together, so that a binomial interval would be too narrow). n, series: rows and
    series behind it. A share without rows is None, a band from fewer than five series, too; `reason` says why.
    """

    level: int
    demand_class: str
    week: str
    share: float | None
    below: float | None
    above: float | None
    low: float | None
    high: float | None
    n: int
    series: int
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)


def coverage_table(
    frame: pd.DataFrame, classes: pd.Series, *, week_steps: int = 7, seed: int = 2017
) -> tuple[Coverage, ...]:
    """One cell for each level, demand class and week ahead, and for all of each ("*"), in that order.

    frame: unique_id, h, y, censored and lo80, hi80, lo95, hi95; without intervals there are no cells. classes: index
    unique_id. Closed and stocked-out days are left out, as from every score.
    """
    if not all(f"{side}{level}" in frame.columns for level in LEVELS for side in ("lo", "hi")):
        return ()
    rows = frame.loc[~frame["censored"] & frame["y"].notna() & frame["lo80"].notna()]
    ids, series = np.unique(rows["unique_id"].to_numpy(), return_inverse=True)
    kind = rows["unique_id"].map(classes).fillna(ALL).astype(str).to_numpy()
    week = ((rows["h"].to_numpy() - 1) // week_steps + 1).astype(int)
    names = [*sorted(set(kind) - {ALL}), ALL]
    weeks = [*(str(w) for w in sorted(set(week.tolist()))), ALL]
    y = rows["y"].to_numpy(dtype="float64")
    under = {level: y < rows[f"lo{level}"].to_numpy() for level in LEVELS}
    over = {level: y > rows[f"hi{level}"].to_numpy() for level in LEVELS}
    masks = {
        (name, w): ((kind == name) | (name == ALL)) & ((week == (int(w) if w != ALL else 0)) | (w == ALL))
        for name in names
        for w in weeks
    }
    counts = {key: _per_series(series, mask, len(ids)) for key, mask in masks.items()}
    cells = [(level, *key) for level in LEVELS for key in masks]
    inside = {
        (level, *key): _per_series(series, mask & ~under[level] & ~over[level], len(ids))
        for level in LEVELS
        for key, mask in masks.items()
    }
    bands = _bands([inside[cell] for cell in cells], [counts[cell[1:]] for cell in cells], seed)
    out = []
    for (level, name, w), band in zip(cells, bands, strict=True):
        mask = masks[name, w]
        out.append(_cell(level, name, w, (under[level][mask], over[level][mask]), counts[name, w], band))
    return tuple(out)


def _per_series(series: np.ndarray, mask: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(series[mask], minlength=n).astype("float64")


def _bands(inside: Sequence[np.ndarray], counts: Sequence[np.ndarray], seed: int) -> list[tuple[float, float] | None]:
    """The central 95% of each share over resampled series; None where too few series have such rows."""
    if not inside or len(inside[0]) < MIN_SERIES:
        return [None] * len(inside)
    totals = resampled_totals(np.column_stack([*inside, *counts]), seed=seed, resamples=RESAMPLES)
    out: list[tuple[float, float] | None] = []
    for number, count in enumerate(counts):
        top, bottom = totals[:, number], totals[:, len(inside) + number]
        drawn = bottom > 0
        if (count > 0).sum() < MIN_SERIES or not drawn.any():
            out.append(None)
            continue
        low, high = np.quantile(top[drawn] / bottom[drawn], [0.025, 0.975])
        out.append((float(low), float(high)))
    return out


def _cell(
    level: int,
    name: str,
    week: str,
    out: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    band: tuple[float, float] | None,
) -> Coverage:
    n, series = len(out[0]), int((counts > 0).sum())
    if not n:
        return Coverage(level, name, week, None, None, None, None, None, 0, 0, NO_ROWS)
    below, above = float(out[0].mean()), float(out[1].mean())
    share = float((~out[0] & ~out[1]).mean())
    if band is None:
        few = f"{series} series are too few to resample (at least {MIN_SERIES})"
        return Coverage(level, name, week, share, below, above, None, None, n, series, few)
    return Coverage(level, name, week, share, below, above, *band, n, series)


def interval_scores(rows: pd.DataFrame, scales: pd.DataFrame) -> Mapping[str, float | None]:
    """Winkler80 (by the seasonal-naive error before the origin) and coverage80 of known rows with lo80 and hi80.

    rows: unique_id, origin, y, lo80, hi80. None where no row has a scale above zero. Source: Winkler (1972).
    """
    table = rows.merge(scales[["unique_id", "origin", "mase_scale"]], on=["unique_id", "origin"], how="left")
    table = table.loc[table["mase_scale"] > 0]
    if not len(table):
        return {"winkler80": None, "coverage80": None}
    y, low, high = (table[name].to_numpy(dtype="float64") for name in ("y", "lo80", "hi80"))
    width = (high - low) + 10.0 * np.maximum(low - y, 0.0) + 10.0 * np.maximum(y - high, 0.0)
    inside = float(((y >= low) & (y <= high)).mean())
    return {"winkler80": float((width / table["mase_scale"].to_numpy()).mean()), "coverage80": inside}
