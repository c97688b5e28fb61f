"""A first look at a file that nobody has described yet: what it is, how it is written, and its first rows.

Only the start of the file is read. Nothing is raised for bad data: what cannot be read has findings and no headings.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from integrations.engine.chunks import BLOCK_BYTES, MAX_COLUMNS, FileProblem, HashingReader, RowSource
from integrations.engine.contract_model import FileFormat, FileSpec
from integrations.engine.findings import Finding, error, warning
from integrations.engine.gzip_reader import MAGIC, GzipReader
from integrations.engine.mixed import flat_text
from integrations.engine.ndjson_source import NotAnObject, parse_line
from integrations.engine.sniff_dates import guess_dates
from integrations.engine.sniff_text import guess_encoding, guess_numbers
from integrations.engine.sources import open_source
from integrations.engine.xlsx_source import XlsxSource

_SIGNS = (",", ";", "\t", "|")
_SAMPLE_RECORDS = 400
_LINES = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a file seems to be.

    `rows` are the first rows as text, in the order of `headings`. `date_formats` read every sampled value of the
    likeliest date column, best first: two or more mean that the file alone cannot tell (03/04/2017), none that no
    column holds dates.
    """

    name: str
    format: FileFormat
    compressed: bool = False
    encoding: str = "utf-8"
    delimiter: str = ","
    decimal: str = "."
    thousands: str | None = None
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    date_formats: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def spec(self, pattern: str) -> FileSpec:
        """The declaration of such a file in a contract."""
        return FileSpec.model_validate(
            {
                "pattern": pattern,
                "format": self.format,
                "delimiter": self.delimiter,
                "decimal": self.decimal,
                "thousands": self.thousands,
                "encoding": self.encoding,
                "sheet": self.sheet if len(self.sheets) > 1 else None,
            }
        )


def sniff_file(path: Path, *, name: str | None = None, rows: int = 200) -> Sniffed:
    """Look at the start of a file. `name` is what a person calls it, when the path is another."""
    shown = name or path.name
    found = Sniffed(shown, FileFormat.CSV)
    try:
        start, compressed = _start(path, shown)
        found = _written(replace(found, compressed=compressed), start)
        return _looked_at(found, path, rows)
    except FileProblem as problem:
        return replace(found, headings=(), rows=(), findings=(*found.findings, _named(problem.finding, path, shown)))
    except OSError as problem:
        message = f"{shown} cannot be read: {problem.strerror}."
        return replace(found, findings=(error("file_unreadable", message, fix="Send the file again."),))


def _named(finding: Finding, path: Path, shown: str) -> Finding:
    """The finding under the name that the person knows."""
    return replace(finding, message=finding.message.replace(path.name, shown))


def _start(path: Path, name: str) -> tuple[bytes, bool]:
    """The first bytes, unpacked, and whether they were packed."""
    with path.open("rb") as stream:
        reader = HashingReader(stream)
        if stream.peek(len(MAGIC))[: len(MAGIC)] == MAGIC:
            return GzipReader(reader, name).read(BLOCK_BYTES), True
        return reader.read(BLOCK_BYTES), False


def _written(found: Sniffed, start: bytes) -> Sniffed:
    """The format by the first bytes, and how a text is written."""
    if start.startswith(b"PAR1"):
        return replace(found, format=FileFormat.PARQUET)
    if start.startswith(b"PK\x03\x04"):
        return replace(found, format=FileFormat.XLSX)
    encoding, remarks = guess_encoding(start, found.name)
    whole = len(start) < BLOCK_BYTES
    text = start.decode(encoding, errors="replace").removeprefix("\ufeff")
    found = replace(found, encoding=encoding, findings=remarks)
    if _is_ndjson(text):
        return replace(found, format=FileFormat.NDJSON)
    if text.lstrip()[:1] in ("{", "["):
        fix = "Export JSON Lines (NDJSON): each sale as one flat object on its own line."
        message = f"{found.name} is one JSON document, not one JSON object per line."
        raise FileProblem(error("not_ndjson", message, fix=fix))
    if text.lstrip()[:1] == "<":
        fix = "Export a table: CSV, Excel or NDJSON."
        raise FileProblem(error("markup", f"{found.name} is XML or HTML, not a table of rows.", fix=fix))
    lines = text if whole else text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    delimiter, title = _delimiter(lines)
    if title:
        message = f"{found.name}: its first line is a title, not the headings."
        findings = (*found.findings, error("title_rows", message, fix="Delete the lines above the headings."))
        found = replace(found, findings=findings)
    return replace(found, delimiter=delimiter)


def _is_ndjson(text: str) -> bool:
    lines = [line for line in _LINES.split(text[:200_000])[:50] if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        return False
    good = 0
    for line in lines:
        try:
            parse_line(line.encode("utf-8", "surrogatepass"))
            good += 1
        except NotAnObject:
            continue
    return good * 2 >= len(lines)


def _delimiter(text: str) -> tuple[str, bool]:
    """The sign that cuts most records into as many cells as the headings, and whether a title stands above those."""
    best = (False, False, 0, 0.0)
    chosen, title = ",", False
    for sign in _SIGNS:
        widths = [len(record) for record in _records(text, sign) if record]
        if not widths or max(widths) < 2:
            continue
        above = next((index for index, width in enumerate(widths) if width * 2 > max(widths)), 0)
        body = widths[above:]
        share = sum(width == body[0] for width in body) / len(body)
        score = (share >= 0.8, not above, body[0], share)  # a decimal comma cuts all lines but the headings
        if score > best:
            best, chosen, title = score, sign, above > 0
    return chosen, title


def _records(text: str, sign: str) -> list[list[str]]:
    records: list[list[str]] = []
    try:
        for record in csv.reader(_LINES.split(text[:1_000_000]), delimiter=sign):
            records.append(record)
            if len(records) >= _SAMPLE_RECORDS:
                break
    except csv.Error:  # a cell above the reader's limit, or a stray NUL
        return records
    return records


def _looked_at(found: Sniffed, path: Path, count: int) -> Sniffed:
    """Headings and first rows by the very reader that loads the file later, and what the values tell."""
    with open_source(path, found.spec("any")) as opened:
        source = opened.source
        found = replace(found, findings=(*found.findings, *(_named(f, path, found.name) for f in source.findings)))
        if isinstance(source, XlsxSource):
            found = replace(found, sheet=source.sheet.name, sheets=source.sheets)
        if len(source.headings) > MAX_COLUMNS:
            message = f"{found.name} has {len(source.headings):,} columns; {MAX_COLUMNS:,} is the limit."
            fix = "Export only the columns that are needed."
            raise FileProblem(error("too_many_columns", message, fix=fix))
        headings = tuple(source.headings)
        columns = _first_columns(source, count)
    texts = [_texts(columns.get(heading)) for heading in headings]
    length = max((len(column) for column in texts), default=0)
    texts = [column or [""] * length for column in texts]
    found = replace(found, headings=headings, rows=tuple(zip(*texts, strict=True)) if length else ())
    if source.nested:
        names = ", ".join(sorted(source.nested))
        message = f"{found.name}: {names} holds lists or records; such a column cannot be used."
        found = replace(found, findings=(*found.findings, warning("nested_values", message, fix="Export it flat.")))
    if not found.rows:
        if any(finding.code == "title_rows" for finding in found.findings):
            return found
        message = f"{found.name} has headings and no rows."
        return replace(found, findings=(*found.findings, error("no_rows", message, fix="Export it again.")))
    numbers = guess_numbers(found.name, [_written_cells(columns.get(heading)) for heading in headings], headings)
    dates = guess_dates(found.name, headings, [columns.get(heading) for heading in headings], numbers.decimal)
    findings = (*found.findings, *numbers.findings, *dates.findings)
    return replace(
        found,
        decimal=numbers.decimal,
        thousands=numbers.thousands,
        date_formats=dates.formats,
        findings=findings,
    )


def _first_columns(source: RowSource, count: int) -> dict[str, pa.Array]:
    """The first rows of every flat column."""
    wanted = [heading for heading in dict.fromkeys(source.headings) if heading not in source.nested]
    for chunk in source.chunks(wanted):
        if chunk.rows:
            return {name: array.slice(0, count) for name, array in chunk.columns.items()}
    return {}


def _texts(array: pa.Array | None) -> list[str]:
    if array is None:
        return []
    array = flat_text(array)
    return ["" if cell is None else _short(cell) for cell in array.to_pylist()]


def _short(cell: object) -> str:
    if isinstance(cell, float) and cell == cell and abs(cell) < 1e15 and cell == int(cell):
        return str(int(cell))
    return str(cell)[:500]


def _written_cells(array: pa.Array | None) -> Sequence[str]:
    """The cells that are text in the file itself: a real number or date says nothing about how texts are written."""
    if array is None or not (pa.types.is_string(array.type) or pa.types.is_struct(array.type)):
        return ()
    texts = array if pa.types.is_string(array.type) else array.field("text")
    return [text.strip() for text in texts.to_pylist() if text and text.strip()]
