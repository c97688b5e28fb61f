"""A worksheet's cells in bounded memory: row by row from its XML, each cell with the type that Excel gave it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from openpyxl.utils.datetime import from_excel, from_ISO8601

from integrations.engine.xlsx_archive import Attributes, Sheet, Workbook, _Refused, local, safe_parser, unescape

MAX_CELL_SIGNS = 1_000_000
MAX_ROW = 1_048_576
MAX_CELLS_IN_ROW = 16_384
_BLOCK = 64 * 1024


class NoResult:
    """A formula whose result was never stored."""


NO_RESULT = NoResult()
Cell = float | str | date | datetime | NoResult
Row = tuple[int, dict[int, Cell]]


class _Cells:
    """Collects the rows of one sheet while its XML is parsed."""

    def __init__(self, book: Workbook, strings: list[str]) -> None:
        self._book, self._strings = book, strings
        self.rows: list[Row] = []
        self._number, self._column = 0, -1
        self._cells: dict[int, Cell] = {}
        self._kind, self._style = "n", 0
        self._text: list[str] = []
        self._signs = 0
        self._reading = self._formula = self._valued = False
        self._skipped = 0

    def start(self, name: str, values: Attributes) -> None:
        """An element begins."""
        name = local(name)
        if name == "c":
            place = values.get("r", "")
            self._column = column_of(place) if place else self._column + 1
            self._kind, style = values.get("t", "n"), values.get("s", "0")
            self._style = int(style) if style.isdecimal() and len(style) < 9 else 0
            self._text.clear()
            self._signs = 0
            self._formula = self._valued = False
        elif name in ("v", "t"):
            self._reading = not self._skipped
            self._valued |= name == "v" or self._kind == "inlineStr"
        elif name == "f":
            self._formula = True
        elif name == "row":
            number = values.get("r", "")
            self._number = max(int(number) if number.isdecimal() and len(number) < 9 else 0, self._number + 1)
            if self._number > MAX_ROW:
                raise _Refused("it has more rows than Excel knows")
            self._cells, self._column = {}, -1
        elif name == "rPh":
            self._skipped += 1

    def data(self, text: str) -> None:
        """Text within an element."""
        if self._reading:
            self._signs += len(text)
            if self._signs > MAX_CELL_SIGNS:
                raise _Refused(f"a cell in row {self._number} is longer than any cell of Excel")
            self._text.append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        name = local(name)
        if name in ("v", "t"):
            self._reading = False
        elif name == "rPh":
            self._skipped -= 1
        elif name == "c":
            value = self._value()
            if value is not None:
                if len(self._cells) >= MAX_CELLS_IN_ROW:
                    raise _Refused(f"row {self._number} has more cells than Excel knows")
                self._cells[self._column] = value
        elif name == "row" and self._cells:
            self.rows.append((self._number, self._cells))

    def _value(self) -> Cell | None:
        """The cell's value: None for an empty cell or one that shows an error such as #N/A."""
        text = "".join(self._text)
        if self._formula and not text and self._kind not in ("str", "e"):
            return NO_RESULT
        if not self._valued or self._kind == "e" or not text:
            return None
        if self._kind == "s":
            return self._strings[int(text)] or None if text.isdecimal() and int(text) < len(self._strings) else None
        if self._kind == "n":
            return self._number_or_date(text)
        if self._kind == "b":
            return "true" if text.strip() == "1" else "false"
        if self._kind == "d":
            return _plain(from_ISO8601(text), "datetime" if "T" in text else "date")
        return unescape(text)

    def _number_or_date(self, text: str) -> Cell | None:
        number = float(text)
        kinds = self._book.date_kinds
        kind = kinds[self._style] if self._style < len(kinds) else None
        if kind is None:
            return number
        try:
            return _plain(from_excel(number, self._book.epoch), kind)
        except (OverflowError, ValueError, TypeError):
            return text  # no day of any calendar: rejected where a date is needed, with what stands there


def _plain(value: date | datetime | time | timedelta, kind: str) -> Cell:
    """A date cell shown without a clock is a plain day, so no time zone ever moves it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None) if kind == "datetime" else value.date()
    return value if isinstance(value, date) else str(value)


def column_of(place: str) -> int:
    """The column of a cell's name, from 0: B7 is 1."""
    number = 0
    for sign in place[:4]:
        if not "A" <= sign <= "Z":
            break
        number = number * 26 + ord(sign) - 64
    if not 1 <= number <= MAX_CELLS_IN_ROW:
        raise _Refused("a cell lies outside of any sheet")
    return number - 1


def sheet_rows(book: Workbook, sheet: Sheet, strings: list[str]) -> Iterator[Row]:
    """The sheet's rows that have a value: the row's number, and its cells by column, from 0. Raises `FileProblem`."""
    with book.open_part(sheet.part) as stream:
        cells = _Cells(book, strings)
        parser = safe_parser()
        parser.StartElementHandler, parser.CharacterDataHandler = cells.start, cells.data
        parser.EndElementHandler = cells.end
        ended = False
        while not ended:
            block = stream.read(_BLOCK)
            ended = not block
            parser.Parse(block, ended)
            yield from cells.rows
            cells.rows.clear()
