"""How the dates of a sample could be meant. What fits two ways is asked; nothing is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

_EPOCH = date(1970, 1, 1)
_DAYS = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y%m%d", "%Y/%m/%d", "%Y.%m.%d",
    "%m.%d.%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%y", "%m-%d-%y", "%y%m%d", "%d %b %Y", "%d-%b-%Y",
    "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d%m%Y", "%m%d%Y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
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
    from integrations.engine.contract_model import TimezoneHandling
    from integrations.engine.convert import NULL_WORDS
    from integrations.engine.dates import DateParser

    texts = [text for text in values if text not in NULL_WORDS]
    if not texts:
        return ()
    found: list[Reading] = []
    meanings: set[tuple[int, ...]] = set()
    formats = ("iso8601", *(day + clock for day in _DAYS for clock in _CLOCKS))
    for date_format in formats:
        parser = DateParser(date_format, TimezoneHandling.SOURCE_LOCAL_DATE, "UTC")
        days = _days(parser, texts) if _days(parser, texts[:1]) is not None else None
        if days is None or tuple(days) in meanings:  # another spelling of the same days asks nothing new
            continue
        meanings.add(tuple(days))
        found.append(_reading(date_format, texts, days))
    return tuple(found)


def _days(parser: object, texts: Sequence[str]) -> list[int] | None:
    import pyarrow as pa

    days, status = parser.parse(pa.array(texts, pa.string()))  # type: ignore[attr-defined]  # a DateParser; imported late
    return None if status.any() else [int(day) for day in days]


def _reading(date_format: str, texts: Sequence[str], days: Sequence[int]) -> Reading:
    """The example that tells readings apart best: day and month differ."""
    best = next((at for at, day in enumerate(days) if _tells(_EPOCH + timedelta(days=day))), 0)
    return Reading(date_format, texts[best], _EPOCH + timedelta(days=days[best]))


def _tells(day: date) -> bool:
    return day.day != day.month


def format_words(date_format: str) -> str:
    """A date format as people say it: ``day.month.year``."""
    if date_format == "iso8601":
        return "year-month-day (2017-04-03)"
    if date_format == "mixed":
        return "several ways in one column"
    text = date_format
    for sign, word in _WORDS.items():
        text = text.replace(sign, word)
    return text


def usual_formats() -> tuple[tuple[str, str], ...]:
    """Formats to choose from where the sample says nothing."""
    return tuple((style, format_words(style)) for style in ("iso8601", *_DAYS[1:]))
