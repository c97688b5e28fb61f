"""Which rows a booster learns from, where a segment has more than its trees can use: recent days whole, older thinned.

A row of day t is kept with probability min(1, c / (1 + age / 91 days)), with c such that a group keeps `MOST_ROWS`, and
counts for as many rows as it stands for. A hash of its series and day decides: no draw that other rows could change.
"""

from __future__ import annotations

import numpy as np

from forecasting.engine.features_known import hashed

MOST_ROWS = 60_000
HALF_AGE = {"D": 91, "W": 13}
_BITS, _HALVINGS = 53, 60


def chosen_rows(ids: np.ndarray, day: np.ndarray, group: np.ndarray, grain: str) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are kept (positions, ascending), and how many rows each of them stands for.

    ids, day, group: series, number of the day and group of each row.
    """
    keep, counts = np.ones(len(day), dtype=bool), np.ones(len(day))
    for name in sorted(set(group)):
        rows = np.flatnonzero(group == name)
        if len(rows) <= MOST_ROWS:
            continue
        age = day[rows].max() - day[rows]
        share = _shares(np.bincount(age), HALF_AGE[grain])[age]
        keep[rows] = (hashed(ids[rows], day[rows]) >> np.uint64(64 - _BITS)) < share * 2.0**_BITS
        counts[rows] = 1.0 / share
    kept = np.flatnonzero(keep)
    return kept, counts[kept]


def _shares(rows: np.ndarray, half: int) -> np.ndarray:
    """The share that is kept of the rows of each age, so that `MOST_ROWS` are kept in all."""
    wanted = 1.0 / (1.0 + np.arange(len(rows)) / half)
    low, high = 0.0, 1.0 / wanted[-1]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if (np.minimum(1.0, middle * wanted) * rows).sum() > MOST_ROWS else (middle, high)
    return np.minimum(1.0, low * wanted)
