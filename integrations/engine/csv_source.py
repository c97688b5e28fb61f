"""Delimited text in bounded memory: blocks of whole records, parsed by pyarrow, each row able to name its line."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from integrations.engine.chunks import (
    BLOCK_BYTES,
    RAW_LIMIT,
    ByteReader,
    Chunk,
    FileProblem,
    Place,
    check_is_text,
)
from integrations.engine.contract_model import FileSpec
from integrations.engine.findings import Finding, error
from integrations.engine.records import RecordMap, last_record_end, map_records
from integrations.engine.text_file import MAX_RECORD_BYTES, TextDecoder, record_too_long


class CsvSource:
    """One CSV file. Raises `FileProblem` from the constructor (empty, binary, encoding) and from `chunks`."""

    nested: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    def __init__(self, reader: ByteReader, spec: FileSpec, name: str) -> None:
        self._reader, self._spec, self._name = reader, spec, name
        self._decoder = TextDecoder(spec.encoding, name)
        self._line = 1
        self._carry = b""
        self._ended = False
        start = reader.read(BLOCK_BYTES)
        if not start.strip():
            raise FileProblem(error("empty_file", f"{name} is empty.", fix="Export it again and check its size."))
        check_is_text(start, name, spec.encoding)
        self._pending = self._decoder.decode(start).removeprefix(codecs.BOM_UTF8)
        self.headings = self._take_header()

    def _take_header(self) -> list[str]:
        """The first line that is not empty. Headings are cut free of blanks around them."""
        while True:
            block = self._next_block()
            if block is None:
                raise FileProblem(
                    error("empty_file", f"{self._name} has no headings.", fix="Put the column names in its first line.")
                )
            records = map_records(block if block.endswith((b"\n", b"\r")) else block + b"\n", self._spec.delimiter)
            for start, end in zip(records.starts().tolist(), records.ends.tolist(), strict=True):
                text = block[start:end]
                if not text.strip(b"\r\n"):
                    continue
                self._line += int(records.lines_before(np.array([end]))[0])
                self._pending_block = block[end:]
                return self._split(text.decode())
            self._line += len(records.line_ends)

    def _split(self, text: str) -> list[str]:
        try:
            rows = list(csv.reader([text], delimiter=self._spec.delimiter))
        except csv.Error as problem:  # a cell above the reader's limit
            raise record_too_long(self._name, self._line) from problem
        return [cell.strip() for cell in rows[0]]

    def _next_block(self) -> bytes | None:
        """The next whole records, or None at the end."""
        held = getattr(self, "_pending_block", b"")
        if held:
            self._pending_block = b""
            return held
        while not self._ended:
            if self._pending:
                data, self._pending = self._pending, b""
            else:
                raw = self._reader.read(BLOCK_BYTES)
                data = self._decoder.decode(raw)
                self._ended = not raw
            text = self._carry + data
            end = len(text) if self._ended else last_record_end(text, self._spec.delimiter)
            self._carry = text[end:]
            if len(self._carry) > MAX_RECORD_BYTES:
                line = self._line + text[:end].count(b"\n")
                raise self._unclosed(line) if b'"' in self._carry else record_too_long(self._name, line)
            if end:
                self._check(text[:end])
                return text[:end]
        return None

    def _check(self, block: bytes) -> None:
        """Refuse NUL bytes, broken UTF-8 and, in the last block, a quote that never closes."""
        self._decoder.check(block, self._line)
        if self._ended and b'"' in block:
            records = map_records(block + b"\n", self._spec.delimiter)
            if not len(records.ends) or records.ends[-1] != len(block) + 1:
                start = records.ends[-1:] if len(records.ends) else np.zeros(1, np.int64)
                raise self._unclosed(self._line + int(records.lines_before(start)[0]))

    def _unclosed(self, line: int) -> FileProblem:
        return FileProblem(
            error(
                "unclosed_quote",
                f'{self._name}: a quote (") opened in the row that begins in line {line} is never closed.',
                fix="Close or remove that quote and send the file again.",
                rows=1,
            )
        )

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows block by block, only these headings, every cell as text."""
        positions = {name: f"c{self.headings.index(name)}" for name in columns}
        while (block := self._next_block()) is not None:
            chunk = self._parse(block, positions, self._line)
            self._line += len(map_line_ends(block))
            if chunk.rows or chunk.ragged:
                yield chunk

    def _parse(self, block: bytes, positions: dict[str, str], first_line: int) -> Chunk:
        ragged: list[Any] = []

        def skip(row: Any) -> str:
            ragged.append(row)
            return "skip"

        try:
            table = self._read(block, positions, None, 1 << 20)
        except pa.ArrowInvalid:
            table = self._read(block, positions, skip, len(block) + 1)
        locator = _Locator(block, self._spec.delimiter, first_line, [row.number - 1 for row in ragged])
        places = locator.ragged([row.text for row in ragged]) if ragged else []
        arrays = {name: table.column(label).combine_chunks() for name, label in positions.items()}
        return Chunk(table.num_rows, arrays, locator, places)

    def _read(self, block: bytes, positions: dict[str, str], handler: Any, block_size: int) -> pa.Table:
        labels = [f"c{index}" for index in range(len(self.headings))]
        wanted = list(positions.values())
        return pacsv.read_csv(
            pa.BufferReader(block),
            read_options=pacsv.ReadOptions(column_names=labels, use_threads=handler is None, block_size=block_size),
            parse_options=pacsv.ParseOptions(
                delimiter=self._spec.delimiter, newlines_in_values=b'"' in block, invalid_row_handler=handler
            ),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )


def map_line_ends(block: bytes) -> NDArray[np.int64]:
    """The offsets behind each physical line of a block."""
    if b"\r" not in block:
        return np.empty(block.count(b"\n"), np.int64)  # only their number is wanted
    return map_records(block.replace(b'"', b" "), ",").line_ends


class _Locator:
    """Finds line number and raw text of well-formed rows; the record map is made at the first call only."""

    def __init__(self, block: bytes, delimiter: str, first_line: int, ragged: list[int]) -> None:
        self._block, self._delimiter, self._first_line, self._ragged = block, delimiter, first_line, ragged
        self._map: tuple[RecordMap, NDArray[np.int64]] | None = None

    def _records(self) -> tuple[RecordMap, NDArray[np.int64]]:
        """The record map, and the indices of the records that are not empty lines (pyarrow leaves those out)."""
        if self._map is None:
            text = self._block if self._block.endswith((b"\n", b"\r")) else self._block + b"\n"
            records = map_records(text, self._delimiter)
            lengths = records.ends - records.starts()
            filled = lengths > 2
            for index in np.flatnonzero(~filled).tolist():
                start, end = int(records.starts()[index]), int(records.ends[index])
                filled[index] = bool(text[start:end].strip(b"\r\n"))
            self._map = records, np.flatnonzero(filled).astype(np.int64)
        return self._map

    def _places(self, indices: NDArray[np.int64]) -> list[Place]:
        records, filled = self._records()
        chosen = filled[indices]
        starts, ends = records.starts()[chosen], records.ends[chosen]
        lines = records.lines_before(starts) + self._first_line
        return [
            Place(
                line,
                self._block[start : min(end, start + 4 * RAW_LIMIT)]
                .decode(errors="replace")
                .rstrip("\r\n")[:RAW_LIMIT],
            )
            for line, start, end in zip(lines.tolist(), starts.tolist(), ends.tolist(), strict=True)
        ]

    def ragged(self, texts: list[str]) -> list[Place]:
        """The places of the rows with the wrong number of cells, with the text the parser saw."""
        lines = [place.line for place in self._places(np.array(self._ragged, np.int64))]
        return [Place(line, text.rstrip("\r\n")[:RAW_LIMIT]) for line, text in zip(lines, texts, strict=True)]

    def __call__(self, indices: NDArray[np.int64]) -> list[Place]:
        _, filled = self._records()
        good = np.delete(np.arange(len(filled)), self._ragged)
        return self._places(good[indices])
