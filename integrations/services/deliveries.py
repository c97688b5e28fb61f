"""Deliveries: files are received through any door, kept in the tenant's storage, and read in the order they came.

A delivery's run waits while an earlier one of its source is live: a correction never overtakes what it corrects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, User
from django.core.files.storage import default_storage
from django.db import transaction

from integrations.delivery_errors import (
    FileFitsNoRole,
    IdempotencyConflict,
    IdempotencyKeyUnusable,
    NoContractInForce,
    NothingReceived,
    RoleNotInContract,
    SalesMissing,
    TooManyFiles,
)
from integrations.engine.contract import Role
from integrations.errors import FileUnusable, SourcePaused
from integrations.models import Contract, Delivery, DeliveryFile, IngestBatch, Source
from integrations.models.delivery import Via
from integrations.models.source import SourceState
from integrations.services.contracts import contract_of
from integrations.services.delivery_life import check_takes_files, run_of, start_run
from integrations.services.files import batch_fingerprint, role_of
from integrations.services.spool import Readable, Spooled, safe_name, spooled
from ledger.models import Run
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role

__all__ = ["Receipt", "Upload", "Via", "receive"]
FILES_AT_ONCE = 40


@dataclass(frozen=True, slots=True)
class Upload:
    """One file at a door: its name, its bytes, and what it is for (None: the contract's patterns say)."""

    name: str
    stream: Readable
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The delivery, its run, and whether this very delivery had been received before (then nothing was done)."""

    delivery: Delivery
    run: Run
    repeated: bool


def receive(
    *,
    source: Source,
    uploads: Sequence[Upload],
    via: Via,
    actor: AbstractBaseUser | None,
    idempotency_key: str | None = None,
    contract: Contract | None = None,
    replaces: IngestBatch | None = None,
) -> Receipt:
    """Keep the files in the tenant's storage and queue the run that reads them after all earlier ones of the source.

    Nothing is kept of a delivery that is refused here. ``contract`` is the version to read it under (None: the one in
    force when it is read). The same ``idempotency_key`` with the same files is the delivery that has it.
    ``actor`` is a tenant admin, or None for the system.

    Raises ``NothingReceived``, ``TooManyFiles``, ``FileTooLarge``, ``FileEmpty``, ``FileNameUnusable``,
    ``FileUnusable`` (a name or the same bytes twice), ``FileFitsNoRole``, ``FileFitsSeveralRoles``,
    ``RoleNotInContract``, ``SalesMissing``, ``NoContractInForce``, ``SourcePaused``, ``TenantSuspended``,
    ``IdempotencyConflict``, ``IdempotencyKeyUnusable``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    check_takes_files(source)
    key = (idempotency_key or "").strip()
    if idempotency_key is not None and not (0 < len(key) <= 200 and key.isprintable()):
        raise IdempotencyKeyUnusable()
    named = assign_roles(uploads, patterns_of(source, contract))
    folder = f"deliveries/{source.name}"
    with ExitStack() as stack:
        files = [
            (role, stack.enter_context(spooled(upload.stream, name=name, folder=folder)))
            for upload, name, role in named
        ]
        _refuse_twins(files)
        receipt = _book(
            source_id=source.pk,
            files=files,
            via=via,
            key=key,
            contract=contract,
            replaces=replaces,
            actor=actor,
        )
    if receipt.repeated:  # these bytes are there already
        for _, file in files:
            default_storage.delete(file.path)
    return receipt


def patterns_of(source: Source, contract: Contract | None = None) -> dict[Role, str]:
    """The file patterns of the contract that would read a delivery; raise ``NoContractInForce``."""
    row = contract or source.active_contract
    if row is None:
        raise NoContractInForce(source.name)
    return {role: spec.pattern for role, spec in contract_of(row).files.by_role().items()}


def assign_roles(uploads: Sequence[Upload], patterns: Mapping[Role, str]) -> list[tuple[Upload, str, Role]]:
    """Each upload with its safe name and its role: the one that was chosen, else the one whose pattern fits best.

    A single file that fits no pattern is the sales file. Raises what ``receive`` raises for names and roles.
    """
    if not uploads:
        raise NothingReceived()
    if len(uploads) > FILES_AT_ONCE:
        raise TooManyFiles(len(uploads), FILES_AT_ONCE)
    known = [str(role) for role in patterns]
    named: list[tuple[Upload, str, Role]] = []
    for upload in uploads:
        name = safe_name(upload.name)
        role = upload.role or role_of(name, patterns)
        if role is None and len(uploads) == 1:
            role = Role.TRANSACTIONS
        if role is None:
            raise FileFitsNoRole(name, {str(one): pattern for one, pattern in patterns.items()})
        if role not in patterns:
            raise RoleNotInContract(str(role), known)
        if any(name == other for _, other, _ in named):  # rejected rows are told apart by it
            raise FileUnusable(name, "is there twice in one delivery", "Give the files different names.")
        named.append((upload, name, role))
    if Role.TRANSACTIONS not in {role for _, _, role in named}:
        raise SalesMissing(patterns[Role.TRANSACTIONS])
    return named


def _refuse_twins(files: Sequence[tuple[Role, Spooled]]) -> None:
    """A copy beside its original would double every sale of it."""
    first: dict[tuple[Role, str], str] = {}
    for role, file in files:
        name = first.setdefault((role, file.sha256), file.name)
        if name != file.name:
            raise FileUnusable(file.name, f"is a copy of {name}, byte for byte", "Leave one of the two out.")


@transaction.atomic
def _book(
    *,
    source_id: int,
    files: Sequence[tuple[Role, Spooled]],
    via: Via,
    key: str,
    contract: Contract | None,
    replaces: IngestBatch | None,
    actor: AbstractBaseUser | None,
) -> Receipt:
    """The rows of a delivery and its run; the source's lock gives deliveries their order."""
    source = Source.objects.select_for_update().get(pk=source_id)
    content = batch_fingerprint(contract_sha256="", hashes=[(role, file.sha256) for role, file in files])
    known = Delivery.objects.filter(source=source, idempotency_key=key).first() if key else None
    if known is not None:
        if known.content_sha256 != content:
            raise IdempotencyConflict(key, known.pk)
        return Receipt(known, run_of(known), repeated=True)
    if source.state == SourceState.PAUSED:
        raise SourcePaused(source.name)
    delivery = Delivery.objects.create(
        source=source,
        via=via,
        idempotency_key=key,
        content_sha256=content,
        contract=contract,
        replaces=replaces,
        received_by=actor if isinstance(actor, User) else None,
        received_by_name=actor_name(actor),
    )
    DeliveryFile.objects.bulk_create(
        DeliveryFile(
            delivery=delivery, role=str(role), name=file.name, path=file.path, sha256=file.sha256, bytes=file.bytes
        )
        for role, file in files
    )
    run = start_run(delivery=delivery, actor=actor)
    record(
        event="delivery.received",
        actor=actor,
        subject=delivery,
        data={
            "source": source.name,
            "via": via,
            "replaces": replaces.pk if replaces is not None else None,
            "files": [
                {"role": str(role), "name": file.name, "sha256": file.sha256, "bytes": file.bytes}
                for role, file in files
            ],
        },
        correlation_id=run.correlation_id,
    )
    return Receipt(delivery, run, repeated=False)
