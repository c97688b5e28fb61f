"""The contract that an approval puts in force: the one in force, with the changed columns of a held delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from integrations.drift_errors import MappingRefused
from integrations.engine.contract import DataContract, Role
from integrations.engine.contract_model import REQUIRED_FIELDS, PlainText
from integrations.engine.drift import DriftChange, DriftKind, is_required, plain_kind
from integrations.engine.drift_columns import DOUBTFUL, SWAPPED
from integrations.engine.headings import fields_of
from integrations.models import DriftItem
from integrations.services.contracts import changes_against_active, contract_of

_PLAIN_TEXT: TypeAdapter[str] = TypeAdapter(PlainText)


def changes_of(item: DriftItem) -> tuple[DriftChange, ...]:
    """The item's differences."""
    return tuple(DriftChange(**{**change, "kind": DriftKind(change["kind"])}) for change in item.changes)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The contract that an approval would put in force."""

    contract: DataContract
    digest: str | None
    breaking: tuple[str, ...]


def propose(*, item: DriftItem, mapping: Mapping[str, str], decimals: Mapping[str, str] | None = None) -> Proposal:
    """The contract in force with ``mapping`` (new column to field; an empty field: not read) in place of what was lost,
    and with the sign of ``decimals`` for each role whose numbers are written otherwise or can be read two ways.

    ``digest`` is what confirms the changes in ``breaking``, None where nothing breaks.
    Raises ``MappingRefused``, ``ContractAltered``.
    """
    row = item.source.active_contract or item.contract
    before = contract_of(row)
    after = _changed(before, item, {column: name for column, name in mapping.items() if name}, decimals or {})
    changes = changes_against_active(source=item.source, contract=after)
    if changes is None or not changes.breaking:
        return Proposal(after, None, ())
    return Proposal(after, changes.digest, tuple(f"{found.key}: {found.why}" for found in changes.breaking_changes))


def _changed(
    before: DataContract, item: DriftItem, mapping: Mapping[str, str], decimals: Mapping[str, str]
) -> DataContract:
    changes = changes_of(item)
    new = {change.column for change in changes if change.kind is DriftKind.NEW}
    lost = [change for change in changes if change.kind is DriftKind.MISSING]
    unknown = sorted(set(mapping) - new)
    if unknown:
        raise MappingRefused(f"{unknown[0]} is no new column of this delivery.")
    body: dict[str, Any] = before.model_dump(mode="json")
    for change in lost:
        body["field_map"].pop(change.column, None)
        body["id_columns"].pop(change.column, None)
    taken: dict[str, str] = {}
    for column, name in mapping.items():
        if name not in free_fields(before, item):
            raise MappingRefused(f"{column} cannot be read as {name}: another column is, or the file may not have it.")
        if name in taken:
            raise MappingRefused(f"{taken[name]} and {column} cannot both be read as {name}. Choose one of them.")
        taken[name] = column
        body["field_map"][column] = name
    brought = {*taken, *(change.field for change in changes if change.kind is DriftKind.NEW)}
    for change in lost:
        if is_required(change) and change.field not in brought:
            raise MappingRefused(
                f"{change.field} has no column any more, and nothing can be loaded without it. "
                f"Choose the column that holds it now (it was {change.column})."
            )
    for role, columns in item.columns.items():
        if body["files"].get(role) is not None:
            body["files"][role]["columns"] = {
                name: plain_kind(kind) for name, kind in columns.items() if _is_plain(name)
            }
    for role, kinds_of_writing in doubted_signs(item).items():
        _write_numbers(body["files"][role], decimals.get(role, ""), role, SWAPPED in kinds_of_writing)
    try:
        return DataContract.model_validate(body)
    except ValidationError as problem:
        raise MappingRefused(str(problem.errors()[0]["msg"]).removeprefix("Value error, ")) from None


def doubted_signs(item: DriftItem) -> dict[str, frozenset[str]]:
    """The roles whose numbers are written with another sign of decimals, or can be read two ways."""
    found: dict[str, set[str]] = {}
    for change in changes_of(item):
        if change.after in (SWAPPED, DOUBTFUL):
            found.setdefault(change.role, set()).add(change.after)
    return {role: frozenset(kinds) for role, kinds in found.items()}


def _write_numbers(spec: dict[str, Any], decimal: str, role: str, swapped: bool) -> None:
    """Give a file's role the sign that its numbers are written with now."""
    if decimal not in (".", ","):
        raise MappingRefused(f"Say which sign of decimals the numbers of the {role} file are written with.")
    if decimal == spec["decimal"]:
        if swapped:
            raise MappingRefused(
                f"Most numbers of the {role} file cannot be read with “{decimal}” as the sign of decimals. Choose the "
                "other sign, or discard the delivery and ask for the file as it used to be."
            )
        return
    if spec["thousands"] in (None, ".", ","):
        spec["thousands"] = spec["decimal"]
    spec["decimal"] = decimal


def free_fields(contract: DataContract, item: DriftItem) -> tuple[str, ...]:
    """Fields that a new column may be read as: those whose column is gone, and those that no column brings."""
    changes = changes_of(item)
    lost = {change.field for change in changes if change.kind is DriftKind.MISSING}
    lost -= {change.field for change in changes if change.kind is DriftKind.NEW}  # come back under their own name
    mapped = set(contract.mapping.values())
    named = {name for columns in item.columns.values() for name in columns}
    roles = [Role(role) for role in item.columns]
    fields = dict.fromkeys(name for role in roles for name in fields_of(contract, role))
    return tuple(
        name
        for name in fields
        if name in lost or (name not in mapped and name not in REQUIRED_FIELDS and name not in named)
    )


def _is_plain(name: str) -> bool:
    try:
        _PLAIN_TEXT.validate_python(name)
    except ValidationError:
        return False
    return True
