"""Rejected rows in bounded memory: the first few are held, many of them wait on disk."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, overload

HELD_SIGNS = 4_000_000


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not taken: where it stands (real line number; row number for parquet), why, and its raw text."""

    file: str
    line: int
    column: str
    reason: str
    raw: str


class RejectedRows(Sequence[RejectedRow]):
    """Rejected rows in their order. Beyond `HELD_SIGNS` of raw text all of them lie in a file without a name."""

    def __init__(self, rows: Iterable[RejectedRow] = ()) -> None:
        self._held: list[RejectedRow] = []
        self._signs = 0
        self._file: IO[bytes] | None = None
        self._places = array("q")
        self.extend(rows)

    def extend(self, rows: Iterable[RejectedRow]) -> None:
        """Add rows behind the others."""
        for row in rows:
            self._add(row)

    def _add(self, row: RejectedRow) -> None:
        if self._file is not None:
            self._store(row)
            return
        self._held.append(row)
        self._signs += 200 + len(row.raw)
        if self._signs > HELD_SIGNS:
            self._file = tempfile.TemporaryFile(prefix="forecourt-")  # noqa: SIM115  # lives as long as the rows
            for held in self._held:
                self._store(held)
            self._held = []

    def _store(self, row: RejectedRow) -> None:
        if self._file is None:
            raise AssertionError("nowhere to store")
        self._places.append(self._file.seek(0, 2))
        self._file.write(json.dumps([row.file, row.line, row.column, row.reason, row.raw]).encode() + b"\n")

    def _read(self, place: int) -> RejectedRow:
        if self._file is None:
            raise AssertionError("nowhere to read")
        if self._file.tell() != place:
            self._file.seek(place)
        return RejectedRow(*json.loads(self._file.readline()))

    def __len__(self) -> int:
        return len(self._held) + len(self._places)

    def __iter__(self) -> Iterator[RejectedRow]:
        yield from self._held
        for place in self._places:
            yield self._read(place)

    @overload
    def __getitem__(self, index: int) -> RejectedRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RejectedRow, ...]: ...
    def __getitem__(self, index: int | slice) -> RejectedRow | tuple[RejectedRow, ...]:
        if isinstance(index, slice):
            return tuple(self[position] for position in range(*index.indices(len(self))))
        return self._held[index] if self._file is None else self._read(self._places[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # rows are added to it
