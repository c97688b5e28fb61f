"""Where the records of a delimited text begin and end: line ends inside quotes do not count.

The rules are those of pyarrow's CSV parser: a quote opens only at the start of a field, a doubled quote is a quote, and
\\n, \\r\\n and \\r all end a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecordMap:
    """`ends[i]` is the offset just behind record i's line end; `line_starts` the offset of every physical line."""

    ends: IntArray
    line_ends: IntArray

    def starts(self) -> IntArray:
        """The offset of each record's first byte."""
        return np.concatenate((np.zeros(1, np.int64), self.ends[:-1])) if len(self.ends) else self.ends

    def lines_before(self, offsets: IntArray) -> IntArray:
        """How many physical lines end at or before each offset."""
        return np.searchsorted(self.line_ends, offsets, side="right").astype(np.int64)


def map_records(block: bytes, delimiter: str) -> RecordMap:
    """The records of a block that begins at the start of a record; text behind the last line end is left out."""
    data = np.frombuffer(block, np.uint8)
    line_ends = _line_ends(block, data)
    if b'"' not in block:
        return RecordMap(line_ends, line_ends)
    quotes = np.flatnonzero(data == _QUOTE)
    if _quotes_are_plain(data, quotes, ord(delimiter) if delimiter.isascii() else _LF):
        inside = np.searchsorted(quotes, line_ends, side="left") % 2
        return RecordMap(line_ends[inside == 0], line_ends)
    return RecordMap(_scan(block, delimiter), line_ends)


def last_record_end(block: bytes, delimiter: str) -> int:
    """The offset behind the block's last whole record; 0 when none ends in it."""
    if b'"' not in block and b"\r" not in block:
        return block.rfind(b"\n") + 1
    if block.endswith(b"\r"):  # its \n may be the next block's first byte
        block = block[:-1]
    ends = map_records(block, delimiter).ends
    return int(ends[-1]) if len(ends) else 0


def _line_ends(block: bytes, data: NDArray[np.uint8]) -> IntArray:
    ends = np.flatnonzero(data == _LF) + 1
    if b"\r" in block:
        returns = np.flatnonzero(data == _CR)
        followed = np.append(data[1:], 0)[returns] == _LF
        if not followed.all():
            ends = np.sort(np.concatenate((ends, returns[~followed] + 1)))
    return ends.astype(np.int64)


def _quotes_are_plain(data: NDArray[np.uint8], quotes: IntArray, delimiter: int) -> bool:
    """Whether every quote opens at a field's start and closes at its end, so that counting them is exact."""
    borders = np.array([delimiter, _LF, _CR, _QUOTE], np.uint8)
    opening, closing = quotes[::2], quotes[1::2]
    before = data[opening[opening > 0] - 1]
    after = data[closing[closing < len(data) - 1] + 1]
    return bool(np.isin(before, borders).all() and np.isin(after, borders).all())


@lru_cache(maxsize=8)
def _field(delimiter: str) -> re.Pattern[bytes]:
    sign = re.escape(delimiter.encode())
    return re.compile(rb'(?:"(?:[^"]++|"")*+(?:"|\Z))?+[^' + sign + rb"\r\n]*+(?:" + sign + rb"|(\r\n|\n|\r)|\Z)")


def _scan(block: bytes, delimiter: str) -> IntArray:
    """Field by field, for the rare block in which a quote stands in the middle of a field."""
    matches = _field(delimiter).finditer(block)
    return np.array([found.end() for found in matches if found.group(1)], dtype=np.int64)
