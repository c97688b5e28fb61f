"""Changed columns: found before a delivery is read, held where the contract says so, decided by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction
from django.utils import timezone
from pydantic import TypeAdapter, ValidationError

from integrations.drift_errors import DriftDecided, MappingRefused
from integrations.engine.contract import DataContract, Role
from integrations.engine.contract_model import REQUIRED_FIELDS, DriftMode, PlainText
from integrations.engine.drift import (
    Columns,
    DriftChange,
    DriftKind,
    compare_columns,
    held_by,
    ignored_columns,
    is_required,
    known_after,
    mode_of,
    observe_columns,
)
from integrations.engine.findings import Finding, info, warning
from integrations.engine.headings import fields_of
from integrations.engine.types import BatchResult
from integrations.models import BatchFile, Contract, Delivery, DriftItem, IngestBatch, Source
from integrations.models.batch import BatchState
from integrations.models.delivery import Via
from integrations.models.drift import DRIFT_TRANSITIONS, DriftState
from integrations.services.contracts import activate_contract, changes_against_active, contract_of, save_contract
from integrations.services.delivery_end import hold
from integrations.services.delivery_life import discard_delivery, release_delivery, send_next
from ledger.context import RunContext
from ledger.models import Run
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role

_PLAIN_TEXT: TypeAdapter[str] = TypeAdapter(PlainText)
_NAMED = 6  # changes that a reason spells out


@dataclass(frozen=True, slots=True)
class Drift:
    """How the columns of a delivery's files differ, and what follows for reading them."""

    contract: DataContract
    observed: dict[Role, Columns] = field(default_factory=dict)
    changes: tuple[DriftChange, ...] = ()

    @property
    def held(self) -> tuple[DriftChange, ...]:
        """The changes that a person has to decide about."""
        return held_by(self.changes, self.contract)

    @property
    def ignored(self) -> dict[Role, frozenset[str]]:
        """Columns to be read as if they were not there."""
        return ignored_columns(self.changes, self.contract)

    @property
    def known(self) -> dict[Role, Columns]:
        """What is known once the delivery is loaded."""
        return known_after(self.observed, self.changes, self.contract)

    def noted(self, result: BatchResult) -> BatchResult:
        """The result with a remark for each change that was taken."""
        notes = tuple(_note(change, self.contract) for change in self.changes)
        return replace(result, findings=(*result.findings, *notes)) if notes else result


def find_drift(
    *,
    contract_row: Contract,
    contract: DataContract,
    files: Mapping[Role, Sequence[Path]],
    delivery: Delivery | None,
) -> Drift:
    """Compare the files' columns with the known ones: those of the last batch that was loaded under this version, else
    those that the contract lists. Reads the start of each file. Mended rows come with their batch's own columns.
    """
    specs = contract.files.by_role()
    seen = [
        (role, observe_columns(path, specs[role])) for role, paths in files.items() for path in paths if role in specs
    ]
    observed: dict[Role, Columns] = {}
    for role, columns in seen:
        observed[role] = {**columns, **observed.get(role, {})}
    if delivery is not None and delivery.replaces is not None:
        own = _columns_of(delivery.replaces)
        if own and all(columns.keys() == own.get(role, {}).keys() for role, columns in observed.items()):
            return Drift(contract, {role: own[role] for role in observed})
    baseline = known_columns(contract_row=contract_row, contract=contract)
    if not baseline:
        return Drift(contract, observed)
    found = [change for role, columns in seen for change in compare_columns(baseline, {role: columns}, contract)]
    return Drift(contract, observed, tuple(dict.fromkeys(found)))


def known_columns(*, contract_row: Contract, contract: DataContract) -> dict[Role, Columns]:
    """The columns that a delivery under this version is measured against; empty where nothing is known yet."""
    last = (
        IngestBatch.objects.filter(contract=contract_row, state=BatchState.LOADED)
        .exclude(deliveries__via=Via.REPLAY)
        .order_by("-pk")
        .first()
    )
    specs = contract.files.by_role()
    listed: dict[Role, Columns] = {role: {**spec.columns} for role, spec in specs.items() if spec.columns}
    return {**listed, **(_columns_of(last) if last is not None else {})}


def _columns_of(batch: IngestBatch) -> dict[Role, Columns]:
    columns: dict[Role, Columns] = {}
    for file in BatchFile.objects.filter(batch=batch).only("role", "columns"):
        columns[Role(file.role)] = {**columns.get(Role(file.role), {}), **file.columns}
    return {role: found for role, found in columns.items() if found}


def hold_if_drifted(
    *,
    drift: Drift,
    contract_row: Contract,
    files: Mapping[Role, Sequence[Path]],
    delivery: Delivery,
    ctx: RunContext | None,
) -> None:
    """Hold the delivery and open an item for the inbox, where the contract freezes one of the changes.

    Raises ``DeliveryHeld`` then; nothing is read.
    """
    if not drift.held:
        return

    def open_item(locked: Delivery) -> None:
        item = DriftItem.objects.create(
            source=locked.source,
            delivery=locked,
            contract=contract_row,
            changes=[change.as_dict() for change in drift.changes],
            columns={str(role): columns for role, columns in drift.observed.items()},
        )
        data = {"source": locked.source.name, "delivery": locked.pk, "changes": item.changes[:50]}
        record(event="drift.opened", subject=item, data=data)

    hold(delivery=delivery, files=files, reason=reason_of(drift.held), ctx=ctx, also=open_item)


def reason_of(changes: Sequence[DriftChange]) -> str:
    """Why a delivery is held, in words."""
    said = " ".join(change.words() for change in changes[:_NAMED])
    more = f" And {len(changes) - _NAMED} more changes." if len(changes) > _NAMED else ""
    return f"{said}{more} Nothing of it was read; a tenant admin decides under “Changed columns”."


def changes_of(item: DriftItem) -> tuple[DriftChange, ...]:
    """The item's differences."""
    return tuple(DriftChange(**{**change, "kind": DriftKind(change["kind"])}) for change in item.changes)


# --- decisions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposal:
    """The contract that an approval would put in force."""

    contract: DataContract
    digest: str | None
    breaking: tuple[str, ...]


def propose(*, item: DriftItem, mapping: Mapping[str, str]) -> Proposal:
    """The contract in force with ``mapping`` (new column to field; an empty field: not read) in place of what was lost.

    ``digest`` is what confirms the changes in ``breaking``, None where nothing breaks.
    Raises ``MappingRefused``, ``ContractAltered``.
    """
    row = item.source.active_contract or item.contract
    before = contract_of(row)
    after = _changed(before, item, {column: name for column, name in mapping.items() if name})
    changes = changes_against_active(source=item.source, contract=after)
    if changes is None or not changes.breaking:
        return Proposal(after, None, ())
    return Proposal(after, changes.digest, tuple(f"{found.key}: {found.why}" for found in changes.breaking_changes))


@transaction.atomic
def approve_drift(
    *,
    item_id: int,
    mapping: Mapping[str, str],
    reason: str,
    actor: AbstractBaseUser | None,
    confirmed: str | None = None,
) -> Run:
    """Put a contract with the changed columns in force, and read the held delivery under it; returns its run.

    ``mapping`` gives the field of each new column; a lost column that nothing replaces is read no more.
    ``actor`` is a tenant admin, or None for the system. Raises ``DriftDecided``, ``MappingRefused``,
    ``BreakingChangeUnconfirmed``, ``BytesGone``, ``ReasonMissing``, ``SourcePaused``, ``RoleRequired``.
    """
    item = _lock(item_id, DriftState.APPROVED, actor)
    proposal = propose(item=item, mapping=mapping)
    row = save_contract(source=item.source, contract=proposal.contract, actor=actor)
    activate_contract(contract_id=row.pk, actor=actor, reason=reason, confirmed=confirmed)
    Delivery.objects.filter(pk=item.delivery_id).update(contract=row)
    _decide(item, DriftState.APPROVED, reason, actor, row)
    run = release_delivery(delivery_id=item.delivery_id, reason=reason, actor=actor)
    record(
        event="drift.approved",
        actor=actor,
        subject=item,
        data={
            "source": item.source.name,
            "delivery": item.delivery_id,
            "contract_version": row.version,
            "mapping": dict(mapping),
            "reason": reason.strip(),
        },
        correlation_id=run.correlation_id,
    )
    return run


@transaction.atomic
def discard_drift(*, item_id: int, reason: str, actor: AbstractBaseUser | None) -> DriftItem:
    """Give the held delivery up; what waited behind it goes on under the contract in force.

    ``actor`` is a tenant admin, or None for the system. Raises ``DriftDecided``, ``ReasonMissing``, ``RoleRequired``.
    """
    item = _lock(item_id, DriftState.DISCARDED, actor)
    discard_delivery(delivery_id=item.delivery_id, reason=reason, actor=actor)
    _decide(item, DriftState.DISCARDED, reason, actor, None)
    data = {"source": item.source.name, "delivery": item.delivery_id, "reason": reason.strip()}
    record(event="drift.discarded", actor=actor, subject=item, data=data)
    send_next(source=item.source)
    return item


def _lock(item_id: int, wanted: DriftState, actor: AbstractBaseUser | None) -> DriftItem:
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    source_id = DriftItem.objects.values_list("source_id", flat=True).get(pk=item_id)
    Source.objects.select_for_update().get(pk=source_id)  # the lock that every change of a source's deliveries takes
    item = (
        DriftItem.objects.select_for_update(of=("self",)).select_related("source", "contract__source").get(pk=item_id)
    )
    if wanted not in DRIFT_TRANSITIONS[item.state]:
        raise DriftDecided(str(item), item.get_state_display(), item.decided_by_name)
    return item


def _decide(
    item: DriftItem, state: DriftState, reason: str, actor: AbstractBaseUser | None, row: Contract | None
) -> None:
    item.state, item.reason, item.new_contract = state, reason.strip(), row
    item.decided_at, item.decided_by_name = timezone.now(), actor_name(actor)
    item.decided_by = actor if isinstance(actor, User) else None
    item.save()


def _changed(before: DataContract, item: DriftItem, mapping: Mapping[str, str]) -> DataContract:
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
            body["files"][role]["columns"] = {name: kind for name, kind in columns.items() if _is_plain(name)}
    try:
        return DataContract.model_validate(body)
    except ValidationError as problem:
        raise MappingRefused(str(problem.errors()[0]["msg"]).removeprefix("Value error, ")) from None


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


def _note(change: DriftChange, contract: DataContract) -> Finding:
    """A change that was taken, as a remark in the report."""
    mode = mode_of(change, contract)
    if change.kind is DriftKind.NEW:
        fix = "It is known from now on." if mode is DriftMode.EVOLVE else "It is not read, and not remembered."
        return info("new_column", change.words(), column=change.column, fix=fix)
    if change.kind is DriftKind.MISSING:
        fix = "It is no longer expected." if mode is DriftMode.EVOLVE else "It is still expected in the next delivery."
        return warning("lost_column", change.words(), column=change.column, fix=fix)
    fix = (
        "From now on this is what it is known to hold."
        if mode is DriftMode.EVOLVE
        else "Rows that cannot be read as before are rejected; what it held before is still expected."
    )
    return warning("changed_column", change.words(), column=change.column, fix=fix)
