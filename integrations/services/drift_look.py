"""What a person looks at before deciding: a held delivery's first rows, and which new column is probably an old one."""

from __future__ import annotations

from dataclasses import dataclass, field

from integrations.delivery_errors import BytesGone
from integrations.engine.contract import Role
from integrations.engine.drift import DriftChange, DriftKind
from integrations.engine.drift_columns import first_rows
from integrations.engine.suggest import suggest_columns
from integrations.models import DriftItem
from integrations.services.contracts import contract_of
from integrations.services.drift_contract import changes_of
from integrations.services.spool import staged

ROWS = 8
_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Guess:
    """A new column that probably holds what a lost one did, or a field that no column brought."""

    column: str
    field: str
    words: str


@dataclass(frozen=True, slots=True)
class Look:
    """The file that changed, as text."""

    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    guesses: dict[str, Guess] = field(default_factory=dict)


def look_at(*, item: DriftItem) -> Look:
    """The first rows of the first changed file, and a guess for its new columns; empty where the bytes are gone."""
    changes = changes_of(item)
    role = Role(changes[0].role) if changes else Role.TRANSACTIONS
    spec = contract_of(item.contract).files.by_role().get(role)
    files = [(file.name, file.path) for file in item.delivery.files.filter(role=str(role)).order_by("name")[:1]]
    if spec is None or not files:
        return Look()
    try:
        with staged(files) as paths:
            headings, rows = first_rows(paths[0], spec, _SAMPLE)
    except BytesGone:
        return Look()
    return Look(headings, rows[:ROWS], _guesses(role, headings, rows, [one for one in changes if one.role == role]))


def _guesses(role: Role, headings: list[str], rows: list[list[str]], changes: list[DriftChange]) -> dict[str, Guess]:
    lost = {change.field: change.column for change in changes if change.kind is DriftKind.MISSING and change.field}
    new = {change.column for change in changes if change.kind is DriftKind.NEW}
    found: dict[str, Guess] = {}
    for suggestion in suggest_columns(headings, rows, role=role):
        name = suggestion.field
        if suggestion.column not in new or name is None:
            continue
        if name in lost:
            words = f"{suggestion.column} is probably {lost[name]} under another name: {suggestion.why}"
            found[suggestion.column] = Guess(suggestion.column, name, words)
    if not found and len(lost) == 1 and len(new) == 1:
        (name, old), column = next(iter(lost.items())), next(iter(new))
        words = f"{column} may be {old} under another name: one column went and one came."
        found[column] = Guess(column, name, words)
    return found
