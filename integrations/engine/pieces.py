"""Canonical demand as tables of bounded size: a large batch is never in memory as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

PIECE_ROWS = 1 << 18
HELD_BYTES = 96 << 20  # pieces that stay in memory; the others wait in a file without a name


class Pieces:
    """One row per store, product and day, sorted by them, in tables of one schema that follow on each other.

    Each series is wholly in one piece. Can be gone through as often as wanted; only one piece is in memory at a time
    beside the first `HELD_BYTES`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.num_rows = 0
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._places: list[tuple[int, int]] = []

    @classmethod
    def of(cls, table: pa.Table) -> Pieces:
        """A table that is in memory anyway, as one piece."""
        pieces = cls(table.schema)
        if table.num_rows:
            pieces._held, pieces.num_rows = [table], table.num_rows
        return pieces

    def append(self, table: pa.Table) -> None:
        """Add the next piece; its rows follow on those before."""
        self.num_rows += table.num_rows
        if self._file is None and self._held_bytes + table.nbytes <= HELD_BYTES:
            self._held.append(table)
            self._held_bytes += table.nbytes
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="forecourt-")  # noqa: SIM115  # lives as long as the pieces
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        self._places.append((self._file.seek(0, 2), data.size))
        self._file.write(data)

    def __iter__(self) -> Iterator[pa.Table]:
        yield from self._held
        for offset, size in self._places:
            if self._file is None:
                raise AssertionError("pieces without their file")
            self._file.seek(offset)
            yield pa.ipc.open_stream(pa.py_buffer(self._file.read(size))).read_all()

    def __len__(self) -> int:
        return len(self._held) + len(self._places)

    def table(self) -> pa.Table:
        """All of it in memory: for small batches and for tests."""
        tables = list(self)
        if len(tables) == 1:
            return tables[0]
        if not tables:
            return self.schema.empty_table()
        return pa.concat_tables(tables).unify_dictionaries().combine_chunks()
