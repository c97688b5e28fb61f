"""Which column holds the dates, and which formats read all of its sampled values. Ambiguity is told, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from integrations.engine.contract_model import TimezoneHandling
from integrations.engine.convert import Status
from integrations.engine.dates import DateParser
from integrations.engine.findings import Finding, warning
from integrations.engine.mixed import is_mixed, part, whole_floats_as_text

_DAYS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
_SHORT = ("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%y", "%m-%d-%y")
_NAMED = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %I:%M %p", ", %H:%M")
_FORMATS = tuple(f"{day}{time}" for day in (*_DAYS, *_SHORT, *_NAMED) for time in _TIMES)
_COMPACT = re.compile(r"(19|20)\d{6}")
_WORDS = re.compile(r"dat|day|tag\b|jour|fecha|data|dia|when|time|zeit|datum|moment", re.IGNORECASE)
_PLAUSIBLE = (7305, 47481)  # 1990 to 2099, in days from 1970


@dataclass(frozen=True, slots=True)
class Dates:
    """The formats for the likeliest date column, best first; `column` is that column's heading."""

    formats: tuple[str, ...] = ()
    column: str | None = None
    findings: tuple[Finding, ...] = ()


def guess_dates(name: str, headings: Sequence[str], columns: Sequence[pa.Array | None], decimal: str) -> Dates:
    """Try every candidate on every sampled value of each column."""
    found: list[tuple[bool, int, Dates]] = []
    for index, (heading, array) in enumerate(zip(headings, columns, strict=True)):
        if array is None:
            continue
        formats = _formats_of(array, day_first=decimal == ",")
        if formats:
            # A heading that says so, then a format that is certain, then the first column.
            found.append((not _WORDS.search(heading), index, Dates(formats, heading)))
    if not found:
        return Dates()
    best = min(found, key=lambda entry: entry[:2])[2]
    if len(best.formats) > 1:
        message = (
            f"{name}: the dates in {best.column} fit {' and '.join(best.formats)}: day and month could be swapped."
        )
        return Dates(
            best.formats,
            best.column,
            (warning("ambiguous_date", message, column=best.column, fix="Say which of them is right."),),
        )
    return best


def _formats_of(array: pa.Array, *, day_first: bool) -> tuple[str, ...]:
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        return ("iso8601",) if array.null_count < len(array) else ()
    real = False
    if is_mixed(array):
        real = part(array, "day").null_count + part(array, "moment").null_count < 2 * len(array)
        numbers = [text for text in whole_floats_as_text(part(array, "number")).to_pylist() if text]
        texts = [*part(array, "text").to_pylist(), *numbers]
    elif pa.types.is_integer(array.type):
        texts = array.cast(pa.string()).to_pylist()
    elif pa.types.is_floating(array.type):
        texts = whole_floats_as_text(array).to_pylist()
    elif pa.types.is_string(array.type):
        texts = array.to_pylist()
    else:
        return ()
    cells = list(dict.fromkeys(text.strip() for text in texts if text and text.strip()))
    if not cells:
        return ("iso8601",) if real else ()
    return _formats_for(cells, day_first=day_first)


def _formats_for(cells: list[str], *, day_first: bool) -> tuple[str, ...]:
    """The formats that read all cells, one for each way of reading them: 01-01-2017 is one day, but both orders fit it
    and the rows behind the sample decide."""
    if all(cell.isdecimal() for cell in cells):
        candidates: tuple[str, ...] = ("%Y%m%d",) if all(_COMPACT.fullmatch(cell) for cell in cells) else ()
    else:
        ordered = sorted(_FORMATS, key=lambda text: text.startswith("%m")) if day_first else _FORMATS
        candidates = ("iso8601", *ordered)
    readings: dict[tuple[tuple[int, ...], bool], str] = {}
    for candidate in candidates:
        days = _read(cells, candidate)
        if days is not None:
            month_first = "%d" in candidate and 0 <= candidate.find("%m") < candidate.find("%d")
            year_first = candidate.startswith("%Y") or "%" not in candidate
            readings.setdefault((days, month_first and not year_first), candidate)
    if not readings and candidates and _read(cells, "mixed") is not None:
        return ("mixed",)
    return tuple(readings.values())


def _read(cells: list[str], date_format: str) -> tuple[int, ...] | None:
    """The days under this format by the real reader, or None when one cell is no date in it."""
    parser = DateParser(date_format, TimezoneHandling.SOURCE_LOCAL_DATE, "UTC")
    for some in (cells[:3], cells):  # most candidates fail at once
        days, status = parser.parse(pa.array(some, pa.string()))
        if (status != Status.OK).any() or days.min() < _PLAUSIBLE[0] or days.max() > _PLAUSIBLE[1]:
            return None
    return tuple(days.tolist())
