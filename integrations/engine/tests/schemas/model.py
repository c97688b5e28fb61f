"""What one example of a schema is."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.tests.workbooks import workbook
from integrations.engine.types import BatchResult

USUAL: dict[str, Any] = {
    "contract_version": "v1",
    "tenant": "example",
    "source": "till",
    "source_type": "smb_csv",
    "country_code": "US",
    "currency": "USD",
    "dedupe_policy": "sum",
}


@dataclass(frozen=True)
class Example:
    """A schema: its name in the table, one line on how it looks, a file's content, and its contract.

    `content` is text (csv, ndjson), rows by sheet (xlsx), columns (parquet), or raw bytes. `spec` is how the file is
    declared; `others` are further files by role.
    """

    name: str
    looks: str
    content: str | bytes | Mapping[str, Sequence[Sequence[object]]] | Mapping[str, Any]
    fields: dict[str, str]
    spec: dict[str, Any] = field(default_factory=dict)
    contract: dict[str, Any] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    packed: bool = False

    def model(self) -> DataContract:
        """The contract that the owner would write."""
        files = {"transactions": {"pattern": "sales*", **self.spec}}
        files |= {role: {"pattern": f"{role}*"} for role in self.others}
        return DataContract.model_validate({**USUAL, "files": files, "field_map": self.fields, **self.contract})

    def read(self, folder: Path) -> BatchResult:
        """Write the files and judge them by the real reader."""
        paths = {Role.TRANSACTIONS: [self._write(folder / "sales")]}
        for role, text in self.others.items():
            paths[Role(role)] = [folder / role]
            (folder / role).write_text(text)
        return read_batch(self.model(), paths)

    def _write(self, path: Path) -> Path:
        kind = self.spec.get("format", "csv")
        if isinstance(self.content, Mapping):
            if kind == "xlsx":
                return workbook(path, self.content)
            pq.write_table(pa.table(dict(self.content)), path)
            return path
        data = self.content
        if isinstance(data, str):
            data = data.encode(self.spec.get("encoding", "utf-8"))
        path.write_bytes(gzip.compress(data, mtime=0) if self.packed else data)
        return path


def lines(*rows: Sequence[object], sign: str = ",") -> str:
    """Rows as plain delimited text."""
    return "".join(sign.join(str(cell) for cell in row) + "\n" for row in rows)


def records(*rows: Mapping[str, Any]) -> str:
    """Rows as NDJSON."""
    return "".join(json.dumps(row) + "\n" for row in rows)
