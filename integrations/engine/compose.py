"""A file again, with some of its rows replaced: every other byte stays as it was, and every row keeps its line.

A row is named by the line that it begins in, as the readers name it. A row that is left out, or that needs fewer lines
than before, leaves empty lines behind, which no reader counts as rows.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from integrations.engine.chunks import BLOCK_BYTES
from integrations.engine.contract_model import FileFormat, FileSpec
from integrations.engine.records import IntArray, last_record_end, map_records

Changes = Mapping[int, str | None]
MENDABLE = frozenset((FileFormat.CSV, FileFormat.NDJSON))
_GZIP = b"\x1f\x8b"


class ComposeProblem(Exception):
    """A change that the file cannot take; ``line`` is the row's, the message says what to do."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


class Stream(Protocol):
    """Bytes to be read."""

    def read(self, size: int, /) -> bytes: ...


class IteratorStream:
    """Blocks of bytes as something to read from; a block may be larger than asked for."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def read(self, size: int, /) -> bytes:
        """The next block, empty at the end."""
        return next((block for block in self._blocks if block), b"")


def compose(stream: Stream, changes: Changes, spec: FileSpec) -> Iterator[bytes]:
    """The file's bytes with the rows of ``changes`` (first line → new text without line end, None: left out).

    Delimited text and ndjson, as they are encoded and packed: a gzip file gives a gzip file. Memory is bounded by a
    block. Raises ``ComposeProblem`` for a line at which no row begins, a text that needs more lines than the row had,
    or one that the file's encoding cannot write.
    """
    if spec.format not in MENDABLE:
        raise ValueError(f"rows of a {spec.format} file cannot be replaced")
    start = stream.read(BLOCK_BYTES)
    blocks = _blocks(start, stream)
    if not start.startswith(_GZIP):
        yield from _changed(blocks, changes, spec)
        return
    packed = zlib.compressobj(6, zlib.DEFLATED, 31)  # with a gzip header that holds no date: same rows, same bytes
    for block in _changed(_unpacked(blocks), changes, spec):
        yield packed.compress(block)
    yield packed.flush()


def _blocks(start: bytes, stream: Stream) -> Iterator[bytes]:
    while start:
        yield start
        start = stream.read(BLOCK_BYTES)


def _unpacked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    reader = gzip.GzipFile(fileobj=_Joined(blocks))
    while block := reader.read(BLOCK_BYTES):
        yield block


class _Joined(io.RawIOBase):
    """Blocks as a raw file, for the unpacker."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._held = blocks, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while not self._held:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._held = block
        taken = self._held if size < 0 else self._held[:size]
        self._held = self._held[len(taken) :]
        return taken


def _changed(blocks: Iterator[bytes], changes: Changes, spec: FileSpec) -> Iterator[bytes]:
    """The text block by block, in whole records, with the changes in their places."""
    plain = spec.encoding == "utf-8"
    decoder = codecs.getincrementaldecoder(spec.encoding)()
    encoder = codecs.getincrementalencoder(spec.encoding)()
    wanted = dict(sorted(changes.items()))
    line, carry, first = 1, b"", True
    for data in itertools.chain(blocks, (b"",)):
        ended = not data
        text = carry + (data if plain else decoder.decode(data, ended).encode())
        if first:
            first = False
            if text.startswith(codecs.BOM_UTF8):
                yield text[: len(codecs.BOM_UTF8)] if plain else encoder.encode("\ufeff")
                text = text.removeprefix(codecs.BOM_UTF8)
        end = len(text) if ended else _last_end(text, spec)
        block, carry = text[:end], text[end:]
        if block:
            piece, line = _replace(block, line, wanted, spec)
            yield piece if plain else encoder.encode(piece.decode())
    if wanted:
        lost = next(iter(wanted))
        raise ComposeProblem(lost, f"No row begins in line {lost}: this is not the file that was read.")


def _last_end(text: bytes, spec: FileSpec) -> int:
    if spec.format is FileFormat.NDJSON:
        return text.rfind(b"\n") + 1
    return last_record_end(text, spec.delimiter)


def _replace(block: bytes, line: int, wanted: dict[int, str | None], spec: FileSpec) -> tuple[bytes, int]:
    """A block of whole records with the changes that begin in it, and the line after it. Takes them off ``wanted``."""
    starts, ends, line_ends = _records(block, spec)
    last = line + len(line_ends)
    due = [number for number in wanted if number <= last]
    if not due:
        return block, last
    lines = np.searchsorted(line_ends, starts, side="right") + line
    pieces, done = [], 0
    for number in due:
        index = int(np.searchsorted(lines, number, side="right")) - 1
        while index > 0 and lines[index - 1] == number:
            index -= 1
        if index < 0 or lines[index] != number:
            if number == last:  # may begin in the next block
                continue
            raise ComposeProblem(number, f"No row begins in line {number}: this is not the file that was read.")
        start, end = int(starts[index]), int(ends[index])
        pieces += [block[done:start], _row(block[start:end], wanted.pop(number), number, spec.encoding)]
        done = end
    return b"".join((*pieces, block[done:])), last


def _records(block: bytes, spec: FileSpec) -> tuple[IntArray, IntArray, IntArray]:
    """Starts and ends of the block's records, and the offsets behind its line ends."""
    if spec.format is FileFormat.NDJSON:
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 0x0A).astype(np.int64) + 1
        line_ends = ends
    else:
        closed = block if block.endswith((b"\n", b"\r")) else block + b"\n"
        found = map_records(closed, spec.delimiter)
        ends, line_ends = found.ends, found.line_ends
        if len(closed) != len(block):
            ends, line_ends = np.minimum(ends, len(block)), line_ends[line_ends <= len(block)]
    if not len(ends) or ends[-1] < len(block):
        ends = np.append(ends, len(block))
    return np.concatenate((np.zeros(1, np.int64), ends[:-1])), ends, line_ends


def _row(before: bytes, text: str | None, line: int, encoding: str) -> bytes:
    """The new row over as many lines as the old one took, ending as that one ended."""
    body = before.rstrip(b"\r\n")
    line_end = before[len(body) :]
    had = _line_breaks(body.decode())
    if text is None:
        new, needs = b"", 0
    else:
        needs = _line_breaks(text)
        if needs > had:
            raise ComposeProblem(
                line, f"The row of line {line} got more line breaks than it had. Take them out of its cells."
            )
        try:
            text.encode(encoding)
        except UnicodeEncodeError as problem:
            sign = text[problem.start]
            raise ComposeProblem(
                line, f"The file is written in {encoding}, which has no {sign!r} (line {line}). Write it another way."
            ) from problem
        new = text.encode()
    return new + (line_end or b"\n") * (had - needs) + line_end


def _line_breaks(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


# --- a row as cells ------------------------------------------------------------


def cells_of(raw: str, headings: Sequence[str], spec: FileSpec) -> list[str] | None:
    """A row's cells in the order of the headings; a row with another number of cells has that number.

    None where the text cannot be taken apart (a line of ndjson that is no object): it is mended as a whole.
    """
    if spec.format is FileFormat.CSV:
        return next(csv.reader(io.StringIO(raw, newline=""), delimiter=spec.delimiter), [])
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return [_json_cell(found.get(name)) for name in headings]


def text_of(cells: Sequence[str], headings: Sequence[str], raw: str, spec: FileSpec) -> str:
    """The row's text with these cells, written as the file is; raises ``ValueError`` where they make no row."""
    if spec.format is FileFormat.CSV:
        out = io.StringIO()
        # A cell is quoted for the signs of the line end, too.
        csv.writer(out, delimiter=spec.delimiter, lineterminator="\r\n").writerow(cells)
        return out.getvalue().removesuffix("\r\n")
    try:
        before = json.loads(raw)
    except ValueError:
        before = {}
    values = dict(before) if isinstance(before, dict) else {}
    for name, cell in zip(headings, cells, strict=False):
        if cell == _json_cell(values.get(name)) and (name in values or not cell):
            continue
        values[name] = _json_value(cell, values.get(name))
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def _json_cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_value(cell: str, before: object) -> object:
    """A text stays a text; anything else is what JSON reads in the cell."""
    if isinstance(before, str):
        return cell
    if not cell:
        return None
    try:
        return json.loads(cell, parse_constant=lambda name: cell)
    except ValueError:
        return cell
