"""What a person or a program reads after a batch: JSON, Markdown, and the artifacts of an onboarding."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from integrations.engine.contract import contract_sha256
from integrations.engine.rejected import RejectedRow
from integrations.engine.rows import REASONS
from integrations.engine.spreadsheet import plain_cell
from integrations.engine.types import BatchResult

COUNTERS = ("rows_read", "rows_loaded", "rows_merged", "rows_rejected")
_VERDICTS = {
    "passed": "Passed: the data can be loaded.",
    "failed": "Failed: nothing is loaded until the errors below are mended.",
    "requires_custom_adapter": "Requires a custom adapter: no contract can express this file as it is.",
}


def report_json(result: BatchResult) -> dict[str, Any]:
    """The report as plain JSON values; the same input gives the same report."""
    files = [
        {"role": file.role.value, "name": file.name, "sha256": file.sha256, "bytes": file.bytes}
        | {counter: getattr(file, counter) for counter in COUNTERS}
        for file in result.files
    ]
    return {
        "verdict": result.verdict.value,
        "contract": {
            "tenant": result.contract.tenant,
            "source": result.contract.source,
            "source_type": result.contract.source_type.value,
            "frequency": result.contract.grain.value,
            "country_code": result.contract.country_code,
            "sha256": contract_sha256(result.contract),
        },
        "findings": [finding.as_dict() for finding in result.findings],
        "metrics": dict(result.metrics),
        "thresholds": dict(result.thresholds),
        "files": files,
        "totals": {counter: result.total(counter) for counter in COUNTERS},
        "units": result.units,
        "returned_units": result.returned_units,
    }


def report_markdown(result: BatchResult) -> str:
    """The report for a person."""
    contract = result.contract
    lines = [f"# {contract.tenant}: {contract.source}", "", f"**{_VERDICTS[result.verdict.value]}**", ""]
    if result.findings:
        lines += ["| | what | rows | column | what to do |", "|---|---|---:|---|---|"]
        for found in result.findings:
            rows = "" if found.rows is None else f"{found.rows:,}"
            cells = (found.severity.value, found.message, rows, found.column or "", found.fix)
            lines.append("| " + " | ".join(_cell(text) for text in cells) + " |")
        lines.append("")
    lines += ["| file | role | rows read | loaded | merged | rejected |", "|---|---|---:|---:|---:|---:|"]
    for file in result.files:
        counts = " | ".join(f"{getattr(file, counter):,}" for counter in COUNTERS)
        lines.append(f"| {_cell(file.name)} | {file.role.value} | {counts} |")
    lines += [
        "",
        f"Units sold {result.units:,.2f}, returned {result.returned_units:,.2f} ({contract.quantity_uom}).",
        "",
    ]
    lines += ["| measured | value |", "|---|---:|"]
    lines += [f"| {name} | {value} |" for name, value in result.metrics.items()]
    return "\n".join(lines) + "\n"


def schema_snapshot(result: BatchResult) -> dict[str, Any]:
    """The canonical columns with their types and how many rows have a value."""
    demand = result.pieces
    empty = dict.fromkeys(demand.schema.names, 0)
    for piece in demand:
        for name in empty:
            empty[name] += piece[name].null_count
    columns = [
        {"name": entry.name, "type": _type_name(entry.type), "filled": demand.num_rows - empty[entry.name]}
        for entry in demand.schema
    ]
    return {"columns": columns, "rows": demand.num_rows, "contract_sha256": contract_sha256(result.contract)}


def rejected_csv(rows: Iterable[RejectedRow]) -> str:
    """The rejected rows as one text; see `write_rejected`, which needs no memory for many of them."""
    out = io.StringIO()
    write_rejected(rows, out)
    return out.getvalue()


def write_rejected(rows: Iterable[RejectedRow], out: TextIO) -> None:
    """The rejected rows as CSV; a cell that a spreadsheet would run as a formula is defused with an apostrophe."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("file", "line", "column", "reason", "explanation", "raw"))
    for row in rows:
        cells = (row.file, row.line, row.column, row.reason, REASONS.get(row.reason, ""), row.raw)
        writer.writerow([plain_cell(cell) if isinstance(cell, str) else cell for cell in cells])


def write_artifacts(result: BatchResult, folder: Path) -> list[Path]:
    """Write the artifact package of an onboarding into a folder; the same input gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "contract_validation_report.json": _dump(report_json(result)),
        "contract_validation_report.md": report_markdown(result),
        "column_lineage_map.json": _dump(dict(result.lineage)),
        "canonical_schema_snapshot.json": _dump(schema_snapshot(result)),
    }
    paths = []
    for name, text in texts.items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8", newline="\n")
    paths.append(folder / "rejected_rows.csv")
    with paths[-1].open("w", encoding="utf-8", newline="") as out:
        write_rejected(result.rejected, out)
    paths.append(folder / "canonical_transactions.parquet")
    with pq.ParquetWriter(paths[-1], result.pieces.schema, compression="zstd") as writer:
        for piece in result.pieces if len(result.pieces) else (result.pieces.table(),):
            writer.write_table(piece)
    return paths


def _dump(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _type_name(kind: object) -> str:
    text = str(kind)
    return "string" if text.startswith("dictionary") else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
