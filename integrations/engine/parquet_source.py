"""Parquet in bounded memory: record batches of the wanted columns, in their own types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from integrations.engine.chunks import RAW_LIMIT, Chunk, FileProblem, Place
from integrations.engine.findings import Finding, adapter, error
from integrations.engine.gzip_reader import MAX_RATIO, bomb

BATCH_ROWS = 131_072
MAX_TEXT_BYTES = 512 * 1024**2  # of one column in one batch: 4,096 signs in every cell
RATIO_FROM = 64 * 1024**2


class ParquetSource:
    """One parquet file. Raises `FileProblem` from the constructor and from `chunks`."""

    findings: tuple[Finding, ...] = ()

    def __init__(self, path: Path) -> None:
        self._name, self._size = path.name, path.stat().st_size
        if self._size == 0:
            raise FileProblem(error("empty_file", f"{path.name} is empty.", fix="Export it again and check its size."))
        try:
            schema = pq.read_schema(path)
            texts = [entry.name for entry in schema if _is_text(entry.type)]
            # Texts stay encoded: a file of a few bytes may say one long text a million times.
            self._file = pq.ParquetFile(path, read_dictionary=texts)
            self._check_sizes()
        except (pa.ArrowException, OSError) as problem:
            raise FileProblem(
                adapter("binary_file", f"{path.name} is not a readable parquet file.", fix="Write the file again.")
            ) from problem
        self.headings = list(schema.names)
        self.nested = frozenset(entry.name for entry in schema if pa.types.is_nested(entry.type))

    def _check_sizes(self) -> None:
        """Refuse by the file's own list of contents what would unpack to far more than it is."""
        known = self._file.metadata
        for group in range(known.num_row_groups):
            for index in range(known.num_columns):
                column = known.row_group(group).column(index)
                packed, unpacked = column.total_compressed_size, column.total_uncompressed_size
                if unpacked > RATIO_FROM and unpacked > MAX_RATIO * max(packed, 1):
                    raise FileProblem(bomb(self._name, unpacked, packed))

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows batch by batch, only these columns."""
        first = 1
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                arrays = {name: self._plain(batch, name) for name in columns}
                yield Chunk(batch.num_rows, arrays, _Locator(batch, first))
                first += batch.num_rows
        except (pa.ArrowException, OSError) as problem:
            raise FileProblem(
                adapter("binary_file", f"{self._name} is damaged behind row {first - 1}.", fix="Write the file again.")
            ) from problem

    def _plain(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """The column as plain strings where it holds text, decimals as doubles; everything else as it is."""
        array = batch.column(batch.schema.get_field_index(name))
        if pa.types.is_dictionary(array.type):
            if _is_text(array.type.value_type) and len(array.dictionary):
                lengths = pc.binary_length(array.dictionary).cast(pa.int64())
                total = pc.sum(lengths.take(pc.drop_null(array.indices))).as_py() or 0
                if total > MAX_TEXT_BYTES:
                    raise FileProblem(bomb(self._name, total, self._size))
            array = array.dictionary_decode()
        kind = array.type
        if _is_text(kind) or pa.types.is_string_view(kind):
            return array.cast(pa.string())  # text that is no UTF-8 is damage
        return array.cast(pa.float64()) if pa.types.is_decimal(kind) else array


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


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
