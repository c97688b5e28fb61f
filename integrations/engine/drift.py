"""Whether a delivery's columns are still those that are known: what is new, what is gone, what holds something else.

Only what can matter is compared. A column that the contract does not read may go or change as it likes; a new one is
told, since it may be an old one under another name. What stands in a column is compared where the contract reads
numbers, dates or flags from it: texts and identifiers have no kind that could change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa

from integrations.engine.chunks import FileProblem
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import (
    FLAG_FIELDS,
    ID_FIELDS,
    TEXT_FIELDS,
    ColumnKind,
    DriftMode,
    FileSpec,
    Role,
)
from integrations.engine.headings import REQUIRED, fields_of
from integrations.engine.profile import profile_column
from integrations.engine.sources import open_source

SAMPLE_ROWS = 5000
Columns = dict[str, str]  # heading to kind


class DriftKind(StrEnum):
    """How a file differs from the known columns."""

    NEW = "new"
    MISSING = "missing"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class DriftChange:
    """One difference. `field`: what the contract reads from the column, None where it reads nothing.

    `before` and `after` are kinds of cells; None where the column was not there, or is not any more.
    """

    role: str
    kind: DriftKind
    column: str
    before: str | None
    after: str | None
    field: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Plain JSON values."""
        return asdict(self)

    def words(self) -> str:
        """The difference in a sentence."""
        use = f", which is read as {self.field}" if self.field else ""
        if self.kind is DriftKind.NEW:
            return f"The {self.role} file has a new column {self.column} ({_KINDS[self.after or 'empty']}){use}."
        if self.kind is DriftKind.MISSING:
            return f"The {self.role} file lost the column {self.column}{use}."
        was, now = _KINDS[self.before or "empty"], _KINDS[self.after or "empty"]
        return f"The column {self.column} of the {self.role} file{use} held {was} and holds {now} now."


_KINDS = {"number": "numbers", "date": "dates", "flag": "yes or no", "text": "text", "empty": "nothing"}


def observe_columns(path: Path, spec: FileSpec) -> Columns:
    """Each heading of a file with what most of its first rows hold; reads the first block only.

    A file that cannot be read has no columns: reading it says why.
    """
    try:
        with open_source(path, spec) as opened:
            headings = [heading for heading in dict.fromkeys(opened.source.headings) if heading]
            flat = [heading for heading in headings if heading not in opened.source.nested]
            chunk = next(iter(opened.source.chunks(flat)), None)
            arrays = chunk.columns if chunk is not None else {}
            return {heading: _kind(arrays.get(heading)) for heading in headings}
    except FileProblem:
        return {}


def first_rows(path: Path, spec: FileSpec, limit: int) -> tuple[list[str], list[list[str]]]:
    """The headings and the first rows of a file as text, for a person to look at; empty where it cannot be read."""
    try:
        with open_source(path, spec) as opened:
            headings = [name for name in dict.fromkeys(opened.source.headings) if name not in opened.source.nested]
            chunk = next(iter(opened.source.chunks(headings)), None)
            if chunk is None:
                return headings, []
            columns = [_texts(chunk.columns[name], limit) for name in headings]
            return headings, [list(row) for row in zip(*columns, strict=True)]
    except FileProblem:
        return [], []


def _texts(array: pa.Array, limit: int) -> list[str]:
    return ["" if cell is None else str(cell)[:200] for cell in array.slice(0, limit).to_pylist()]


def _kind(array: pa.Array | None) -> str:
    if array is None:
        return ColumnKind.EMPTY
    kind = array.type
    if array.null_count == len(array):
        return ColumnKind.EMPTY
    if pa.types.is_boolean(kind):
        return ColumnKind.FLAG
    if pa.types.is_temporal(kind):
        return ColumnKind.DATE
    profile = profile_column(_texts(array, SAMPLE_ROWS))
    if not profile.filled:
        return ColumnKind.EMPTY
    if profile.flags:
        return ColumnKind.FLAG
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return ColumnKind.NUMBER
    if profile.dates > 0.5:
        return ColumnKind.DATE
    return ColumnKind.NUMBER if profile.numeric > 0.5 else ColumnKind.TEXT


def compare_columns(
    baseline: Mapping[Role, Columns], observed: Mapping[Role, Columns], contract: DataContract
) -> tuple[DriftChange, ...]:
    """What differs, for the roles that both sides have; columns in the order of the known ones, then of the file."""
    changes: list[DriftChange] = []
    for role in Role:
        known, seen = baseline.get(role), observed.get(role)
        if not known or not seen:
            continue
        before, now = _reading(contract, role, known), _reading(contract, role, seen)
        changes += _missing(contract, role, known, before, seen, now)
        changes += [
            DriftChange(role, DriftKind.NEW, column, None, kind, now.get(column))
            for column, kind in seen.items()
            if column not in known and column not in contract.mapping
        ]
        changes += [
            DriftChange(role, DriftKind.TYPE, column, known[column], kind, now[column])
            for column, kind in seen.items()
            if column in known and column in now and _differs(known[column], kind, now[column])
        ]
    return tuple(changes)


def held_by(changes: Sequence[DriftChange], contract: DataContract) -> tuple[DriftChange, ...]:
    """Those changes for which the contract wants a person to decide."""
    return tuple(change for change in changes if mode_of(change, contract) is DriftMode.FREEZE)


def mode_of(change: DriftChange, contract: DataContract) -> DriftMode:
    """What the contract wants done about a change."""
    modes = {
        DriftKind.NEW: contract.drift.new_column,
        DriftKind.MISSING: contract.drift.missing_column,
        DriftKind.TYPE: contract.drift.type_change,
    }
    return modes[change.kind]


def ignored_columns(changes: Sequence[DriftChange], contract: DataContract) -> dict[Role, frozenset[str]]:
    """New columns that are not read under `discard`, even where their heading is a canonical name."""
    found: dict[Role, set[str]] = {}
    for change in changes:
        if change.kind is DriftKind.NEW and mode_of(change, contract) is DriftMode.DISCARD:
            found.setdefault(Role(change.role), set()).add(change.column)
    return {role: frozenset(columns) for role, columns in found.items()}


def known_after(
    observed: Mapping[Role, Columns], changes: Sequence[DriftChange], contract: DataContract
) -> dict[Role, Columns]:
    """The columns that are known once the delivery is loaded: `evolve` learns what changed, `discard` does not."""
    known = {role: dict(columns) for role, columns in observed.items()}
    for change in changes:
        if mode_of(change, contract) is not DriftMode.DISCARD:
            continue
        columns = known[Role(change.role)]
        if change.kind is DriftKind.NEW:
            columns.pop(change.column, None)
        elif change.before is not None:
            columns[change.column] = change.before
    return known


def _reading(contract: DataContract, role: Role, columns: Mapping[str, str]) -> dict[str, str]:
    """Column to the field that is read from it, as the plan of the columns assigns them."""
    allowed = fields_of(contract, role)
    reading = {column: contract.mapping[column] for column in columns if contract.mapping.get(column) in allowed}
    claimed = set(reading.values())
    for name in allowed:
        if name in columns and name not in claimed and name not in contract.mapping:
            reading[name] = name
    return reading


def _missing(
    contract: DataContract,
    role: Role,
    known: Columns,
    before: Mapping[str, str],
    seen: Columns,
    now: Mapping[str, str],
) -> list[DriftChange]:
    """Columns that were read and are gone, unless another known column brings their field."""
    brought = {name for column, name in now.items() if column in known}
    return [
        DriftChange(role, DriftKind.MISSING, column, kind, None, before[column])
        for column, kind in known.items()
        if column in before and column not in seen and before[column] not in brought
    ]


def is_required(change: DriftChange) -> bool:
    """Whether nothing can be loaded without the field of this change."""
    return change.field in REQUIRED[Role(change.role)]


def _differs(before: str, after: str, field: str) -> bool:
    if ColumnKind.EMPTY in (before, after) or field in (*ID_FIELDS, *TEXT_FIELDS):
        return False
    if field in FLAG_FIELDS:
        return (before == ColumnKind.FLAG) != (after == ColumnKind.FLAG)
    if field == "date":
        return (before == ColumnKind.DATE) != (after == ColumnKind.DATE)
    numbers = (ColumnKind.NUMBER, ColumnKind.FLAG)  # a figure that happens to be 0 or 1; regressors are numbers, too
    return (before in numbers) != (after in numbers)
