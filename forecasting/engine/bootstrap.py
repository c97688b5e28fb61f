"""Paired bootstrap over series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

RESAMPLES = 2000
MIN_SERIES = 5
MOST_COUNTS = 4_000_000
"""Draws (resamples × series) that are held at once, so that memory does not grow with the tenant."""


@dataclass(frozen=True)
class Evidence:
    """How sure it is that the candidate's total is lower than the champion's.

    p_lower: share of resamples in which it is (ties count half). change, low, high: the relative change of the total
    (candidate / champion - 1; or total / denominator, where one is given) with its central 95% interval.
    upper95: the one-sided 95% upper bound of the change. None with `reason` where it cannot be known.
    """

    p_lower: float | None
    change: float | None
    low: float | None
    high: float | None
    upper95: float | None
    n_series: int
    resamples: int
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)


def no_evidence(reason: str, n_series: int = 0) -> Evidence:
    """Evidence that could not be computed."""
    return Evidence(None, None, None, None, None, n_series, 0, reason)


def resampled_totals(amounts: np.ndarray, *, seed: int = 2017, resamples: int = RESAMPLES) -> np.ndarray:
    """Totals of each column of `amounts` (series × columns) in each resample (resamples × columns).

    Series are drawn with replacement, the same draw for all columns; the same seed and number of series draw the same.
    """
    n = len(amounts)
    chunk = max(MOST_COUNTS // n, 1)
    if resamples <= chunk:
        return np.asarray(_draws(n, seed, resamples).astype("float64") @ amounts)
    rng, share = np.random.default_rng(seed), np.full(n, 1.0 / n)
    parts = []
    for begin in range(0, resamples, chunk):
        counts = rng.multinomial(n, share, size=min(chunk, resamples - begin)).astype("float64")
        parts.append(counts @ amounts)
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def _draws(n: int, seed: int, resamples: int) -> np.ndarray:
    """How often each of n series is drawn in each resample. One decision compares several amounts of the same series by
    the same draw, and drawing takes most of the time; in the narrowest type, as it is kept."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=resamples)
    return counts.astype(np.min_scalar_type(n))


def paired_bootstrap(
    champion: pd.Series,
    candidate: pd.Series,
    *,
    denominator: pd.Series | None = None,
    seed: int = 2017,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Resample series (index unique_id) with replacement, the same draw for both sides; seeded, so repeatable.

    champion, candidate: cost or error of each series. Source: Efron and Tibshirani (1993), percentile bootstrap.
    """
    if not champion.index.equals(candidate.index):
        return no_evidence("champion and candidate do not cover the same series")
    n = len(champion)
    if n < MIN_SERIES:
        return no_evidence(f"{n} series are too few to resample (at least {MIN_SERIES})", n)
    a, b = champion.to_numpy(dtype="float64"), candidate.to_numpy(dtype="float64")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return no_evidence("a series has no cost", n)
    under = a if denominator is None else denominator.to_numpy(dtype="float64")
    # The difference is a column of its own: equal sides give exactly zero, however the sums are rounded.
    totals = resampled_totals(np.column_stack([under, b, b - a]), seed=seed, resamples=resamples)
    below, above, difference = totals.T
    base = float(under.sum())
    if not base > 0 or not (below > 0).any():
        return no_evidence("the champion's total is zero", n)
    lower = float(np.mean(difference < 0) + 0.5 * np.mean(difference == 0))
    usable = below > 0
    shift = 1.0 if denominator is None else 0.0
    relative = above[usable] / below[usable] - shift
    low, high, upper = (float(q) for q in np.quantile(relative, [0.025, 0.975, 0.95]))
    return Evidence(lower, float(b.sum()) / base - shift, low, high, upper, n, resamples)


def sure_lower(
    series: np.ndarray, origin: np.ndarray, champion: np.ndarray, candidate: np.ndarray, *, seed: int, resamples: int
) -> float:
    """Probability that the candidate's total is lower on other series and at other origins: both are drawn anew.

    series, origin, champion, candidate: one value a row (the last two its costs or errors). What helps at one origin
    alone is not sure, however many series share it. 0 where there are too few series to tell.
    """
    (_, row), (_, column) = (np.unique(key, return_inverse=True) for key in (series, origin))
    rows, columns = int(row.max(initial=-1)) + 1, int(column.max(initial=-1)) + 1
    if rows < MIN_SERIES:
        return 0.0
    difference = np.bincount(row * columns + column, candidate - champion, minlength=rows * columns)
    by_origin = resampled_totals(difference.reshape(rows, columns), seed=seed, resamples=resamples)
    drawn = np.random.default_rng([seed, columns]).multinomial(columns, np.full(columns, 1.0 / columns), size=resamples)
    totals = (by_origin * drawn).sum(axis=1)
    return float(np.mean(totals < 0) + 0.5 * np.mean(totals == 0))
