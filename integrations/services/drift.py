"""Changed columns: found before a delivery is read, held where the contract says so, decided by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction
from django.utils import timezone

from integrations.drift_errors import DriftDecided
from integrations.engine.contract import DataContract, Role
from integrations.engine.contract_model import DriftMode
from integrations.engine.drift import (
    DriftChange,
    DriftKind,
    compare_columns,
    held_by,
    ignored_columns,
    known_after,
    mode_of,
    swapped_without_baseline,
)
from integrations.engine.drift_columns import UNCLEAR, Columns, observe_columns
from integrations.engine.findings import Finding, info, warning
from integrations.engine.types import BatchResult
from integrations.models import BatchFile, Contract, Delivery, DriftItem, IngestBatch, Source
from integrations.models.batch import BatchState
from integrations.models.delivery import Via
from integrations.models.drift import DRIFT_TRANSITIONS, DriftState
from integrations.models.source import ContractState
from integrations.services.contracts import activate_contract, save_contract
from integrations.services.delivery_end import hold
from integrations.services.delivery_life import discard_delivery, release_delivery
from integrations.services.drift_contract import propose
from ledger.context import RunContext
from ledger.models import Run
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role

_NAMED = 6  # changes that a reason spells out


@dataclass(frozen=True, slots=True)
class Drift:
    """How the columns of a delivery's files differ, and what follows for reading them."""

    contract: DataContract
    observed: dict[Role, Columns] = field(default_factory=dict)
    changes: tuple[DriftChange, ...] = ()
    baseline: dict[Role, Columns] = field(default_factory=dict)

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
        return known_after(self.observed, self.changes, self.contract, self.baseline)

    @property
    def seen(self) -> dict[Role, Columns]:
        """The delivery's columns, with what was known before where the delivery shows too little to tell."""
        return known_after(self.observed, (), self.contract, self.baseline)

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
        (role, observe_columns(path, contract, role))
        for role, paths in files.items()
        for path in paths
        if role in specs
    ]
    observed: dict[Role, Columns] = {}
    for role, columns in seen:
        observed[role] = {**columns, **{name: kind for name, kind in observed.get(role, {}).items() if kind != UNCLEAR}}
    if delivery is not None and delivery.replaces is not None:
        own = _columns_of(delivery.replaces)
        if own and all(columns.keys() == own.get(role, {}).keys() for role, columns in observed.items()):
            return Drift(contract, {role: own[role] for role in observed})
    baseline = known_columns(contract_row=contract_row, contract=contract)
    found = [change for role, columns in seen for change in compare_columns(baseline, {role: columns}, contract)]
    if contract_row.state == ContractState.ACTIVE:
        told = {(change.role, change.column) for change in found}
        signs = [change for role, columns in seen for change in swapped_without_baseline({role: columns}, contract)]
        found += [change for change in signs if (change.role, change.column) not in told]
    return Drift(contract, observed, tuple(dict.fromkeys(found)), baseline)


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
            columns={str(role): columns for role, columns in drift.seen.items()},
        )
        data = {"source": locked.source.name, "delivery": locked.pk, "changes": item.changes[:50]}
        record(event="drift.opened", subject=item, data=data)

    hold(delivery=delivery, files=files, reason=reason_of(drift.held), ctx=ctx, also=open_item)


def reason_of(changes: Sequence[DriftChange]) -> str:
    """Why a delivery is held, in words."""
    said = " ".join(change.words() for change in changes[:_NAMED])
    more = f" And {len(changes) - _NAMED} more changes." if len(changes) > _NAMED else ""
    return f"{said}{more} Nothing of it was read; a tenant admin decides under “Changed columns”."


# --- decisions -------------------------------------------------------------------------------------------------------


@transaction.atomic
def approve_drift(
    *,
    item_id: int,
    mapping: Mapping[str, str],
    reason: str,
    actor: AbstractBaseUser | None,
    confirmed: str | None = None,
    decimals: Mapping[str, str] | None = None,
) -> Run:
    """Put a contract with the changed columns in force, and read the held delivery under it; returns its run.

    ``mapping`` gives the field of each new column; a lost column that nothing replaces is read no more.
    ``actor`` is a tenant admin, or None for the system. Raises ``DriftDecided``, ``MappingRefused``,
    ``BreakingChangeUnconfirmed``, ``BytesGone``, ``ReasonMissing``, ``SourcePaused``, ``RoleRequired``.
    """
    item = _lock(item_id, DriftState.APPROVED, actor)
    proposal = propose(item=item, mapping=mapping, decimals=decimals)
    row = save_contract(source=item.source, contract=proposal.contract, actor=actor)
    activate_contract(contract_id=row.pk, actor=actor, reason=reason, confirmed=confirmed)
    Delivery.objects.filter(pk=item.delivery_id).update(contract=row)
    _approve(item, reason, actor, row)
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
            "decimals": dict(decimals or {}),
            "reason": reason.strip(),
        },
        correlation_id=run.correlation_id,
    )
    return run


@transaction.atomic
def discard_drift(*, item_id: int, reason: str, actor: AbstractBaseUser | None) -> DriftItem:
    """Give the held delivery up; its files are kept as long as others are. What waited behind it goes on under the
    contract in force.

    ``actor`` is a tenant admin, or None for the system. Raises ``DriftDecided``, ``ReasonMissing``, ``RoleRequired``.
    """
    item = _lock(item_id, DriftState.DISCARDED, actor)
    discard_delivery(delivery_id=item.delivery_id, reason=reason, actor=actor)  # and closes the item with it
    item.refresh_from_db()
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


def _approve(item: DriftItem, reason: str, actor: AbstractBaseUser | None, row: Contract) -> None:
    item.state, item.reason, item.new_contract = DriftState.APPROVED, reason.strip(), row
    item.decided_at, item.decided_by_name = timezone.now(), actor_name(actor)
    item.decided_by = actor if isinstance(actor, User) else None
    item.save()


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
