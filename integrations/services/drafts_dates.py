"""How the dates of a sample could be meant. What fits two ways is asked; nothing is guessed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from django.core.cache import cache

from integrations.models import DraftFile
from integrations.services.spool import staged

_EPOCH = date(1970, 1, 1)
_BLOCKS = 4
_TEXTS = 1500
_ENOUGH = 20
_COLUMNS = 40
_DAYS = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y%m%d", "%Y/%m/%d", "%Y.%m.%d",
    "%m.%d.%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%y", "%m-%d-%y", "%y%m%d", "%d %b %Y", "%d-%b-%Y",
    "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d%m%Y", "%m%d%Y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_FORMATS = ("iso8601", *(day + clock for day in _DAYS for clock in _CLOCKS))
_WORDS = {
    "%Y": "year", "%y": "year (two digits)", "%m": "month", "%d": "day", "%b": "month", "%B": "month", "%H": "hour",
    "%I": "hour", "%M": "minute", "%S": "second", "%p": "am/pm",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a column's dates: the format, an example from the file, and the day that it would be."""

    date_format: str
    example: str
    meant: date

    @property
    def words(self) -> str:
        """The example with its meaning, such as ``03/04/2017 is 4 March 2017``."""
        return f"{self.example} is {self.meant.day} {self.meant:%B %Y}"


def readings_of(values: Sequence[str]) -> tuple[Reading, ...]:
    """Every way that reads all of these dates; none where no single format does."""
    return _readings(tuple(dict.fromkeys(value.strip() for value in values)))


@lru_cache(maxsize=64)  # a page asks several times about the same column
def _readings(values: tuple[str, ...]) -> tuple[Reading, ...]:
    from integrations.engine.convert import NULL_WORDS

    texts = [text for text in values if text not in NULL_WORDS]
    if not texts:
        return ()
    found = _fitting(texts)
    if not found and len(texts) >= _ENOUGH:  # a line of totals must not hide how all the others are written
        texts = _without_junk(texts)
        found = _fitting(texts)
    place = _telling(found)
    if place is None:
        return _made_up(found)
    return tuple(Reading(one, texts[place], _EPOCH + timedelta(days=days[place])) for one, days in found)


def _fitting(texts: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Every format that reads all the texts, with their days; of two that always agree, the first."""
    found: list[tuple[str, list[int]]] = []
    known: set[tuple[object, ...]] = set()
    for date_format in _FORMATS:
        days = _days(date_format, texts[:1]) and _days(date_format, texts)
        if not days:
            continue
        # Another spelling of the same order that gives the same days asks nothing new; another order does, even where
        # this sample cannot tell it apart (01-01-2017).
        what = (tuple(days), _order(date_format))
        if what not in known:
            known.add(what)
            found.append((date_format, days))
    return found


def _without_junk(texts: Sequence[str]) -> list[str]:
    """The texts without the few that the best format cannot read; all of them where they are not few."""
    probe = texts[:_ENOUGH]
    best = max(_FORMATS, key=lambda one: sum(_days(one, [text]) is not None for text in probe))
    good = [text for text in texts if _days(best, [text]) is not None]
    return good if len(good) >= 0.95 * len(texts) else list(texts)


def _order(date_format: str) -> str:
    """The order of year, month and day: ``dmY``."""
    text = "%Y-%m-%d" if date_format == "iso8601" else date_format
    return "".join(
        sign for sign in re.findall(r"%(.)", text.replace("%b", "%m").replace("%B", "%m")) if sign in "YymdD"
    )


def _telling(found: Sequence[tuple[str, list[int]]]) -> int | None:
    """The first text that is another day in each way (of one way: that could be mistaken); None where none tells."""
    if len(found) == 1:
        days = found[0][1]
        return next((at for at, day in enumerate(days) if _EPOCH + timedelta(days=day) != _same(day)), 0)
    ways = [days for _, days in found]
    return next((at for at, meant in enumerate(zip(*ways, strict=True)) if len(set(meant)) == len(ways)), None)


def _same(day: int) -> date:
    """The day with day and month swapped, where there is one."""
    meant = _EPOCH + timedelta(days=day)
    return date(meant.year, meant.day, meant.month) if meant.day <= 12 else date.min


def _made_up(found: Sequence[tuple[str, list[int]]]) -> tuple[Reading, ...]:
    """Readings with an example of our own, where the sample has none that tells them apart."""
    if not found:
        return ()
    text = date(2017, 3, 4).strftime("%Y-%m-%d" if found[0][0] == "iso8601" else found[0][0])
    readings = []
    for date_format, days in found:
        try:
            meant = datetime.strptime(text, "%Y-%m-%d" if date_format == "iso8601" else date_format).date()
        except ValueError:
            text, meant = "the first one", _EPOCH + timedelta(days=days[0])
        readings.append(Reading(date_format, text, meant))
    return tuple(readings)


def date_texts(row: DraftFile, spec: Mapping[str, object], column: str) -> tuple[str, ...]:
    """Distinct texts of a column, from the first blocks of a sample file: more than its first rows, never all of it.

    A file that begins in January would else leave open what its later days decide.
    """
    key = hashlib.sha256(json.dumps([row.sha256, dict(spec), column], sort_keys=True).encode()).hexdigest()
    known: tuple[str, ...] | None = cache.get(f"draft-dates-{key}")
    if known is None:
        known = _date_texts(row, spec, column)
        cache.set(f"draft-dates-{key}", known, timeout=3600)
    return known


def _date_texts(row: DraftFile, spec: Mapping[str, object], column: str) -> tuple[str, ...]:
    import pyarrow as pa

    from integrations.engine.chunks import FileProblem
    from integrations.engine.contract_model import FileSpec
    from integrations.engine.sources import open_source

    texts: dict[str, None] = {}
    try:
        with (
            staged([(row.name, row.path)]) as (path,),
            open_source(path, FileSpec.model_validate(dict(spec))) as opened,
        ):
            for number, chunk in enumerate(opened.source.chunks([column])):
                cells = chunk.columns[column]
                if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
                    return ()  # a typed column says itself what its days are
                texts |= dict.fromkeys(str(text).strip() for text in cells.unique().to_pylist() if text is not None)
                if number + 1 >= _BLOCKS or len(texts) >= _TEXTS:
                    break
    except (FileProblem, KeyError, ValueError):
        return ()
    return tuple(texts)[:_TEXTS]


def _days(date_format: str, texts: Sequence[str]) -> list[int] | None:
    """Days of the texts since 1970 under this format; None where one of them cannot be read."""
    import pyarrow as pa

    from integrations.engine.contract_model import TimezoneHandling
    from integrations.engine.dates import DateParser

    parser = DateParser(date_format, TimezoneHandling.SOURCE_LOCAL_DATE, "UTC")
    days, status = parser.parse(pa.array(texts, pa.string()))
    return None if status.any() else [int(day) for day in days]


def likely_formats(row: DraftFile, spec: Mapping[str, object]) -> list[str]:
    """How the first column that holds dates could be written, in words; empty where no column does."""
    if not row.found.get("date_formats"):
        return []
    for place, heading in enumerate(row.headings[:_COLUMNS]):
        cells = [cells[place] for cells in row.rows if place < len(cells)]
        if cells and any(sign in cells[0] for sign in "-/. ") and readings_of(cells):
            return [format_words(one.date_format) for one in readings_of([*cells, *date_texts(row, spec, heading)])]
    return []


def format_words(date_format: str) -> str:
    """A date format as people say it: ``day.month.year``."""
    if date_format == "iso8601":
        return "year-month-day (2017-04-03)"
    if date_format == "mixed":
        return "several ways in one column"
    text = " ".join(re.findall(r"%.", date_format)) if re.fullmatch(r"(?:%\w)+", date_format) else date_format
    for sign, word in _WORDS.items():
        text = text.replace(sign, word)
    return text


def usual_formats() -> tuple[tuple[str, str], ...]:
    """Formats to choose from where the sample says nothing."""
    return tuple((style, format_words(style)) for style in ("iso8601", *_DAYS[1:]))
