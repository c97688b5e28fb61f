"""Versions of a source's data contract: saved as drafts, activated, never changed after."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from pydantic import ValidationError

from integrations.engine.changes import ContractChanges, compare_contracts
from integrations.engine.contract import DataContract, contract_sha256
from integrations.errors import (
    BreakingChangeUnconfirmed,
    ContractAltered,
    ContractOfAnotherSource,
    ContractOfAnotherTenant,
    SourceTypeDiffers,
)
from integrations.models import Contract, Source
from integrations.models.source import CONTRACT_TRANSITIONS, ContractState, SourceState
from ledger.errors import TransitionRefused
from ledger.schema import connection
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role

_KEPT_CHANGES = 100
"""How many changes the audit keeps of one activation, the breaking ones first."""


def check_tenant(*, contract: DataContract, schema_name: str) -> None:
    """Raise ``ContractOfAnotherTenant`` unless the contract names this schema; ``-`` and ``_`` are alike."""
    if contract.tenant.replace("-", "_") != schema_name.replace("-", "_"):
        raise ContractOfAnotherTenant(contract.tenant, schema_name)


def contract_of(row: Contract) -> DataContract:
    """The stored contract as a model; raise ``ContractAltered`` where the body is not what was saved."""
    try:
        contract = DataContract.model_validate(row.body)
    except ValidationError as problem:
        raise ContractAltered(str(row)) from problem
    # The body's own hash outlives a later release whose contracts have more keys with defaults; the model's hash
    # covers a figure that the database wrote another way (1e30).
    if row.sha256 not in (_body_sha256(row.body), contract_sha256(contract)):
        raise ContractAltered(str(row))
    return contract


def _body_sha256(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@transaction.atomic
def save_contract(*, source: Source, contract: DataContract, actor: AbstractBaseUser | None) -> Contract:
    """Keep the contract as the source's next version, a draft; the same content is the version that has it already.

    ``actor`` is a tenant admin, or None for the system.
    Raises ``ContractOfAnotherTenant``, ``ContractOfAnotherSource``, ``SourceTypeDiffers``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
    check_tenant(contract=contract, schema_name=connection.schema_name)
    locked = Source.objects.select_for_update().get(pk=source.pk)
    if contract.source != locked.name:
        raise ContractOfAnotherSource(contract.source, locked.name)
    if contract.source_type != locked.source_type:
        raise SourceTypeDiffers(locked.name, locked.source_type, contract.source_type)
    sha256 = contract_sha256(contract)
    known = locked.contracts.filter(sha256=sha256).first()
    if known is not None:
        return known
    newest = locked.contracts.aggregate(newest=Max("version"))["newest"] or 0
    row = Contract.objects.create(
        source=locked,
        version=newest + 1,
        body=contract.model_dump(mode="json"),
        sha256=sha256,
        created_by_name=actor_name(actor),
    )
    record(event="contract.saved", actor=actor, subject=row, data=_facts(row))
    return row


def changes_against_active(*, source: Source, contract: DataContract) -> ContractChanges | None:
    """What the contract would change of the source's active version; None where there is none to compare with."""
    active = source.active_contract
    return None if active is None else _compare(active, contract)


def compare_versions(*, before: Contract, after: Contract) -> ContractChanges:
    """What lies between two stored versions; raises ``ContractAltered``."""
    return compare_contracts(contract_of(before), contract_of(after))


def require_confirmed(*, source: Source, contract: DataContract, confirmed: str | None) -> ContractChanges | None:
    """Raise ``BreakingChangeUnconfirmed`` unless nothing breaks or ``confirmed`` is these changes' digest."""
    active = source.active_contract
    changes = None if active is None else _compare(active, contract)
    if active is not None and changes is not None and changes.breaking and confirmed != changes.digest:
        raise BreakingChangeUnconfirmed(f"The contract of {source.name}", f"version {active.version}", changes)
    return changes


def _compare(active: Contract, contract: DataContract) -> ContractChanges | None:
    try:
        return compare_contracts(contract_of(active), contract)
    except ContractAltered:  # it cannot be read, so it must be possible to supersede it
        return None


@transaction.atomic
def activate_contract(
    *, contract_id: int, actor: AbstractBaseUser | None, reason: str = "", confirmed: str | None = None
) -> Contract:
    """Make a version the one that new files come under; the active one so far is superseded.

    An active version is returned as it is. A draft source becomes active with its first contract. A version that
    breaks what the active one promised needs ``confirmed``, the digest of exactly these changes.
    ``actor`` is a tenant admin, or None for the system.
    Raises ``BreakingChangeUnconfirmed``, ``TransitionRefused``, ``ContractAltered``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
    source_id = Contract.objects.values_list("source_id", flat=True).get(pk=contract_id)
    source = Source.objects.select_for_update().get(pk=source_id)
    row = Contract.objects.select_for_update().get(pk=contract_id)
    if row.state == ContractState.ACTIVE:
        return row
    contract = contract_of(row)
    check_tenant(contract=contract, schema_name=connection.schema_name)
    if ContractState.ACTIVE not in CONTRACT_TRANSITIONS[row.state]:
        raise TransitionRefused(str(row), row.state, ContractState.ACTIVE)
    changes = require_confirmed(source=source, contract=contract, confirmed=confirmed)
    before = source.active_contract
    if before is not None:
        before.state = ContractState.SUPERSEDED
        before.save(update_fields=["state"])
    row.state, row.activated_at, row.activated_by_name = ContractState.ACTIVE, timezone.now(), actor_name(actor)
    row.save(update_fields=["state", "activated_at", "activated_by_name"])
    if source.state == SourceState.DRAFT:
        source.state = SourceState.ACTIVE
        source.save(update_fields=["state"])
    superseded = before.version if before is not None else None
    record(
        event="contract.activated",
        actor=actor,
        subject=row,
        data={
            **_facts(row),
            "superseded_version": superseded,
            "reason": reason,
            "breaking": changes is not None and changes.breaking,
            "changes": [found.as_dict() for found in changes.changes[:_KEPT_CHANGES]] if changes is not None else [],
        },
    )
    return row


def _facts(row: Contract) -> dict[str, object]:
    return {"source": row.source.name, "version": row.version, "sha256": row.sha256}
