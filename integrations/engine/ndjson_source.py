"""NDJSON: one flat JSON object per line. A line that is none is a rejected row with its real line number."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from integrations.engine.chunks import (
    BLOCK_BYTES,
    MAX_COLUMNS,
    RAW_LIMIT,
    ByteReader,
    Chunk,
    FileProblem,
    Place,
    check_is_text,
)
from integrations.engine.contract_model import FileSpec
from integrations.engine.findings import Finding, adapter, error
from integrations.engine.mixed import typed_column
from integrations.engine.text_file import MAX_RECORD_BYTES, TextDecoder, record_too_long

Line = tuple[int, bytes]


class NotAnObject(ValueError):
    """The line is no JSON object, or one that names a key twice."""


class NdjsonSource:
    """One NDJSON file. Its headings are the keys within the first block; keys first seen behind it are not read.

    Raises `FileProblem` from the constructor (empty, binary, encoding, no NDJSON at all) and from `chunks`.
    """

    findings: tuple[Finding, ...] = ()

    def __init__(self, reader: ByteReader, spec: FileSpec, name: str) -> None:
        self._reader, self._name = reader, name
        self._decoder = TextDecoder(spec.encoding, name)
        self._line = 1
        self._carry = b""
        self._ended = False
        self._read, self._broken = 0, 0
        start = reader.read(BLOCK_BYTES)
        if not start.strip():
            raise FileProblem(error("empty_file", f"{name} is empty.", fix="Export it again and check its size."))
        check_is_text(start, name, spec.encoding)
        self._pending = self._decoder.decode(start).removeprefix(codecs.BOM_UTF8)
        self._first = self._next_lines() or []
        self.headings, self.nested = self._look(self._first)

    def _look(self, lines: list[Line]) -> tuple[list[str], frozenset[str]]:
        """The keys of these lines in the order they appear, and those that hold lists or records."""
        headings: dict[str, None] = {}
        nested: set[str] = set()
        broken = 0
        for _, text in lines:
            try:
                record = parse_line(text)
            except NotAnObject:
                broken += 1
                continue
            headings.update(dict.fromkeys(record))
            nested.update(key for key, value in record.items() if isinstance(value, dict | list))
            if len(headings) > MAX_COLUMNS:
                break
        if broken * 2 > len(lines) or not headings:
            raise self._not_ndjson(lines, broken)
        return list(headings), frozenset(nested)

    def _not_ndjson(self, lines: list[Line], broken: int) -> FileProblem:
        if lines and lines[0][1].lstrip()[:1] in (b"[", b"{") and broken:
            message = f"{self._name} is one JSON document, not one JSON object per line."
            return FileProblem(
                error("not_ndjson", message, fix="Export JSON Lines (NDJSON): each sale as one object on its own line.")
            )
        message = f"{self._name}: {broken:,} of the first {len(lines):,} lines are no JSON objects."
        fix = "Export JSON Lines (NDJSON), or set the format that the file really has."
        return FileProblem(error("not_ndjson", message, rows=broken, fix=fix))

    def _next_lines(self) -> list[Line] | None:
        """The next whole lines that are not blank, with their numbers; None at the end."""
        while not self._ended:
            if self._pending:
                data, self._pending = self._pending, b""
            else:
                raw = self._reader.read(BLOCK_BYTES)
                data = self._decoder.decode(raw)
                self._ended = not raw
            text = self._carry + data
            end = len(text) if self._ended else _last_line_end(text)
            self._carry = text[end:]
            if len(self._carry) > MAX_RECORD_BYTES:
                raise record_too_long(self._name, self._line + len(text[:end].splitlines()))
            if not end:
                continue
            block = text[:end]
            self._decoder.check(block, self._line)
            lines = block.splitlines()
            numbered = [(self._line + index, line) for index, line in enumerate(lines) if line and not line.isspace()]
            self._line += len(lines)
            return numbered
        return None

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows block by block, only these keys. Numbers keep their digits; null and a missing key are empty."""
        lines: list[Line] | None = self._first
        self._first = []
        while lines is not None:
            if lines:
                yield self._chunk(lines, columns)
            lines = self._next_lines()
        if self._broken * 2 > self._read:
            message = f"{self._name}: {self._broken:,} of {self._read:,} lines are no JSON objects."
            fix = "Export JSON Lines (NDJSON): each sale as one object on its own line."
            raise FileProblem(error("not_ndjson", message, rows=self._broken, fix=fix))

    def _chunk(self, lines: list[Line], columns: Sequence[str]) -> Chunk:
        cells: dict[str, list[object]] = {name: [] for name in columns}
        good: list[Line] = []
        broken: list[Place] = []
        for number, text in lines:
            try:
                record = parse_line(text)
            except NotAnObject:
                broken.append(_place((number, text)))
                continue
            for name, column in cells.items():
                column.append(self._cell(record.get(name), name, number))
            good.append((number, text))
        self._read += len(lines)
        self._broken += len(broken)

        def locate(indices: NDArray[np.int64]) -> list[Place]:
            return [_place(good[index]) for index in indices.tolist()]

        arrays = {name: typed_column(column) for name, column in cells.items()}
        return Chunk(len(good), arrays, locate, broken, "not_json")

    def _cell(self, value: object, name: str, number: int) -> object:
        if isinstance(value, dict | list):
            raise FileProblem(
                adapter(
                    "nested_values",
                    f"{self._name}: {name} holds a list or a record in line {number}.",
                    column=name,
                    fix="Export one flat value per key.",
                )
            )
        return ("true" if value else "false") if isinstance(value, bool) else value


def parse_line(text: bytes) -> dict[str, Any]:
    """The object on a line: whole numbers and words such as NaN as text, other numbers as floats.

    Raises `NotAnObject`.
    """
    try:
        record = json.loads(text, parse_int=str, parse_constant=str, object_pairs_hook=_once)
    except (ValueError, RecursionError) as problem:
        raise NotAnObject from problem
    if not isinstance(record, dict) or (b"\\u" in text and not _is_text(record)):
        raise NotAnObject
    return record


def _is_text(record: dict[str, Any]) -> bool:
    """Whether every escaped sign is one that can be written: half a surrogate pair and NUL cannot."""
    try:
        written = json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return b"\\u0000" not in written


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        _refuse()
    return record


def _refuse() -> NoReturn:
    raise NotAnObject


def _last_line_end(text: bytes) -> int:
    """The offset behind the last whole line; a \\r at the very end may be half of a \\r\\n."""
    kept = text[:-1] if text.endswith(b"\r") else text
    return max(kept.rfind(b"\n"), kept.rfind(b"\r")) + 1


def _place(line: Line) -> Place:
    return Place(line[0], line[1][: 4 * RAW_LIMIT].decode(errors="replace").strip()[:RAW_LIMIT])
