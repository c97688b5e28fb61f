"""Cells to values, a column at once. Each function gives values and a status per row; none raises on bad cells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from integrations.engine.contract_model import IdRule
from integrations.engine.mixed import flat_text, is_mixed, part, whole_floats_as_text

ABSURD = 1e12
MAX_TEXTS = 1_000_000
MAX_ID_LENGTH = 200
NULL_WORDS = ("", "null", "NULL", "Null", "NA", "N/A", "n/a", "None", "\\N")
MAX_BROKEN = 3
_BREAKS = re.compile(r"[\r\n\t]+")  # a line break within a quoted cell is a blank
_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0"))


class Status(IntEnum):
    """The state of one cell."""

    OK = 0
    EMPTY = 1
    BAD = 2
    OUT_OF_RANGE = 3
    AMBIGUOUS = 4
    NOT_WHOLE = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A converted column: float64 `values` (NaN where not OK) and int8 `status` (a `Status` per row)."""

    values: NDArray[np.float64]
    status: NDArray[np.int8]


@lru_cache(maxsize=16)
def number_pattern(decimal: str, thousands: str | None) -> str:
    """What a number looks like under this contract; grouped digits only in whole groups of three."""
    point = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        group = re.escape(thousands)
        whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)"
    return rf"^[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d{{1,4}})?$"


def numbers(array: pa.Array, decimal: str = ".", thousands: str | None = None) -> Column:
    """Doubles from text or from a native numeric column; infinite and absurd figures are out of range."""
    if is_mixed(array):
        return _mixed_numbers(array, decimal, thousands)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if not pa.types.is_string(array.type):
        return _native(array)
    array = pc.fill_null(array, "")
    if decimal == "." and thousands is None:
        try:
            values = pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False)
            if np.isfinite(values).all():
                return _checked(values)
        except pa.ArrowInvalid:  # empty or odd cells, as the words inf and nan are: look at each distinct text
            pass
    encoded = array.dictionary_encode()
    column = _numbers_of_texts(encoded.dictionary, decimal, thousands)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    return Column(column.values[codes], column.status[codes])


def _mixed_numbers(array: pa.StructArray, decimal: str, thousands: str | None) -> Column:
    """Real numbers as they are, texts as the contract writes numbers; a date is no number."""
    real = _native(part(array, "number"))
    column = numbers(part(array, "text"), decimal, thousands)
    known = real.status != Status.EMPTY
    column.values[known], column.status[known] = real.values[known], real.status[known]
    dates = pc.or_(pc.is_valid(part(array, "day")), pc.is_valid(part(array, "moment")))
    column.status[dates.to_numpy(zero_copy_only=False)] = Status.BAD
    return column


def _native(array: pa.Array) -> Column:
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        empty = pc.is_null(array).to_numpy(zero_copy_only=False)
        status = np.where(empty, Status.EMPTY, Status.BAD).astype(np.int8)
        return Column(np.full(len(array), np.nan), status)
    empty = pc.is_null(array).to_numpy(zero_copy_only=False)
    column = _checked(pc.fill_null(array.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False))
    column.values[empty] = np.nan
    column.status[empty] = Status.EMPTY
    return column


def _checked(values: NDArray[np.float64]) -> Column:
    values = np.array(values, dtype=np.float64)
    status = np.zeros(len(values), np.int8)
    with np.errstate(invalid="ignore"):
        status[np.abs(values) > ABSURD] = Status.OUT_OF_RANGE
    status[np.isnan(values)] = Status.BAD
    values[status != Status.OK] = np.nan
    return Column(values, status)


def _numbers_of_texts(texts: pa.Array, decimal: str, thousands: str | None) -> Column:
    texts = pc.utf8_trim_whitespace(texts)
    empty = pc.is_in(texts, value_set=pa.array(NULL_WORDS)).to_numpy(zero_copy_only=False)
    good = pc.match_substring_regex(texts, number_pattern(decimal, thousands))
    clean = texts
    if thousands:
        clean = pc.replace_substring(clean, thousands, "")
    if decimal != ".":
        clean = pc.replace_substring(clean, decimal, ".")
    cast = pc.cast(pc.if_else(good, clean, "nan"), pa.float64())
    column = _checked(cast.to_numpy(zero_copy_only=False))
    column.status[empty] = Status.EMPTY
    return column


def whole_numbers(column: Column) -> Column:
    """The same column with figures that are not whole marked so."""
    with np.errstate(invalid="ignore"):
        broken = (column.status == Status.OK) & (column.values != np.floor(column.values))
    column.status[broken] = Status.NOT_WHOLE
    return column


def flags(array: pa.Array) -> Column:
    """1.0 or 0.0 from true/false words, 0 and 1, or a native truth value."""
    encoded = flat_text(array).dictionary_encode()
    values, status = [], []
    for item in encoded.dictionary.to_pylist():
        text = str(item).strip().lower()
        known = text in _TRUE or text in _FALSE
        values.append(1.0 if text in _TRUE else 0.0 if known else np.nan)
        status.append(Status.OK if known else Status.EMPTY if text in ("", "null", "none") else Status.BAD)
    return _spread(encoded, np.array(values, np.float64), np.array(status, np.int8))


def _spread(encoded: pa.DictionaryArray, values: NDArray[np.float64], status: NDArray[np.int8]) -> Column:
    """The values of the distinct cells on every row; a null row is empty."""
    codes = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
    values = np.append(values, np.nan)
    return Column(values[codes], np.append(status, np.int8(Status.EMPTY))[codes])


class TooManyIds(ValueError):
    """More different identifiers or texts in one column than are kept in memory."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        super().__init__(f"{name} has more than {limit:,} different values in one batch.")


class TextCodes:
    """Distinct texts of a whole batch as codes 0, 1, 2, …; -1 is an empty cell, -2 one that is no identifier.

    Raises `TooManyIds` beyond `limit` of them: they are what stays in memory.
    """

    def __init__(self, rule: IdRule | None = None, limit: int = MAX_TEXTS, name: str = "texts") -> None:
        self._rule, self._limit, self._name = rule or IdRule(), limit, name
        self._seen: dict[object, int] = {}
        self._codes: dict[str, int] = {}
        self.broken: list[str] = []  # some texts that had a line break inside

    def __len__(self) -> int:
        return len(self._codes)

    def texts(self) -> list[str]:
        """The texts in the order of their codes."""
        return list(self._codes)

    def encode(self, array: pa.Array) -> NDArray[np.int32]:
        """The code of every row."""
        array = flat_text(array)
        if pa.types.is_floating(array.type):
            array = whole_floats_as_text(array)
        encoded = array.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        lookup = np.fromiter((self._code(item) for item in distinct), np.int32, len(distinct))
        codes = pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
        found: NDArray[np.int32] = np.append(lookup, np.int32(-1))[codes]
        return found

    def _code(self, item: object) -> int:
        code = self._seen.get(item)
        if code is None:
            whole = str(item).strip()
            text = self._rule.apply(_BREAKS.sub(" ", str(item)))
            if not text:
                code = -1
            elif len(text) > MAX_ID_LENGTH or not text.isprintable():
                code = -2
            else:
                if len(self.broken) < MAX_BROKEN and ("\n" in whole or "\r" in whole):
                    self.broken.append(text)
                code = self._codes.setdefault(text, len(self._codes))
                if code >= self._limit:
                    raise TooManyIds(self._name, self._limit)
            if len(self._seen) >= MAX_TEXTS:  # bounded: ids are not meant to be that many spellings
                self._seen.clear()
            self._seen[item] = code
        return code
