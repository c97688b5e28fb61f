"""Rows of one store, product and day become one: chunk by chunk, in bounded memory however many days there are.

A key is one int64: store, product, day and whether the row is a return. Chunks are reduced on their own; what they give
is held, and waits on disk once it outgrows a bound. At the end it is put together in the final order, range of series
by range of series. Sums over chunks are added strictly in the order of the chunks, and all reductions run over stably
sorted keys, so the same rows in the same order always give the same bits, with the disk or without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from integrations.engine.spill import Block, Columns, Part, Spill, joined, size_of

DAY_BITS, PRODUCT_BITS, STORE_BITS = 16, 24, 22
SERIES_SHIFT = DAY_BITS + 1
COMPACT_BYTES = 48 << 20  # chunks are put together when they come to this much
HELD_BYTES = 64 << 20  # what stays in memory; more goes to disk
PART_BYTES = 48 << 20  # what is read back from disk at a time
_SAMPLED = 64  # every so many keys one is remembered, to cut the disk's rows into even ranges
Rank = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def pack_keys(
    stores: NDArray[np.int32], products: NDArray[np.int32], days: NDArray[np.int32], returns: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """One integer per row; the books of codes see to it that each fits into its bits."""
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


def reduce_groups(keys: NDArray[np.int64], columns: Columns, rules: dict[str, Rule]) -> Part:
    """Distinct sorted keys, and each column reduced by its rule; rows of equal key keep their order."""
    return _reduced(keys, columns, columns.__getitem__, rules, in_order=False)


def fold(parts: Sequence[Part], rules: dict[str, Rule], rank: Rank | None = None) -> Part:
    """Reduced parts as one, their keys renamed by `rank`; sums are added strictly in the order of the parts."""
    keys = np.concatenate([part[0] for part in parts])

    def column(name: str) -> NDArray[np.generic]:
        return np.concatenate([part[1][name] for part in parts])  # one after the other: they are large

    return _reduced(keys if rank is None else rank(keys), parts[0][1], column, rules, in_order=True)


def _reduced(
    keys: NDArray[np.int64],
    names: Iterable[str],
    column: Callable[[str], NDArray[np.generic]],
    rules: dict[str, Rule],
    *,
    in_order: bool,
) -> Part:
    if not len(keys):
        return keys, {name: column(name) for name in names}
    order = None
    if not bool((keys[1:] > keys[:-1]).all()):
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
    starts = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), keys[1:] != keys[:-1])))
    groups = _Groups(starts, len(keys), in_order)
    found = {}
    for name in names:
        values = column(name) if order is None else column(name)[order]
        found[name] = values if len(starts) == len(keys) else groups.reduce(values, rules[name].how)
    return keys[starts] if len(starts) < len(keys) else keys, found


class _Groups:
    """Rows of equal key that stand together; `in_order`: sums are added one by one, not in pairs."""

    def __init__(self, starts: NDArray[np.int64], rows: int, in_order: bool) -> None:
        self._starts = starts
        self._last = np.append(starts[1:], rows) - 1
        self._of_row = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, rows))) if in_order else None

    def reduce(self, values: NDArray[np.generic], how: str) -> NDArray[np.generic]:
        if how == "sum":
            if self._of_row is not None and values.dtype.kind == "f":
                return np.asarray(np.bincount(self._of_row, weights=values, minlength=len(self._starts)), np.float64)
            return np.asarray(np.add.reduceat(values, self._starts))
        if how == "max":
            return np.asarray(np.fmax.reduceat(values, self._starts))
        if how == "first":
            return np.asarray(values[self._starts])
        if how == "last":
            return np.asarray(values[self._last])
        known = ~np.isnan(values) if values.dtype.kind == "f" else np.greater_equal(values, 0)
        position = np.maximum.reduceat(np.where(known, np.arange(len(values)), -1), self._starts)
        return np.asarray(values[np.where(position >= 0, position, self._last)])


class Accumulator:
    """Collects reduced chunks: in memory while they are few, on disk from then on."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules
        self._parts: list[Part] = []
        self._bytes = 0
        self._folded = 0
        self._spill: Spill | None = None
        self._sample: list[NDArray[np.int64]] = []

    @property
    def spilled(self) -> bool:
        """Whether rows went to disk."""
        return self._spill is not None

    def add(self, keys: NDArray[np.int64], columns: Columns) -> None:
        """Take a chunk's rows."""
        sums = {name for name, rule in self._rules.items() if rule.how == "sum" and columns[name].dtype.kind == "f"}
        columns = {name: np.add(values, 0.0) if name in sums else values for name, values in columns.items()}  # no -0.0
        part = reduce_groups(keys, columns, self._rules)
        if not len(part[0]):
            return
        if self._spill is not None:
            self._store(part)
            return
        self._parts.append(part)
        self._bytes += size_of(part)
        if self._bytes - self._folded > max(COMPACT_BYTES, self._folded):
            self._compact()

    def _compact(self) -> None:
        self._parts = [fold(self._parts, self._rules)]
        self._bytes = self._folded = size_of(self._parts[0])
        if self._folded > HELD_BYTES:
            self._spill = Spill()
            self._store(self._parts.pop())

    def _store(self, part: Part) -> None:
        """To disk as it is: what is put together out of order would not add up to the same bits."""
        if self._spill is None:
            raise AssertionError("nothing to store into")
        self._spill.write(part)
        self._sample.append(part[0][::_SAMPLED].copy())

    def sorted_parts(self, rank: Rank) -> Iterator[Part]:
        """All distinct keys, renamed by `rank` and in that order, with their columns; no series is divided.

        Empties the accumulator.
        """
        if self._spill is None:
            parts, self._parts = self._parts, []
            if parts:
                yield fold(parts, self._rules, rank)
            return
        bounds = self._bounds(rank)
        shelved = Spill()
        shelves = _shelve(self._spill, shelved, rank, bounds)
        self._spill.close()
        for shelf in shelves:
            if shelf:
                yield self._of_shelf(shelved, shelf)
        shelved.close()

    def _bounds(self, rank: Rank) -> NDArray[np.int64]:
        """Series that begin a range, such that each range has about `PART_BYTES`."""
        if self._spill is None:
            raise AssertionError("nothing is stored")
        sample = np.sort(rank(np.concatenate(self._sample)) >> SERIES_SHIFT)
        self._sample = []
        count = -(-self._spill.bytes // PART_BYTES)
        return np.unique(sample[np.arange(1, count) * len(sample) // count])

    def _of_shelf(self, shelved: Spill, shelf: Sequence[Block]) -> Part:
        parts: list[Part] = []
        held = 0
        for block in shelf:
            parts.append(shelved.read(block))
            held += size_of(parts[-1])
            if held > 2 * PART_BYTES:  # keys that came in many chunks
                parts = [fold(parts, self._rules)]
                held = size_of(parts[0])
        return fold(parts, self._rules)


def _shelve(source: Spill, target: Spill, rank: Rank, bounds: NDArray[np.int64]) -> list[list[Block]]:
    """Rows in their order to the range that their series belongs to; each range's blocks."""
    shelves: list[list[Block]] = [[] for _ in range(len(bounds) + 1)]
    for group in _groups(source.blocks):
        keys, columns = joined([source.read(block) for block in group])
        ranked = rank(keys)
        shelf = np.searchsorted(bounds, ranked >> SERIES_SHIFT, side="right")
        order = np.argsort(shelf, kind="stable")
        ranked, columns = ranked[order], {name: values[order] for name, values in columns.items()}
        cuts = np.searchsorted(shelf[order], np.arange(len(shelves) + 1)).tolist()
        for number, (start, end) in enumerate(pairwise(cuts)):
            if end > start:
                piece = {name: values[start:end] for name, values in columns.items()}
                shelves[number].append(target.write((ranked[start:end], piece)))
    return shelves


def _groups(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Neighbouring blocks, about half a million rows together."""
    group: list[Block] = []
    for block in blocks:
        group.append(block)
        if sum(one.rows for one in group) >= 1 << 19:
            yield group
            group = []
    if group:
        yield group
