"""An Excel workbook as rows: which sheet, where its headings stand, and cells with the types that Excel gave them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from integrations.engine.chunks import MAX_COLUMNS, RAW_LIMIT, Chunk, FileProblem, Place
from integrations.engine.findings import Finding, error, info
from integrations.engine.mixed import number_text, typed_column
from integrations.engine.xlsx_archive import Sheet, Workbook
from integrations.engine.xlsx_cells import Cell, NoResult, Row, sheet_rows

CHUNK_ROWS = 20_000
HEADING_WITHIN = 25


class XlsxSource:
    """One sheet of a workbook. Raises `FileProblem` from the constructor and from `chunks`. Close it after use."""

    nested: frozenset[str] = frozenset()

    def __init__(self, path: Path, sheet: str | None = None) -> None:
        self._name = path.name
        if path.stat().st_size == 0:
            raise FileProblem(error("empty_file", f"{path.name} is empty.", fix="Export it again and check its size."))
        self._book = Workbook(path)
        try:
            self._strings = self._book.strings()
            self.sheet = self._choose(sheet)
            self._headings_at, self._titles = self._find_headings(self.sheet)
            self._read_headings()
        except BaseException:
            self._book.close()
            raise
        self.sheets = tuple(found.name for found in self._book.sheets)
        self.findings = tuple(self._remarks(sheet))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._book.close()

    def _choose(self, wanted: str | None) -> Sheet:
        """The sheet that the contract names, else the first visible one with headings and a row."""
        sheets = self._book.sheets
        if wanted is not None:
            for fold in (str, lambda text: text.strip().casefold()):
                for sheet in sheets:
                    if fold(sheet.name) == fold(wanted):
                        return sheet
            names = ", ".join(sheet.name for sheet in sheets[:10])
            message = f"{self._name} has no sheet {wanted}; it has {names}."
            raise FileProblem(error("sheet_missing", message, fix="Set sheet to one of them."))
        shown = [sheet for sheet in sheets if not sheet.hidden] or list(sheets)
        filled = [sheet for sheet in shown if self._some(sheet, 1)]
        with_rows = (sheet for sheet in filled if sum(len(cells) > 1 for _, cells in self._some(sheet)) > 1)
        chosen = next(with_rows, filled[0] if filled else None)
        if chosen is None:
            raise FileProblem(
                error("empty_file", f"{self._name} has no filled cell.", fix="Export it again for a period with sales.")
            )
        return chosen

    def _some(self, sheet: Sheet, rows: int = 2 * HEADING_WITHIN) -> list[Row]:
        return list(islice(sheet_rows(self._book, sheet, self._strings), rows))

    def _find_headings(self, sheet: Sheet) -> tuple[int, int]:
        """The row number of the headings and how many filled rows (titles) stand above it.

        It is the first of the upper rows that fills at least half as many cells as the fullest of them.
        """
        rows = self._some(sheet)
        if not rows:
            raise FileProblem(
                error("empty_file", f"{self._name}: the sheet {sheet.name} is empty.", fix="Choose another sheet.")
            )
        fullest = max(len(cells) for _, cells in rows)
        needed = max((fullest + 1) // 2, min(2, fullest))
        for above, (number, cells) in enumerate(rows[:HEADING_WITHIN]):
            if len(cells) >= needed:
                return number, above
        return rows[0][0], 0

    def _read_headings(self) -> None:
        cells = next(cells for number, cells in self._rows() if number == self._headings_at)
        self.headings = [_text(cells.get(index)).strip() for index in range(max(cells) + 1)]

    def _rows(self) -> Iterator[Row]:
        return sheet_rows(self._book, self.sheet, self._strings)

    def _remarks(self, wanted: str | None) -> Iterator[Finding]:
        others = [name for name in self.sheets if name != self.sheet.name]
        if others and wanted is None:
            message = f"{self._name}: the sheet {self.sheet.name} is read; there are also {', '.join(others[:10])}."
            yield info("several_sheets", message, fix="Set sheet if another one holds the data.")
        if self._titles:
            message = f"{self._name}: the headings are in row {self._headings_at}; the title above them is left out."
            yield info("title_rows", message, fix="Nothing to do if these are the headings: " + self._shown() + ".")

    def _shown(self) -> str:
        return ", ".join(self.headings[:8]) + (", …" if len(self.headings) > 8 else "")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows below the headings, only these columns; a row without any filled cell under a heading is none."""
        places = {name: self.headings.index(name) for name in columns}
        used = [index for index, heading in enumerate(self.headings) if heading][:MAX_COLUMNS]
        rows = (row for row in self._rows() if row[0] > self._headings_at)
        while some := list(islice(rows, CHUNK_ROWS)):
            kept = [(number, cells) for number, cells in some if any(index in cells for index in used)]
            if kept:
                yield self._chunk(kept, places)

    def _chunk(self, rows: list[Row], places: dict[str, int]) -> Chunk:
        arrays = {}
        for name, index in places.items():
            column = [cells.get(index) for _, cells in rows]
            for (number, _), cell in zip(rows, column, strict=True):
                if isinstance(cell, NoResult):
                    raise self._no_result(name, number)
            arrays[name] = typed_column(column)

        def locate(indices: NDArray[np.int64]) -> list[Place]:
            return [Place(rows[index][0], self._raw(rows[index][1])) for index in indices.tolist()]

        return Chunk(len(rows), arrays, locate)

    def _raw(self, cells: dict[int, Cell]) -> str:
        """The row as JSON by heading, for the list of rejected rows."""
        filled = {
            self.headings[index]: _text(cell)
            for index, cell in sorted(cells.items())
            if index < len(self.headings) and self.headings[index]
        }
        return json.dumps(filled, ensure_ascii=False)[:RAW_LIMIT]

    def _no_result(self, name: str, number: int) -> FileProblem:
        message = f"{self._name}: {name} in row {number} is a formula whose result was never stored."
        fix = "Open the workbook in your spreadsheet program and save it, or export values instead of formulas."
        return FileProblem(error("formula_without_result", message, column=name, fix=fix))


def _text(cell: Cell | None) -> str:
    """A cell as a person would type it."""
    if cell is None or isinstance(cell, NoResult):
        return ""
    if isinstance(cell, float):
        return number_text(cell)
    return cell.isoformat(sep=" ") if isinstance(cell, datetime) else str(cell)
