"""What every file format delivers: chunks of columns that can say where a row came from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from integrations.engine.findings import Finding, adapter, error

RAW_LIMIT = 2000
MAX_COLUMNS = 2000
BLOCK_BYTES = 4 * 1024 * 1024


class FileProblem(Exception):
    """The file as a whole cannot be read; `finding` says why and what to do."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.message)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: line of the text file (row of a parquet file), and its raw text, cut at `RAW_LIMIT`."""

    line: int
    raw: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """`rows` well-formed rows as arrow arrays by source heading, and the rows that are none, for `ragged_reason`.

    `locate(indices)` finds the places of well-formed rows; it is only called for rows that are rejected.
    """

    rows: int
    columns: dict[str, pa.Array]
    locate: Callable[[NDArray[np.int64]], list[Place]]
    ragged: list[Place] = field(default_factory=list)
    ragged_reason: str = "wrong_number_of_cells"


class RowSource(Protocol):
    """One open file: its `headings`, those that hold lists or records, and remarks on how it is read."""

    headings: list[str]
    nested: frozenset[str]
    findings: tuple[Finding, ...]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows with these columns. Raises `FileProblem`."""
        ...


class ByteReader(Protocol):
    """What a text source reads from: a file, or what a gzip archive unpacks to."""

    def read(self, size: int) -> bytes:
        """The next bytes, empty at the end. Raises `FileProblem`."""
        ...


class HashingReader:
    """Reads a binary file in blocks, and knows its SHA-256 and how far it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.done = 0

    def read(self, size: int) -> bytes:
        """The next bytes, empty at the end."""
        data = self._stream.read(size)
        self._digest.update(data)
        self.done += len(data)
        return data

    def finish(self) -> str:
        """The SHA-256 of the whole file, reading on to its end when a problem stopped the reading early."""
        while self.read(BLOCK_BYTES):
            pass
        return self._digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return HashingReader(stream).finish()


_MAGIC = (
    (
        b"PK\x03\x04",
        "an Excel workbook or a zip archive",
        "Set format: xlsx if it is a workbook; unpack a zip archive first.",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "an old or a password-protected Excel workbook",
        "Save it as .xlsx without a password, and set format: xlsx.",
    ),
    (b"%PDF", "a PDF document", "Export the figures as CSV (UTF-8) instead."),
    (b"PAR1", "a parquet file", "Set format: parquet for this file."),
    (b"\x1f\x8b", "a gzip archive within a gzip archive", "Pack it only once."),
    (b"SQLite format 3", "a database file", "Export the sales table as CSV (UTF-8)."),
    (b"\x89PNG", "a picture", "Export the figures as CSV (UTF-8) instead."),
)


def check_is_text(start: bytes, name: str, encoding: str) -> None:
    """Refuse what is plainly no text, by its first bytes. Raises `FileProblem`."""
    for magic, what, fix in _MAGIC:
        if start.startswith(magic):
            raise FileProblem(adapter("binary_file", f"{name} is {what}, not a text file.", fix=fix))
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") and encoding != "utf-16":
        raise FileProblem(
            error("not_utf8", f"{name} is written in UTF-16.", fix="Save it as UTF-8, or set encoding: utf-16.")
        )
    if re.search(rb"\x00{4}", start[:4096]) and encoding != "utf-16":
        raise FileProblem(
            adapter("binary_file", f"{name} is a binary file, not text.", fix="Export the sales as CSV (UTF-8).")
        )
