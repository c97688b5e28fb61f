"""Date cells to days, a column at once: only distinct texts are parsed, and an ambiguous one is never guessed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from integrations.engine.contract_model import TimezoneHandling
from integrations.engine.convert import NULL_WORDS, Status
from integrations.engine.mixed import is_mixed, part, whole_floats_as_text

EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY = 0  # 1970-01-01
LAST_DAY = date(2100, 12, 31).toordinal() - EPOCH
_CACHE_LIMIT = 500_000
_VECTOR_DIRECTIVES = frozenset("YmdHMS")
_TIME = re.compile(r"[T ]\d{1,2}:\d{2}")
_NAMED = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y", "%d. %B %Y")
_SLASHED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})((?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?)")


class DateParser:
    """Parses date cells under one date format and time zone rule; days count from 1970-01-01."""

    def __init__(self, date_format: str, handling: TimezoneHandling, timezone: str) -> None:
        self._format, self._handling, self._zone_name = date_format, handling, timezone
        self._zone = ZoneInfo(timezone)
        self._cache: dict[str, tuple[int, int]] = {}
        directives = frozenset(re.findall(r"%(.)", date_format))
        self._vector = date_format != "mixed" and (date_format == "iso8601" or directives <= _VECTOR_DIRECTIVES)
        self._has_time = bool(directives & set("HIMS"))

    def parse(self, array: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Day and `Status` of every row; a day outside 1970-2100 is out of range."""
        if is_mixed(array):
            return self._mixed(array)
        if pa.types.is_floating(array.type):  # a workbook's 20170131
            array = whole_floats_as_text(array)
        if pa.types.is_date(array.type):
            return self._finish(array.cast(pa.date32()).cast(pa.int32()))
        if pa.types.is_timestamp(array.type):
            return self._finish(self._days_of_moments(array))
        encoded = array.dictionary_encode()
        texts = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string()))
        days, status = self._texts(texts)
        codes = pc.fill_null(encoded.indices, len(days)).to_numpy(zero_copy_only=False)
        return np.append(days, np.int32(0))[codes], np.append(status, np.int8(Status.EMPTY))[codes]

    def _mixed(self, array: pa.StructArray) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Real dates as they are; texts, and numbers written as text, in the contract's format."""
        days, status = self.parse(pc.coalesce(part(array, "text"), whole_floats_as_text(part(array, "number"))))
        for kind in ("day", "moment"):
            known = pc.is_valid(part(array, kind)).to_numpy(zero_copy_only=False)
            some_days, some_status = self.parse(part(array, kind))
            days[known], status[known] = some_days[known], some_status[known]
        return days, status

    def _finish(self, days: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        empty = pc.is_null(days).to_numpy(zero_copy_only=False)
        values = pc.fill_null(days, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        status = np.where((values < FIRST_DAY) | (values > LAST_DAY), Status.OUT_OF_RANGE, Status.OK).astype(np.int8)
        status[empty] = Status.EMPTY
        return values.clip(FIRST_DAY, LAST_DAY).astype(np.int32), status

    def _texts(self, texts: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Distinct, trimmed texts: all at once where pyarrow can, the rest one by one (and remembered)."""
        days = np.zeros(len(texts), np.int32)
        status = np.full(len(texts), Status.BAD, np.int8)
        rest = np.arange(len(texts))
        if self._vector and len(texts) > 2000:  # few texts are faster one by one, and the cache knows them
            moments = self._vector_parse(texts)
            known = pc.is_valid(moments).to_numpy(zero_copy_only=False)
            some_days, some_status = self._finish(self._days_of_moments(moments))
            days[known], status[known] = some_days[known], some_status[known]
            rest = np.flatnonzero(~known)
        for index, text in zip(rest.tolist(), texts.take(pa.array(rest)).to_pylist(), strict=True):
            days[index], status[index] = self._one_cached(text)
        return days, status

    def _vector_parse(self, texts: pa.Array) -> pa.Array:
        if self._format != "iso8601":
            moments = pc.strptime(texts, format=self._format, unit="s", error_is_null=True)
            # It rolls 31 February over into March: what does not write back as it was is left to Python.
            same = pc.equal(pc.strftime(moments, format=self._format), texts)
            return pc.if_else(pc.fill_null(same, False), moments, pa.scalar(None, moments.type))
        plain = pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.]\d+)?)?$")
        seconds = pc.utf8_slice_codeunits(texts, 0, 19)
        try:
            return pc.cast(pc.if_else(plain, seconds, None), pa.timestamp("s"))
        except pa.ArrowInvalid:  # one impossible moment among them
            return pa.nulls(len(texts), pa.timestamp("s"))

    def _days_of_moments(self, moments: pa.Array) -> pa.Array:
        """Timestamps (with or without a zone) to days by the contract's rule."""
        zoned = moments.type.tz is not None
        if self._format not in ("iso8601", "mixed") and not self._has_time and not zoned:
            return moments.cast(pa.date32(), safe=False).cast(pa.int32())
        if self._handling is TimezoneHandling.CONVERT_TO_PROFILE_TZ_DATE:
            moments = moments if zoned else pc.assume_timezone(moments, "UTC")
            moments = pc.local_timestamp(moments.cast(pa.timestamp(moments.type.unit, self._zone_name)))
        elif self._handling is TimezoneHandling.UTC_DATE:
            if not zoned:
                moments = pc.assume_timezone(moments, self._zone_name, ambiguous="earliest", nonexistent="earliest")
            moments = pc.local_timestamp(moments.cast(pa.timestamp(moments.type.unit, "UTC")))
        elif zoned:
            moments = pc.local_timestamp(moments)
        return pc.floor_temporal(moments, unit="day").cast(pa.date32(), safe=False).cast(pa.int32())

    def _one_cached(self, text: str) -> tuple[int, int]:
        found = self._cache.get(text)
        if found is None:
            if len(self._cache) > _CACHE_LIMIT:
                self._cache.clear()
            found = self._cache[text] = self._one(text)
        return found

    def _one(self, text: str) -> tuple[int, int]:
        if text in NULL_WORDS:
            return 0, Status.EMPTY
        if self._format == "mixed":
            slashed = _SLASHED.fullmatch(text)
            if slashed:
                return self._slashed(slashed)
        try:
            moment, has_time = self._moment(text)
            day = self._day(moment) if has_time else moment.date()
        except (ValueError, OverflowError):
            return 0, Status.BAD
        days = day.toordinal() - EPOCH
        return (days, Status.OK) if FIRST_DAY <= days <= LAST_DAY else (0, Status.OUT_OF_RANGE)

    def _moment(self, text: str) -> tuple[datetime, bool]:
        if self._format not in ("iso8601", "mixed"):
            return datetime.strptime(text, self._format), self._has_time
        try:
            return datetime.fromisoformat(text), bool(_TIME.search(text))
        except ValueError:
            if self._format == "iso8601":
                raise
        for style in _NAMED:
            try:
                return datetime.strptime(text, style), False
            except ValueError:
                continue
        raise ValueError(text)

    def _slashed(self, found: re.Match[str]) -> tuple[int, int]:
        """3/4/2017 could be either day: ambiguous. 13/4/2017 and 4/4/2017 can be only one."""
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        if first <= 12 and second <= 12 and first != second:
            return 0, Status.AMBIGUOUS
        day, month = (first, second) if first > 12 else (second, first)
        clock = found[5].strip("T ")
        try:
            moment = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}" + (f"T{clock:0>5}" if clock else ""))
            found_day = self._day(moment) if clock else moment.date()
        except (ValueError, OverflowError):
            return 0, Status.BAD
        days = found_day.toordinal() - EPOCH
        return (days, Status.OK) if FIRST_DAY <= days <= LAST_DAY else (0, Status.OUT_OF_RANGE)

    def _day(self, moment: datetime) -> date:
        """The calendar day of a moment: written without a zone it is UTC when converted to the profile's zone, and
        the profile's own time when converted to UTC."""
        if self._handling is TimezoneHandling.CONVERT_TO_PROFILE_TZ_DATE:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(self._zone).date()
        if self._handling is TimezoneHandling.UTC_DATE:
            return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).astimezone(UTC).date()
        return moment.date()
