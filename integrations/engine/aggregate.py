"""Rows of one store, product and day become one: chunk by chunk, in memory bounded by the number of distinct days.

A key is one int64: store, product, day and whether the row is a return. All reductions run over stably sorted keys, so
the same rows in the same order always give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY_BITS, PRODUCT_BITS, STORE_BITS = 16, 24, 22
COMPACT_ROWS = 1_500_000
Columns = dict[str, NDArray[np.generic]]


class TooManyIds(ValueError):
    """More stores or products than a key can hold."""

    def __init__(self, kind: str, count: int, limit: int) -> None:
        self.kind, self.count, self.limit = kind, count, limit
        super().__init__(f"{count:,} different {kind} in one upload; {limit:,} is the limit. Send fewer at once.")


def pack_keys(
    stores: NDArray[np.int32], products: NDArray[np.int32], days: NDArray[np.int32], returns: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """One integer per row. Raises `TooManyIds`."""
    for kind, codes, bits in (("stores", stores, STORE_BITS), ("products", products, PRODUCT_BITS)):
        if codes.size and int(codes.max()) >= 1 << bits:
            raise TooManyIds(kind, int(codes.max()) + 1, 1 << bits)
    key = stores.astype(np.int64)
    key = (key << PRODUCT_BITS) | products
    key = (key << DAY_BITS) | days
    return (key << 1) | returns


def unpack_keys(
    keys: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Store codes, product codes, days and the return mark of packed keys."""
    rest = keys >> 1
    days = rest & ((1 << DAY_BITS) - 1)
    rest = rest >> DAY_BITS
    return rest >> PRODUCT_BITS, rest & ((1 << PRODUCT_BITS) - 1), days, (keys & 1).astype(np.bool_)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one column of several rows becomes one value: sum, max, first, last (row), last_known (not empty)."""

    how: str


def reduce_groups(
    keys: NDArray[np.int64], columns: Columns, rules: dict[str, Rule]
) -> tuple[NDArray[np.int64], Columns]:
    """Distinct sorted keys, and each column reduced by its rule; rows of equal key keep their order."""
    if not len(keys):
        return keys, columns
    if not bool((keys[1:] > keys[:-1]).all()):
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        columns = {name: values[order] for name, values in columns.items()}
    starts = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), keys[1:] != keys[:-1])))
    if len(starts) == len(keys):
        return keys, columns
    last = np.append(starts[1:], len(keys)) - 1
    return keys[starts], {name: _reduce(values, rules[name].how, starts, last) for name, values in columns.items()}


def _reduce(
    values: NDArray[np.generic], how: str, starts: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.generic]:
    if how == "sum":
        return np.asarray(np.add.reduceat(values, starts))
    if how == "max":
        return np.asarray(np.fmax.reduceat(values, starts))
    if how == "first":
        return values[starts]
    if how == "last":
        return values[last]
    known = ~np.isnan(values) if values.dtype.kind == "f" else np.greater_equal(values, 0)
    position = np.maximum.reduceat(np.where(known, np.arange(len(values)), -1), starts)
    return values[np.where(position >= 0, position, last)]


class Accumulator:
    """Collects reduced chunks and folds them together from time to time."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules
        self._parts: list[tuple[NDArray[np.int64], Columns]] = []
        self._rows = 0
        self._folded = 0

    def add(self, keys: NDArray[np.int64], columns: Columns) -> None:
        """Take a chunk's rows."""
        part = reduce_groups(keys, columns, self._rules)
        if not len(part[0]):
            return
        self._parts.append(part)
        self._rows += len(part[0])
        if self._rows - self._folded > max(COMPACT_ROWS, self._folded):
            self.result()

    def result(self) -> tuple[NDArray[np.int64], Columns]:
        """The distinct keys in order, with their columns."""
        if not self._parts:
            return np.zeros(0, np.int64), {}
        if len(self._parts) > 1:
            keys = np.concatenate([part[0] for part in self._parts])
            names = list(self._parts[0][1])
            columns = {name: np.concatenate([part[1][name] for part in self._parts]) for name in names}
            self._parts = [reduce_groups(keys, columns, self._rules)]
        self._rows = self._folded = len(self._parts[0][0])
        return self._parts[0]
