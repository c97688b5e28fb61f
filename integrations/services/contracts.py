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

from integrations.engine.contract import DataContract, contract_sha256
from integrations.errors import ContractAltered, ContractOfAnotherSource, ContractOfAnotherTenant, SourceTypeDiffers
from integrations.models import Contract, Source
from integrations.models.source import CONTRACT_TRANSITIONS, ContractState, SourceState
from ledger.errors import TransitionRefused
from ledger.schema import connection
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role


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


@transaction.atomic
def activate_contract(*, contract_id: int, actor: AbstractBaseUser | None, reason: str = "") -> Contract:
    """Make a version the one that new files come under; the active one so far is superseded.

    An active version is returned as it is. A draft source becomes active with its first contract.
    ``actor`` is a tenant admin, or None for the system.
    Raises ``TransitionRefused``, ``ContractAltered``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
    source_id = Contract.objects.values_list("source_id", flat=True).get(pk=contract_id)
    source = Source.objects.select_for_update().get(pk=source_id)
    row = Contract.objects.select_for_update().get(pk=contract_id)
    if row.state == ContractState.ACTIVE:
        return row
    check_tenant(contract=contract_of(row), schema_name=connection.schema_name)
    if ContractState.ACTIVE not in CONTRACT_TRANSITIONS[row.state]:
        raise TransitionRefused(str(row), row.state, ContractState.ACTIVE)
    before = source.contracts.filter(state=ContractState.ACTIVE).first()
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
        data={**_facts(row), "superseded_version": superseded, "reason": reason},
    )
    return row


def _facts(row: Contract) -> dict[str, object]:
    return {"source": row.source.name, "version": row.version, "sha256": row.sha256}
