"""Onboarding: a contract and its files, from the first look to loaded demand."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from integrations import selectors
from integrations.delivery_errors import DeliveryHeld
from integrations.engine.contract import DataContract, Role, contract_sha256
from integrations.engine.findings import error
from integrations.engine.report import report_json, write_artifacts
from integrations.errors import BatchRefused, OnboardingEnded, SourcePaused, TenantSuspended
from integrations.models import IngestBatch, Source
from integrations.models.source import SourceState
from integrations.services.artifacts import keep_artifacts
from integrations.services.contracts import (
    changes_against_active,
    check_tenant,
    require_confirmed,
    save_contract,
)
from integrations.services.delivery_reading import book_command, read_delivery
from integrations.services.ingest import IngestOutcome, fingerprint_of, ingest_files, read_files
from integrations.services.sources import source_of_contract
from ledger.context import Listener, RunContext
from ledger.execution import run_inline
from ledger.models import Run, RunState
from ledger.schema import connection
from ledger.services.leftovers import IN_PROCESS, end_leftovers
from tenants.roles import Role as TenantRole
from tenants.roles import require_role
from tenants.selectors import get_tenant

KIND = "integrations.ingest"
CONFIRMED = "confirmed"
"""Input of the run: the digest of the breaking changes that the caller agreed to."""
_ORDER = ("verdict", "dry_run", "repeated", "batch", "source", "contract_version", "findings", "files", "totals")


@dataclass(frozen=True, slots=True)
class OnboardResult:
    """What became of the files. ``as_dict`` is the JSON of the command."""

    report: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`passed`, `failed` or `requires_custom_adapter`."""
        return str(self.report["verdict"])

    @property
    def passed(self) -> bool:
        """Whether the data is good enough to be loaded (or was loaded)."""
        return self.verdict == "passed"

    @property
    def repeated(self) -> bool:
        """Whether these very files were loaded before under this contract."""
        return bool(self.as_dict().get("repeated"))

    def as_dict(self) -> dict[str, Any]:
        """The report with the facts of this onboarding, as plain JSON values."""
        values = {**self.report, **self.facts}
        # A report that was stored comes back in the database's order; people read the verdict first.
        return {key: values[key] for key in (*(key for key in _ORDER if key in values), *values)}


def onboard(
    *,
    contract: DataContract,
    files: Mapping[Role, Sequence[Path]],
    actor: AbstractBaseUser | None,
    dry_run: bool = False,
    as_of: date | None = None,
    listener: Listener | None = None,
    confirm_breaking: bool = False,
) -> OnboardResult:
    """Judge the files and, unless ``dry_run``, load them in this process as a run that the ledger shows.

    A contract that the source does not have yet becomes its next version, active once its first batch has passed. A dry
    run writes nothing to the database; its artifacts go to the tenant's storage, and with ``as_of``, the day that
    future and history are measured from instead of today, the same files give the same bytes on any day. A verdict
    other than `passed` is a result, not an error. ``actor`` is a tenant admin, or None for the system.

    Raises ``TenantSuspended``, ``ContractOfAnotherTenant``, ``SourceTypeDiffers``, ``SourcePaused``,
    ``BreakingChangeUnconfirmed`` (a contract that breaks the active one, without ``confirm_breaking``),
    ``FileChangedWhileRead``, ``RunAlreadyLive``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    check_open(contract=contract)
    if dry_run:
        return _dry_run(contract, files, as_of, listener)
    confirmed = _agreed_changes(contract, confirm_breaking)
    end_leftovers(kind=KIND, scope=contract.source)  # of an onboarding that was killed
    try:
        run = run_inline(
            kind=KIND,
            scope=contract.source,
            inputs={**ingest_inputs(contract=contract, files=files), IN_PROCESS: True, CONFIRMED: confirmed},
            requested_by=actor,
            listener=listener,
        )
    except BatchRefused as refused:
        return OnboardResult(report=refused.report)
    if run.state != RunState.SUCCEEDED:
        raise OnboardingEnded(str(run), run.get_state_display().lower())
    return OnboardResult(report=run.outputs)


def _agreed_changes(contract: DataContract, confirm_breaking: bool) -> str | None:
    """The digest of what the contract breaks, where the caller agrees to it; refused here, before a file is read."""
    source = Source.objects.filter(name=contract.source).first()
    if source is None or source.source_type != contract.source_type:  # the latter is refused when it is saved
        return None
    changes = changes_against_active(source=source, contract=contract)
    confirmed = changes.digest if changes is not None and confirm_breaking else None
    require_confirmed(source=source, contract=contract, confirmed=confirmed)
    return confirmed


def check_open(*, contract: DataContract) -> None:
    """Raise ``TenantSuspended``, ``ContractOfAnotherTenant`` or ``SourcePaused`` where nothing may be loaded here."""
    tenant = get_tenant(connection.schema_name)  # as it is now, not as the connection remembers it
    if not tenant.is_serving:
        raise TenantSuspended(tenant.schema_name, tenant.status_reason)
    check_tenant(contract=contract, schema_name=connection.schema_name)
    if Source.objects.filter(name=contract.source, state=SourceState.PAUSED).exists():
        raise SourcePaused(contract.source)


def ingest_inputs(*, contract: DataContract, files: Mapping[Role, Sequence[Path]]) -> dict[str, Any]:
    """The inputs of a run of kind ``integrations.ingest``: the contract and where this host has the files."""
    paths = {str(role): [str(path.resolve()) for path in found] for role, found in files.items()}
    return {"contract": contract.model_dump(mode="json"), "files": paths}


def perform(*, ctx: RunContext) -> dict[str, Any]:
    """The body of the job: a delivery's files, or those that ``onboard`` names, are read and loaded.

    Returns the onboarding's JSON (``held`` where somebody has to decide first); raises ``BatchRefused`` after a verdict
    other than `passed` was kept.
    """
    try:
        outcome = read_delivery(ctx=ctx) if "delivery" in ctx.inputs else _read_in_place(ctx)
    except DeliveryHeld as held:
        ctx.progress(0, 0, "Held: its columns changed. A tenant admin decides under “Changed columns”")
        return _held_json(held)
    report = {**outcome_json(outcome), "run": str(ctx.run.pk)}
    if not outcome.passed:
        Run.objects.filter(pk=ctx.run.pk).update(outputs=report)  # a failed run shows its report, too
        raise BatchRefused(report, batch_id=outcome.batch.pk)
    return report


def _held_json(held: DeliveryHeld) -> dict[str, Any]:
    """The onboarding's JSON of a delivery of which nothing was read: why, and no figures."""
    fix = "Decide under “Changed columns”; nothing has to be sent again."
    return {
        "verdict": "held",
        "held": True,
        "delivery": held.delivery_id,
        "reason": held.reason,
        "findings": [error("columns_changed", held.reason, fix=fix).as_dict()],
        "metrics": {},
        "thresholds": {},
        "files": [],
        "units": None,
        "returned_units": None,
    }


def _read_in_place(ctx: RunContext) -> IngestOutcome:
    """What a command gave: a contract, and files on this host's disk."""
    contract = DataContract.model_validate(ctx.inputs["contract"])
    files = {Role(role): [Path(path) for path in found] for role, found in ctx.inputs["files"].items()}
    check_open(contract=contract)
    actor = ctx.run.requested_by
    source = source_of_contract(contract=contract, actor=actor)
    row = save_contract(source=source, contract=contract, actor=actor)
    _, hashes = fingerprint_of(files, row.sha256)
    delivery = book_command(source=source, contract_row=row, files=files, hashes=hashes, run=ctx.run, actor=actor)
    return ingest_files(
        contract_row=row,
        files=files,
        actor=actor,
        ctx=ctx,
        activate=True,
        delivery=delivery,
        hashes=hashes,
        confirmed=ctx.inputs.get(CONFIRMED),
    )


def outcome_json(outcome: IngestOutcome) -> dict[str, Any]:
    """The JSON of a batch: its report, and what was done with it."""
    batch = outcome.batch
    return {
        **batch.report,
        **_identity(batch),
        "dry_run": False,
        "repeated": outcome.repeated,
        "days_written": 0 if outcome.repeated else batch.days_written,
        "series": outcome.series,
        "artifacts": [artifact.as_dict() for artifact in outcome.artifacts],
    }


def _identity(batch: IngestBatch) -> dict[str, Any]:
    return {
        "source": batch.source.name,
        "contract_version": batch.contract.version,
        "batch": batch.pk,
        "first_day": batch.first_day.isoformat() if batch.first_day else None,
        "last_day": batch.last_day.isoformat() if batch.last_day else None,
    }


def _dry_run(
    contract: DataContract, files: Mapping[Role, Sequence[Path]], as_of: date | None, listener: Listener | None
) -> OnboardResult:
    fingerprint, hashes = fingerprint_of(files, contract_sha256(contract))
    result = read_files(contract=contract, files=files, hashes=hashes, as_of=as_of, progress=listener)
    source = Source.objects.filter(name=contract.source).first()
    known = selectors.loaded_batch(source=source, fingerprint=fingerprint) if source is not None else None
    folder = f"ingest/{contract.source}/dry-{fingerprint[:16]}"
    with tempfile.TemporaryDirectory(prefix="forecourt-dry-run-") as scratch:
        paths = write_artifacts(result, Path(scratch))
        with keep_artifacts(folder=folder, paths=paths) as artifacts:
            listed = [artifact.as_dict() for artifact in artifacts]
    facts: dict[str, Any] = {
        "source": contract.source,
        "dry_run": True,
        "repeated": known is not None,
        "batch": known.pk if known is not None else None,
        "artifacts": listed,
    }
    return OnboardResult(report=report_json(result), facts=facts)
