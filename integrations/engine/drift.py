"""Whether a delivery's columns are still those that are known: what is new, what is gone, what holds something else.

Only what can matter is compared. A column that the contract does not read may go or change as it likes; a new one is
told, since it may be an old one under another name. What stands in a column is compared where the contract reads
numbers, dates or flags from it: texts and identifiers have no kind that could change. A kind wants evidence: few cells,
or cells of many kinds, are "unclear", which is never a change.

Another sign of decimals is a change that no mode takes by itself: 1.234 could be loaded as another figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import (
    FLAG_FIELDS,
    ID_FIELDS,
    TEXT_FIELDS,
    ColumnKind,
    DriftMode,
    Role,
)
from integrations.engine.drift_columns import DOUBTFUL, SWAPPED, UNCLEAR, WHOLE, Columns, is_number, reading
from integrations.engine.headings import REQUIRED


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
            was = use.replace(" is ", " was ")
            return f"The {self.role} file lost the column {self.column}{was}."
        aside = f"{use}," if use else ""
        if self.after == SWAPPED:
            return (
                f"The numbers in the column {self.column} of the {self.role} file{aside} have another sign of decimals "
                "than the contract says (as 1.234,5 and 1,234.5): some could be read as other figures."
            )
        if self.after == DOUBTFUL:
            return (
                f"The column {self.column} of the {self.role} file{aside} held whole numbers, and has some with three "
                "digits behind a sign now: 1.234 may be a little more than one, or more than a thousand."
            )
        was, now = _KINDS[self.before or "empty"], _KINDS[self.after or "empty"]
        return f"The column {self.column} of the {self.role} file{aside} held {was} and holds {now} now."


_KINDS = {
    "number": "numbers",
    "date": "dates",
    "flag": "yes or no",
    "text": "text",
    "empty": "nothing",
    UNCLEAR: "a little of everything",
    WHOLE: "whole numbers",
    SWAPPED: "numbers with another sign of decimals",
    DOUBTFUL: "numbers",
}


def compare_columns(
    baseline: Mapping[Role, Columns], observed: Mapping[Role, Columns], contract: DataContract
) -> tuple[DriftChange, ...]:
    """What differs, for the roles that both sides have; columns in the order of the known ones, then of the file."""
    changes: list[DriftChange] = []
    for role in Role:
        known, seen = baseline.get(role), observed.get(role)
        if not known or not seen:
            continue
        before, now = reading(contract, role, known), reading(contract, role, seen)
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
    """What is done about a change: what the contract wants, except that figures of two meanings are always held."""
    if change.after in (SWAPPED, DOUBTFUL) and change.kind is DriftKind.TYPE:
        return DriftMode.FREEZE
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
    observed: Mapping[Role, Columns],
    changes: Sequence[DriftChange],
    contract: DataContract,
    baseline: Mapping[Role, Columns] | None = None,
) -> dict[Role, Columns]:
    """The columns that are known once the delivery is loaded: `evolve` learns what changed, `discard` does not.

    What a column was known to hold (`baseline`) stays known where the delivery shows too little to tell.
    """
    before = baseline or {}
    known = {
        role: {
            name: before.get(role, {}).get(name, kind) if kind in (UNCLEAR, ColumnKind.EMPTY) else kind
            for name, kind in columns.items()
        }
        for role, columns in observed.items()
    }
    for change in changes:
        if mode_of(change, contract) is not DriftMode.DISCARD:
            continue
        columns = known[Role(change.role)]
        if change.kind is DriftKind.NEW:
            columns.pop(change.column, None)
        elif change.before is not None:
            columns[change.column] = change.before
    return known


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


def swapped_without_baseline(observed: Mapping[Role, Columns], contract: DataContract) -> tuple[DriftChange, ...]:
    """Columns whose sign of decimals is not the contract's: nothing has to be known before to see that."""
    return tuple(
        DriftChange(role, DriftKind.TYPE, column, ColumnKind.NUMBER, SWAPPED, name)
        for role, columns in observed.items()
        for column, name in reading(contract, role, columns).items()
        if columns[column] == SWAPPED
    )


def plain_kind(kind: str) -> ColumnKind:
    """The kind as a contract may list it; a column of which nothing is known is listed as empty, and may hold any."""
    if kind in (WHOLE, SWAPPED, DOUBTFUL):
        return ColumnKind.NUMBER
    return ColumnKind.EMPTY if kind == UNCLEAR else ColumnKind(kind)


def _differs(before: str, after: str, field: str) -> bool:
    if field in (*ID_FIELDS, *TEXT_FIELDS):
        return False
    if after == SWAPPED and is_number(field):
        return True
    if {ColumnKind.EMPTY, UNCLEAR} & {before, after}:
        return False
    if field in FLAG_FIELDS:
        return (before == ColumnKind.FLAG) != (after == ColumnKind.FLAG)
    if field == "date":
        return (before == ColumnKind.DATE) != (after == ColumnKind.DATE)
    if after == DOUBTFUL and before in (WHOLE, ColumnKind.FLAG):
        return True
    numbers = (ColumnKind.NUMBER, ColumnKind.FLAG, WHOLE, SWAPPED, DOUBTFUL)  # a figure that happens to be 0 or 1, too
    return (before in numbers) != (after in numbers)
