"""Rolling-origin rows in pieces of whole paths, so that what is reckoned on the way need not be as large as the tenant.

A path is all rows of a series from one origin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

MOST_ROWS = 1 << 16
"""So many rows are reckoned with at once; one path more where a piece would end inside it."""


def path_order(frame: pd.DataFrame) -> np.ndarray | None:
    """Row positions in which the rows of each path stand together, in the order given; None where they do already.

    frame: unique_id, and origin where there is one.
    """
    series, origin = _keys(frame)
    if _ascending(series, origin) or _ascending(origin, series):
        return None
    return np.lexsort((origin, series))


def path_begins(frame: pd.DataFrame) -> np.ndarray:
    """Position of the first row of each path, their rows standing together."""
    series, origin = _keys(frame)
    if not len(series):
        return np.zeros(0, dtype="int64")
    return np.flatnonzero(np.concatenate(([True], (series[1:] != series[:-1]) | (origin[1:] != origin[:-1]))))


def pieces(frame: pd.DataFrame, most: int = MOST_ROWS) -> Iterator[slice]:
    """Slices that hold whole paths of a frame whose paths stand together (see `path_order`)."""
    begins, start = path_begins(frame), 0
    while start < len(frame):
        after = int(np.searchsorted(begins, start + most))
        stop = int(begins[after]) if after < len(begins) else len(frame)
        yield slice(start, stop)
        start = stop


def _keys(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    series = frame["unique_id"].to_numpy()
    if "origin" not in frame.columns:
        return series, np.zeros(len(frame), dtype="int64")
    return series, frame["origin"].to_numpy().astype("datetime64[ns]").view("int64")


def _ascending(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether rows are sorted by both."""
    return bool(((first[1:] > first[:-1]) | ((first[1:] == first[:-1]) & (second[1:] >= second[:-1]))).all())
