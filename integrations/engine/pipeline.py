"""Reading a batch: files and a contract in, verdict and canonical tables out. No database, no clock, no network."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from integrations.engine import checks
from integrations.engine.chunks import FileProblem, sha256_of
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import ID_FIELDS, TEXT_FIELDS, FileSpec, Role
from integrations.engine.convert import TextCodes, TooManyIds
from integrations.engine.demand import DemandBuilder, demand_schema
from integrations.engine.findings import Finding, Verdict, error, verdict_of, warning
from integrations.engine.headings import REQUIRED, ColumnPlan, plan_columns
from integrations.engine.lineage import lineage_map
from integrations.engine.pieces import Pieces
from integrations.engine.reference import ReferenceBuilder
from integrations.engine.rejected import RejectedRow, RejectedRows
from integrations.engine.rows import MAX_REJECTED, RowReader, Tally, id_rule
from integrations.engine.sources import open_source
from integrations.engine.types import BatchResult, FileResult, Progress

_REPEATED = "duplicate_key"
_MOST_IDS = {"store_id": 500_000, "product_id": 1_000_000}  # kept in memory, about 0.3 KiB each
_MOST_TEXTS = 100_000


@dataclass(slots=True)
class _File:
    """One file on its way: its plan once opened, its tally once read, its counts at the end."""

    number: int
    role: Role
    path: Path
    spec: FileSpec
    plan: ColumnPlan = field(default_factory=lambda: ColumnPlan({}))
    tally: Tally = field(default_factory=Tally)
    sha256: str = ""
    loaded: int = 0


def read_batch(
    contract: DataContract,
    files: Mapping[Role, Sequence[Path]],
    *,
    as_of: date | None = None,
    progress: Progress | None = None,
    ignored: Mapping[Role, frozenset[str]] | None = None,
) -> BatchResult:
    """Validate the files of one batch and make them canonical.

    `files` gives the paths by role, in the order they are read. `as_of` is the day that
    future and history are measured from; without it, the newest day in the data. `progress(done, total, message)`
    counts bytes. `ignored`: headings of a role that are read as if they were not there.
    Nothing is raised for bad data: every problem is a finding. Raises `ConservationBroken` on a defect of ours.
    """
    return _Batch(contract, files, as_of, progress, ignored or {}).run()


class _Batch:
    def __init__(
        self,
        contract: DataContract,
        files: Mapping[Role, Sequence[Path]],
        as_of: date | None,
        progress: Progress | None,
        ignored: Mapping[Role, frozenset[str]],
    ) -> None:
        self.contract, self.as_of, self.progress, self.ignored = contract, as_of, progress, ignored
        self.findings: list[Finding] = []
        self.metrics: checks.Metrics = {}
        self.books = {name: TextCodes(id_rule(contract, name), _MOST_IDS[name], name) for name in ID_FIELDS}
        self.books |= {name: TextCodes(None, _MOST_TEXTS, name) for name in TEXT_FIELDS}
        specs = contract.files.by_role()
        flat = [(role, Path(path)) for role in specs for path in files.get(role, ())]
        self.files = [_File(number, role, path, specs[role]) for number, (role, path) in enumerate(flat)]
        self.given = {role for role, _ in flat}
        self.total = sum(path.stat().st_size for _, path in flat if path.is_file())
        self.done = 0
        self.counted: checks.Metrics = {}

    def run(self) -> BatchResult:
        """All steps; a step after a failed one runs only where it can still say something."""
        self._check_given()
        for file in self.files:
            self._plan(file)
        self._check_mapped()
        tables: dict[Role, pa.Table] = {}
        demand = Pieces(demand_schema(self.contract))
        if verdict_of(self.findings) is Verdict.PASSED:
            try:
                stores = self._reference(Role.STORES, tables)
                products = self._reference(Role.PRODUCTS, tables)
                demand = self._transactions(stores, products)
                self._reference(Role.COVARIATES, tables)
            except TooManyIds as problem:
                fix = "Check that the column is the right one, or send the file in parts."
                self.findings.append(error("too_many_ids", str(problem), rows=problem.limit, fix=fix))
        return self._result(demand, tables)

    def _of(self, role: Role) -> list[_File]:
        return [file for file in self.files if file.role is role]

    def _check_given(self) -> None:
        for role, spec in self.contract.files.by_role().items():
            if role in self.given:
                continue
            message = f"No file matches {spec.pattern} ({role.value})."
            fix = "Send it along, or correct the pattern in the contract."
            if role is Role.TRANSACTIONS:
                self.findings.append(error("file_missing", message, fix=fix))
            else:
                self.findings.append(warning("file_missing", f"{message} It is not checked against.", fix=fix))

    def _plan(self, file: _File) -> None:
        """Open the file once for its headings."""
        try:
            with open_source(file.path, file.spec) as opened:
                source = opened.source
                ignored = self.ignored.get(file.role, frozenset())
                headings = [heading for heading in source.headings if heading not in ignored]
                file.plan = plan_columns(self.contract, file.role, headings, source.nested, file.path.name)
            self.findings += (*source.findings, *file.plan.findings)
        except FileProblem as problem:
            self.findings.append(problem.finding)

    def _check_mapped(self) -> None:
        """Name the mapped columns that no file has; a required one is an error of its own."""
        claimed = {source for file in self.files for source in file.plan.columns.values()}
        for source, target in self.contract.mapping.items():
            if source not in claimed and target not in REQUIRED[Role.TRANSACTIONS]:
                message = f"No file has a column {source}, so {target} stays empty."
                fix = "Correct the name in field_map if the column is called otherwise."
                self.findings.append(warning("missing_column", message, column=source, fix=fix))

    def _reader(self, file: _File) -> RowReader:
        name = file.path.name
        return RowReader(self.contract, file.spec, file.plan, REQUIRED[file.role], self.books, name)

    def _tick(self, done: int, file: _File) -> None:
        if self.progress is not None:
            self.progress(min(self.done + done, self.total), self.total, f"Reading {file.path.name}")

    def _reference(self, role: Role, tables: dict[Role, pa.Table]) -> int | None:
        """Read a role's files; the number of its identifiers, None when it was not given."""
        if role not in self.given:
            return None
        builder = ReferenceBuilder(role, self.books)
        for file in self._of(role):
            reader = self._reader(file)
            file.tally = reader.tally
            try:
                with open_source(file.path, file.spec) as opened:
                    for chunk in opened.source.chunks(reader.wanted()):
                        typed = reader.typed(chunk)
                        builder.add(typed, reader.settle(chunk, typed), file.number)
                        self._tick(opened.bytes_done(), file)
                    file.sha256 = opened.sha256()
                self.done += file.path.stat().st_size
            except FileProblem as problem:
                self.findings.append(problem.finding)
            if role is Role.COVARIATES:
                scratch: checks.Metrics = {}
                self.findings += checks.check_tally(self.contract, file.plan, file.tally, file.path.name, scratch)
            else:
                self.findings += _reference_findings(file)
        tables[role], loaded, conflicts = builder.finish()
        self._spread_loaded(loaded)
        if conflicts:
            message = (
                f"{conflicts:,} rows of the {role.value} file repeat a key with other values; the last one counts."
            )
            self.findings.append(warning("reference_conflict", message, rows=conflicts, fix="Keep one row for each."))
        return len(self.books["store_id" if role is Role.STORES else "product_id"])

    def _spread_loaded(self, loaded: NDArray[np.int64]) -> None:
        for number, count in enumerate(loaded.tolist()):
            if count:
                self.files[number].loaded += count

    def _transactions(self, stores: int | None, products: int | None) -> Pieces:
        files = self._of(Role.TRANSACTIONS)
        present = frozenset(name for file in files for name in file.plan.columns)
        builder = DemandBuilder(self.contract, present, self.books)
        builder.known_stores, builder.known_products = stores, products
        for file in files:
            self._read_transactions(file, builder)
        demand = builder.finish()
        read = sum(file.tally.read for file in files)
        for field_name in ID_FIELDS:
            self.findings += checks.check_line_breaks(field_name, self.books[field_name].broken)
        self.findings += checks.check_duplicates(self.contract, builder.repeated, read, self.metrics)
        self.findings += checks.check_dates(self.contract, builder.row_days, self.as_of, self.metrics)
        if builder.drops and verdict_of(self.findings) is Verdict.PASSED:
            for file in files:
                self._reject_repeated(file, builder)
        self._spread_loaded(builder.loaded)
        found = {"stores": builder.stores, "products": builder.products, "series": builder.series}
        self.counted = {**found, "demand_rows": demand.num_rows}
        if verdict_of(self.findings) is Verdict.PASSED:
            self.findings += checks.check_counters(demand)
            if not demand.num_rows:
                fix = "See the rejected rows for the reasons."
                self.findings.append(error("nothing_to_load", "No row is left to load.", rows=read, fix=fix))
        return demand

    def _read_transactions(self, file: _File, builder: DemandBuilder) -> None:
        reader = self._reader(file)
        file.tally = reader.tally
        try:
            with open_source(file.path, file.spec) as opened:
                for chunk in opened.source.chunks(reader.wanted()):
                    typed = reader.typed(chunk)
                    returns = builder.check(reader, typed, file.plan.columns)
                    good = reader.settle(chunk, typed)
                    builder.add(typed, good, returns, file.number)
                    self._tick(opened.bytes_done(), file)
                file.sha256 = opened.sha256()
        except FileProblem as problem:
            self.findings.append(problem.finding)
            return
        self.done += file.path.stat().st_size
        name = file.path.name
        self.findings += checks.check_tally(self.contract, file.plan, file.tally, name, self.metrics)
        self.findings += checks.check_references(self.contract, file.plan, file.tally, name, self.metrics)

    def _reject_repeated(self, file: _File, builder: DemandBuilder) -> None:
        """Second reading, only under dedupe_policy reject: name each row whose key occurs more than once."""
        reader = self._reader(file)
        column = file.plan.columns["date"]
        found = RejectedRows()
        with open_source(file.path, file.spec) as opened:
            for chunk in opened.source.chunks(reader.wanted()):
                typed = reader.typed(chunk)
                returns = builder.check(reader, typed, file.plan.columns)
                good = ~typed.bad
                rows = np.flatnonzero(good)[builder.repeats(typed, good, returns)]
                file.tally.rejected_count += len(rows)
                file.tally.good -= len(rows)
                room = max(MAX_REJECTED - len(file.tally.rejected) - len(found), 0)
                found.extend(
                    RejectedRow(file.path.name, place.line, column, _REPEATED, place.raw)
                    for place in (chunk.locate(rows[:room]) if len(rows) and room else [])
                )
        file.tally.rejected = RejectedRows(heapq.merge(file.tally.rejected, found, key=lambda row: row.line))
        if file.tally.reasons[column, _REPEATED] == 0 and found:
            tally = Tally(rejected_count=file.tally.rejected_count)
            tally.reasons[column, _REPEATED] = len(found)
            self.findings += checks.rejected_findings(tally, file.path.name)

    def _result(self, demand: Pieces, tables: dict[Role, pa.Table]) -> BatchResult:
        verdict = verdict_of(self.findings)
        passed = verdict is Verdict.PASSED
        if not passed:
            demand = Pieces(demand.schema)
            tables = {role: table.slice(0, 0) for role, table in tables.items()}
        else:
            self.metrics |= self.counted
        self.metrics["rows_with_errors"] = sum(file.tally.rejected_count for file in self.files)
        return BatchResult(
            contract=self.contract,
            verdict=verdict,
            findings=tuple(_ordered(self.findings)),
            metrics=dict(sorted(self.metrics.items())),
            thresholds=self.contract.thresholds(),
            files=tuple(_file_result(file, passed) for file in self.files if file.path.is_file()),
            pieces=demand,
            future=tables.get(Role.COVARIATES),
            stores=tables.get(Role.STORES),
            products=tables.get(Role.PRODUCTS),
            rejected=_all_rejected(self.files),
            units=units_of(demand, "quantity"),
            returned_units=units_of(demand, "returned_quantity"),
            lineage=lineage_map(self.contract, [(file.role, file.path.name, file.plan) for file in self.files]),
        )


def units_of(demand: Pieces, column: str) -> float:
    """The sum of a column over all pieces."""
    return float(sum(np.sum(piece[column].to_numpy()) for piece in demand))


def _all_rejected(files: Sequence[_File]) -> RejectedRows:
    """The rejected rows of all files in their order."""
    kept = [file.tally.rejected for file in files if file.tally.rejected]
    return kept[0] if len(kept) == 1 else RejectedRows(row for rows in kept for row in rows)


def _reference_findings(file: _File) -> list[Finding]:
    name = file.path.name
    if not file.tally.read:
        return [error("no_rows", f"{name} has headings and no rows.", fix="Export it again.")]
    return checks.rejected_findings(file.tally, name)


def _file_result(file: _File, passed: bool) -> FileResult:
    tally = file.tally
    loaded, merged, rejected = file.loaded, tally.good - file.loaded, tally.rejected_count
    if not passed:  # a batch loads wholly or not at all
        loaded, merged, rejected = 0, 0, tally.read
    sha256 = file.sha256 or sha256_of(file.path)
    size = file.path.stat().st_size
    return FileResult(file.role, file.path.name, sha256, size, tally.read, loaded, merged, rejected)


def _ordered(findings: list[Finding]) -> list[Finding]:
    """Errors first; otherwise as they were found."""
    weight = {"error": 0, "warning": 1, "info": 2}
    return sorted(dict.fromkeys(findings), key=lambda found: (weight[found.severity.value], not found.adapter))
