"""Parquet in bounded memory: record batches of the wanted columns, in their own types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from integrations.engine.chunks import RAW_LIMIT, Chunk, FileProblem, Place
from integrations.engine.findings import Finding, adapter, error

BATCH_ROWS = 131_072


class ParquetSource:
    """One parquet file. Raises `FileProblem` from the constructor and from `chunks`."""

    findings: tuple[Finding, ...] = ()

    def __init__(self, path: Path) -> None:
        self._name = path.name
        if path.stat().st_size == 0:
            raise FileProblem(error("empty_file", f"{path.name} is empty.", fix="Export it again and check its size."))
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as problem:
            raise FileProblem(
                adapter("binary_file", f"{path.name} is not a readable parquet file.", fix="Write the file again.")
            ) from problem
        schema = self._file.schema_arrow
        self.headings = list(schema.names)
        self.nested = frozenset(entry.name for entry in schema if pa.types.is_nested(entry.type))

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows batch by batch, only these columns."""
        first = 1
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                arrays = {name: _plain(batch.column(batch.schema.get_field_index(name))) for name in columns}
                yield Chunk(batch.num_rows, arrays, _Locator(batch, first))
                first += batch.num_rows
        except (pa.ArrowException, OSError) as problem:
            raise FileProblem(
                adapter("binary_file", f"{self._name} is damaged behind row {first - 1}.", fix="Write the file again.")
            ) from problem


def _plain(array: pa.Array) -> pa.Array:
    """Dictionary and large string arrays as plain strings, decimals as doubles; everything else as it is."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string())
    return array.cast(pa.float64()) if pa.types.is_decimal(kind) else array


class _Locator:
    """Row number (from 1) and the mapped cells as JSON."""

    def __init__(self, batch: pa.RecordBatch, first: int) -> None:
        self._batch, self._first = batch, first

    def __call__(self, indices: NDArray[np.int64]) -> list[Place]:
        rows = self._batch.take(pa.array(indices)).to_pylist()
        return [
            Place(self._first + index, json.dumps(row, default=str, ensure_ascii=False)[:RAW_LIMIT])
            for index, row in zip(indices.tolist(), rows, strict=True)
        ]
