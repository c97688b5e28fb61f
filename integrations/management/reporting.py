"""What the commands of integrations share: reading their arguments, printing a report, writing its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from integrations.engine.contract import ContractInvalid, DataContract, load_contract
from integrations.engine.contract_text import MAX_BYTES
from integrations.errors import ContractUnusable, FileUnusable, one_line
from ledger.files import whole_file, why_unwritable

_COUNTS = ("rows_read", "rows_loaded", "rows_merged", "rows_rejected")
_MARKS = {"error": "ERROR", "warning": "warning", "info": "note"}


def read_contract(path: Path) -> DataContract:
    """The contract in the file; raise ``FileUnusable`` or ``ContractUnusable`` with every key to mend."""
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except IsADirectoryError as problem:
        raise FileUnusable(path, "is a folder", "Name the contract's file.") from problem
    except FileNotFoundError as problem:
        raise FileUnusable(path, "does not exist", "Check the contract's path.") from problem
    except OSError as problem:
        raise FileUnusable(path, f"cannot be read: {problem.strerror}", "Check its permissions.") from problem
    try:
        return load_contract(text)
    except ContractInvalid as problem:
        raise ContractUnusable(problem, path.name) from problem


def check_writable(path: Path | None) -> None:
    """Raise ``FileUnusable`` before the work where its report could not be written after it."""
    if path is None:
        return
    if path.is_dir():
        raise FileUnusable(path, "is a folder", "Name a file for --json.")
    if not path.parent.is_dir():
        raise FileUnusable(path.parent, "does not exist", "Make the folder first, or write --json elsewhere.")
    if why_unwritable(path) is not None:
        what = (
            (path, "is no ordinary file")
            if path.exists() and not path.is_file()
            else (path.parent, "may not be written to")
        )
        raise FileUnusable(*what, "Write --json elsewhere.")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the JSON wholly or not at all: readers never see a part of it."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, cls=DjangoJSONEncoder) + "\n"
    with whole_file(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def contract_report(refused: ContractUnusable) -> dict[str, Any]:
    """The JSON of a contract that cannot be used: a failed verdict with its findings, and no figures."""
    return {
        "verdict": "failed",
        "findings": [found.as_dict() for found in refused.findings],
        "metrics": {},
        "thresholds": {},
        "files": [],
        "units": None,
        "returned_units": None,
    }


def render(report: Mapping[str, Any]) -> str:
    """The report for a person: a line a file, the sums, and every finding with its fix."""
    if report["units"] is None:  # nothing was read
        return "\n".join(one_line(f"{_MARKS[found['severity']]}: {found['message']}") for found in report["findings"])
    lines = [f"{'file':<32} {'role':<13} {'read':>12} {'loaded':>12} {'merged':>12} {'rejected':>10}"]
    for found in report["files"]:
        counts = [f"{found[name]:,}" for name in _COUNTS]
        lines.append(
            f"{found['name'][:32]:<32} {found['role']:<13} "
            f"{counts[0]:>12} {counts[1]:>12} {counts[2]:>12} {counts[3]:>10}"
        )
    lines.append(f"Units: {report['units']:,.2f} sold, {report['returned_units']:,.2f} returned.")
    for found in report["findings"]:
        where = f" [{found['column']}]" if found["column"] else ""
        rows = f" ({found['rows']:,} rows)" if found["rows"] is not None else ""
        fix = f" {found['fix']}" if found["fix"] else ""
        lines.append(one_line(f"{_MARKS[found['severity']]}{where}: {found['message']}{rows}{fix}"))
    return "\n".join(lines)


def refusal(report: Mapping[str, Any]) -> str:
    """One line that says why the data was not taken and what to do."""
    errors = [found for found in report["findings"] if found["severity"] == "error"]
    first = f"{errors[0]['message']} {errors[0]['fix']}".strip() if errors else "See the findings."
    more = f" ({len(errors) - 1} more above)" if len(errors) > 1 else ""
    return one_line(f"Verdict {str(report['verdict']).replace('_', ' ')}: {first}{more}")
