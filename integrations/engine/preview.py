"""The first rows of a sample as canonical demand, and each cell's problem in words. Reads one block, no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from integrations.engine.chunks import Chunk, FileProblem
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import CANONICAL_FIELDS, ID_FIELDS, TEXT_FIELDS, FileSpec, Role
from integrations.engine.convert import TextCodes
from integrations.engine.dates import EPOCH
from integrations.engine.demand import Books, DemandBuilder
from integrations.engine.findings import Finding, error, info, warning
from integrations.engine.headings import REQUIRED, ColumnPlan, plan_columns
from integrations.engine.rows import REASONS, RowReader, Typed, id_rule
from integrations.engine.sources import open_source

MAX_ROWS = 200
_CELL = 120
"""Longer cells are cut in a preview."""


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row as it would be loaded: text by canonical field, and the problem of each cell that has one.

    `line` is the line in the file (the row of a parquet file). A row that falls apart as a whole (too few or too many
    cells) has no values, its `raw` text, and its problem under the empty name.
    """

    line: int
    values: dict[str, str]
    problems: dict[str, str]
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """`fields` are the canonical fields that are mapped, in the usual order; `columns` says from which column."""

    fields: tuple[str, ...] = ()
    rows: tuple[PreviewRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


def preview(contract: DataContract, files: Mapping[Role, Sequence[Path]], *, limit: int = 20) -> Preview:
    """The first `limit` rows (at most `MAX_ROWS`) of the first transactions file under this contract.

    Of every file the headings are checked; rows are read from the transactions' first block only, and neither
    repeated keys nor reference files are looked at. Nothing is raised for bad data: what is wrong is a finding.
    """
    findings: list[Finding] = []
    shown = Preview()
    for role, spec in contract.files.by_role().items():
        paths = files.get(role, ())
        if not paths:
            findings += _absent(role, spec)
        for place, path in enumerate(paths):
            try:
                if role is Role.TRANSACTIONS and place == 0:
                    shown = _first_rows(contract, spec, Path(path), min(max(limit, 1), MAX_ROWS))
                    findings += shown.findings
                else:
                    with open_source(Path(path), spec) as opened:
                        source = opened.source
                        plan = plan_columns(contract, role, source.headings, source.nested, Path(path).name)
                    findings += plan.findings
            except FileProblem as problem:
                findings.append(problem.finding)
    return Preview(shown.fields, shown.rows, tuple(dict.fromkeys(findings)), shown.columns)


def _absent(role: Role, spec: FileSpec) -> list[Finding]:
    message = f"No file for {role.value} ({spec.pattern}) is here."
    if role is Role.TRANSACTIONS:
        return [error("file_missing", message, fix="Upload a sample of your sales.")]
    return [warning("file_missing", message, fix="Upload it, too, or take it out of the contract.")]


class _CellReader(RowReader):
    """Remembers every cell's problem, where the batch needs only each row's first."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # passed on as they are
        self.marks: list[tuple[NDArray[np.int64], str, str]] = []

    def flag(self, typed: Typed, mask: NDArray[np.bool_], column: str, reason: str) -> None:
        if mask.any():
            self.marks.append((np.flatnonzero(mask), column, reason))
        super().flag(typed, mask, column, reason)


def _first_rows(contract: DataContract, spec: FileSpec, path: Path, limit: int) -> Preview:
    with open_source(path, spec) as opened:
        source = opened.source
        plan = plan_columns(contract, Role.TRANSACTIONS, source.headings, source.nested, path.name)
        fields = tuple(name for name in (*CANONICAL_FIELDS, *contract.extra_regressors) if name in plan.columns)
        books: Books = {name: TextCodes(id_rule(contract, name)) for name in ID_FIELDS}
        books |= {name: TextCodes() for name in TEXT_FIELDS}
        reader = _CellReader(contract, spec, plan, REQUIRED[Role.TRANSACTIONS], books, path.name)
        wanted = reader.wanted()
        chunk = next(iter(source.chunks(wanted)), None) if wanted else None
    if chunk is None or not (chunk.rows or chunk.ragged):
        nothing = error("no_rows", f"{path.name} has no row below its headings.", fix="Export a period with sales.")
        return Preview(fields, (), (*plan.findings, nothing) if wanted else plan.findings, dict(plan.columns))
    typed = reader.typed(chunk)
    returns = np.zeros(chunk.rows, np.bool_)
    if "quantity" in typed.numbers and not any(found.adapter for found in plan.findings):
        returns = DemandBuilder(contract, frozenset(fields), books).check(reader, typed, plan.columns)
    rows = _rows(chunk, typed, returns, plan, reader, books, limit)
    if any("returned_quantity" in row.values for row in rows):
        fields = (*fields, "returned_quantity")
    return Preview(fields, rows, (*plan.findings, *_summary(chunk, reader, typed, path.name)), dict(plan.columns))


def _rows(
    chunk: Chunk,
    typed: Typed,
    returns: NDArray[np.bool_],
    plan: ColumnPlan,
    reader: _CellReader,
    books: Books,
    limit: int,
) -> tuple[PreviewRow, ...]:
    problems: dict[int, dict[str, str]] = {}
    field_of = {source: name for name, source in plan.columns.items()}
    for indices, column, reason in reader.marks:
        for index in indices[: np.searchsorted(indices, limit)].tolist():
            problems.setdefault(index, {}).setdefault(field_of[column], REASONS[reason])
    texts = {name: book.texts() for name, book in books.items()}
    shown = min(chunk.rows, limit)
    places = chunk.locate(np.arange(shown, dtype=np.int64)) if shown else []
    rows = []
    for index, place in enumerate(places):
        bad = problems.get(index, {})
        values = {
            name: _raw(chunk, source, index) if name in bad else _value(typed, texts, name, index)
            for name, source in plan.columns.items()
        }
        if returns[index] and "quantity" not in bad:
            values |= {"returned_quantity": values["quantity"], "quantity": "0"}
        rows.append(PreviewRow(place.line, values, bad))
    last = rows[-1].line if len(rows) == limit else float("inf")
    for place in chunk.ragged[:limit]:
        if place.line <= last:
            rows.append(PreviewRow(place.line, {}, {"": REASONS["wrong_number_of_cells"]}, place.raw[:500]))
    return tuple(sorted(rows, key=lambda row: row.line)[:limit])


def _raw(chunk: Chunk, source: str, index: int) -> str:
    cell = chunk.columns[source][index].as_py()
    return "" if cell is None else str(cell)[:_CELL]


def _value(typed: Typed, texts: Mapping[str, list[str]], name: str, index: int) -> str:
    """The canonical value as text; an empty cell is empty."""
    if name == "date" and typed.days is not None:
        return date.fromordinal(int(typed.days[index]) + EPOCH).isoformat()
    if name in typed.codes:
        code = int(typed.codes[name][index])
        return texts[name][code][:_CELL] if code >= 0 else ""
    number = float(typed.numbers[name][index])
    return "" if number != number else f"{number:.12g}"


def _summary(chunk: Chunk, reader: _CellReader, typed: Typed, name: str) -> list[Finding]:
    """How the block as a whole looks: by reason, the rows that would be left out."""
    rows = chunk.rows + len(chunk.ragged)
    bad = int(np.count_nonzero(typed.bad)) + len(chunk.ragged)
    if not bad:
        return [info("preview_clean", f"All of the first {rows:,} rows of {name} can be read.", rows=rows)]
    counts: dict[tuple[str, str], int] = {}
    for indices, column, reason in reader.marks:
        counts[column, reason] = counts.get((column, reason), 0) + len(indices)
    if chunk.ragged:
        counts["", "wrong_number_of_cells"] = len(chunk.ragged)
    return [
        warning(
            f"rejected_{reason}",
            f"{count:,} of the first {rows:,} rows of {name} would be left out. {REASONS[reason]}",
            column=column or None,
            rows=count,
            fix="Correct the mapping or the format above, or mend the rows in the source.",
        )
        for (column, reason), count in sorted(counts.items(), key=lambda item: -item[1])
    ]
