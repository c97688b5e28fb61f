"""Rejected rows as a CSV that a person mends in a spreadsheet and sends back.

Each row: its place (file and line), the reason, then its cells under the file's own headings. Rows of several files
follow one another, each file under a heading row of its own. A cell that a spreadsheet would take for a formula, or
that begins with an apostrophe, gets an apostrophe in front; reading takes exactly that one away again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from integrations.engine.compose import Stream
from integrations.engine.spreadsheet import FORMULA_STARTS

PLACE = "place"
REASON = "reason"
BOM = "\ufeff"
_MOST_CELL = 1_000_000


class SheetProblem(Exception):
    """The sheet cannot be read back; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row of the sheet: which row of which file it is, and its cells."""

    file: str
    line: int
    cells: tuple[str, ...]


def guarded(text: str) -> str:
    """A cell that a spreadsheet shows as text; ``unguarded`` undoes it exactly."""
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


def unguarded(text: str) -> str:
    """The cell as it was before ``guarded``."""
    return text.removeprefix("'")


class _Echo:
    """A file that gives back what is written to it, for a writer that streams."""

    def write(self, text: str) -> str:
        return text


def write_sheet(parts: Iterable[tuple[Sequence[str], Iterable[tuple[SheetRow, str]]]]) -> Iterator[str]:
    """The sheet as text: for each file its headings, and its rows with their reasons."""
    writer = csv.writer(_Echo())
    yield BOM
    for headings, rows in parts:
        yield writer.writerow([PLACE, REASON, *map(guarded, headings)])
        for row, reason in rows:
            cells = [f"{row.file}:{row.line}", reason, *row.cells]
            yield writer.writerow(map(guarded, cells))


def read_sheet(stream: Stream) -> Iterator[SheetRow]:
    """The rows of a sheet that was sent back, with whatever separator and line ends a spreadsheet gave it.

    Raises ``SheetProblem``.
    """
    start = stream.read(64 * 1024)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    rest: io.RawIOBase = _Rest(start, stream)
    text = io.TextIOWrapper(io.BufferedReader(rest), encoding=encoding, newline="")
    try:
        first = text.readline()
        reader = csv.reader(_chain(first, text), delimiter=_delimiter(first), strict=True)
        limit = csv.field_size_limit(_MOST_CELL)
        try:
            yield from _rows(reader)
        finally:
            csv.field_size_limit(limit)
    except UnicodeDecodeError as problem:
        raise SheetProblem("The sheet is not written in UTF-8. Save it as “CSV UTF-8” and send it again.") from problem
    except csv.Error as problem:
        raise SheetProblem(f"The sheet is no readable CSV ({problem}). Download it again and mend that.") from problem


def _delimiter(first: str) -> str:
    """The sign behind the first heading, which is ours."""
    rest = first.replace(f'"{PLACE}"', PLACE, 1)
    sign = rest[len(PLACE) : len(PLACE) + 1]
    if not rest.startswith(PLACE) or sign not in (",", ";", "\t", "|"):
        raise SheetProblem(
            f"The sheet does not begin with the column “{PLACE}”. Keep the columns of the download as they are."
        )
    return sign


def _rows(reader: Iterator[list[str]]) -> Iterator[SheetRow]:
    for number, found in enumerate(reader, start=1):
        if not any(found):
            continue
        place = unguarded(found[0])
        if place == PLACE:
            continue
        file, _, line = place.rpartition(":")
        if not file or not line.isdecimal() or len(line) > 15:
            raise SheetProblem(
                f"Row {number} of the sheet has no place such as sales.csv:12 in its first column. "
                "Keep that column as it is in the download."
            )
        yield SheetRow(file, int(line), tuple(map(unguarded, found[2:])))


def _chain(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


class _Rest(io.RawIOBase):
    """The first bytes, then the stream."""

    def __init__(self, start: bytes, stream: Stream) -> None:
        self._held, self._stream = start, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]  # any writable buffer
        if not self._held:
            self._held = self._stream.read(64 * 1024)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size
