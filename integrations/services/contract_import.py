"""A contract from text that a person brings: ours in YAML or JSON, or a document of the Open Data Contract Standard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from integrations.engine.contract import ContractInvalid, DataContract, load_contract
from integrations.engine.contract_text import ContractTextError, parse_contract_text
from integrations.engine.findings import Finding, Severity
from integrations.engine.odcs import from_odcs, is_odcs
from integrations.errors import ContractUnusable
from integrations.models import Contract
from integrations.services.contracts import save_contract
from integrations.services.sources import source_of_contract
from ledger.schema import connection
from tenants.roles import Role, require_role

_PLACE = ("country_code", "currency", "timezone")


@dataclass(frozen=True, slots=True)
class ImportedContract:
    """The saved version, and what was left out or assumed on the way."""

    row: Contract
    findings: tuple[Finding, ...]


@transaction.atomic
def import_contract(*, text: str | bytes, actor: AbstractBaseUser | None) -> ImportedContract:
    """Save what the text says as a draft version; its source is made where there is none.

    A document of the standard takes country, currency and time zone from the tenant's newest contract where it does
    not say them. ``actor`` is a tenant admin, or None for the system.
    Raises ``ContractUnusable`` with a finding per key, ``ContractOfAnotherTenant``, ``SourceTypeDiffers``,
    ``SourceRefused``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.TENANT_ADMIN)
    contract, findings = _read(text)
    source = source_of_contract(contract=contract, actor=actor)
    row = save_contract(source=source, contract=contract, actor=actor)
    return ImportedContract(row, findings)


def _read(text: str | bytes) -> tuple[DataContract, tuple[Finding, ...]]:
    try:
        values = parse_contract_text(text)
    except ContractTextError:
        values = {}  # load_contract says what is wrong with the text
    if not is_odcs(values):
        try:
            return load_contract(text), ()
        except ContractInvalid as problem:
            raise ContractUnusable(problem) from problem
    contract, findings = from_odcs(values, tenant=connection.schema_name, defaults=_defaults())
    if contract is None:
        errors = tuple(found for found in findings if found.severity is Severity.ERROR)
        raise ContractUnusable(ContractInvalid(errors))
    return contract, findings


def _defaults() -> dict[str, Any]:
    newest = Contract.objects.order_by("-created_at").first()
    return {} if newest is None else {key: newest.body[key] for key in _PLACE if newest.body.get(key)}
