"""Paired bootstrap over series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

RESAMPLES = 2000
MIN_SERIES = 5


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
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=resamples).astype("float64")
    below, above = (counts @ a, counts @ b) if denominator is None else (counts @ denominator.to_numpy(), counts @ b)
    base = float(a.sum()) if denominator is None else float(denominator.sum())
    if not base > 0 or not (below > 0).any():
        return no_evidence("the champion's total is zero", n)
    lower = float(np.mean(counts @ b < counts @ a) + 0.5 * np.mean(counts @ b == counts @ a))
    usable = below > 0
    shift = 1.0 if denominator is None else 0.0
    relative = above[usable] / below[usable] - shift
    low, high, upper = (float(q) for q in np.quantile(relative, [0.025, 0.975, 0.95]))
    return Evidence(lower, float(b.sum()) / base - shift, low, high, upper, n, resamples)
