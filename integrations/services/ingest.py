"""One delivery of files becomes one batch: read and judged outside of the database, then stored in one transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from django.utils import timezone

from integrations import selectors
from integrations.engine.conservation import assert_conserved
from integrations.engine.contract import DataContract, Role
from integrations.engine.findings import Verdict
from integrations.engine.pipeline import read_batch
from integrations.engine.report import report_json, write_artifacts
from integrations.engine.rows import REASONS
from integrations.engine.types import BatchResult
from integrations.errors import FileChangedWhileRead, FileUnusable, SourcePaused, TooManyUnits
from integrations.models import BatchFile, Contract, Delivery, IngestBatch, Source
from integrations.models.batch import BatchState
from integrations.models.source import SourceState
from integrations.registry import LoadResult, demand_sink
from integrations.services.artifacts import Artifact, keep_artifacts
from integrations.services.contracts import activate_contract, contract_of
from integrations.services.delivery_end import conclude, contested_by, kept_originals, later_than, replaced_by
from integrations.services.drift import find_drift, hold_if_drifted
from integrations.services.files import batch_fingerprint, file_sha256
from ledger.context import RunContext
from ledger.models import Run
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role
from tenants.services import heartbeat

Progress = Callable[[int, int, str], None]
STEPS = 1000  # progress is told in thousandths: a byte count outgrows the run's column
_READ_SHARE = 0.8
_MAX_UNITS = 1e15  # the batch keeps units with four decimals in twenty digits

_STATES = {
    Verdict.PASSED: BatchState.LOADED,
    Verdict.FAILED: BatchState.FAILED,
    Verdict.REQUIRES_CUSTOM_ADAPTER: BatchState.REQUIRES_ADAPTER,
}
_REJECTED = 'COPY integrations_rejectedrow (batch_file_id, line, "column", reason, raw) FROM STDIN'


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """The batch, and whether it was there before (then nothing was done). ``series`` is what the sink counted."""

    batch: IngestBatch
    repeated: bool
    series: int = 0
    artifacts: tuple[Artifact, ...] = ()

    @property
    def passed(self) -> bool:
        return self.batch.state == BatchState.LOADED


def ingest_files(
    *,
    contract_row: Contract,
    files: Mapping[Role, Sequence[Path]],
    actor: AbstractBaseUser | None,
    ctx: RunContext | None = None,
    activate: bool = False,
    delivery: Delivery | None = None,
    hashes: Mapping[Path, str] | None = None,
    confirmed: str | None = None,
) -> IngestOutcome:
    """Read the files under the contract and load them as one batch, wholly or not at all.

    The verdict is the batch's state: one that did not pass keeps its report and rejected rows and loads nothing. The
    same bytes under the same contract are the batch they were loaded as. ``activate`` makes the contract the active
    one in the transaction that loads; ``confirmed`` is the digest of what that breaks. ``delivery`` is what the files
    came as: it takes its final state in that transaction, and is held where the columns drifted. ``hashes`` are the
    files' SHA-256 where they are known already
    (a file with other bytes is refused). ``actor`` is a tenant admin, or None for the system.

    Raises ``SourcePaused``, ``FileUnusable``, ``FileChangedWhileRead``, ``TooManyUnits``, ``ContractAltered``,
    ``NoDemandSink``, ``DeliveryHeld``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    contract = contract_of(contract_row)
    _refuse_paused(contract_row.source)
    demand_sink()  # before the work, not after it
    fingerprint, hashes = fingerprint_of(files, contract_row.sha256, hashes)
    known = selectors.loaded_batch(source=contract_row.source, fingerprint=fingerprint)
    if known is not None:
        if ctx is not None:
            ctx.progress(STEPS, STEPS, "Loaded before: nothing to do")
        _conclude_repeated(delivery, known, ctx)
        return IngestOutcome(known, repeated=True)
    drift = find_drift(contract_row=contract_row, contract=contract, files=files, delivery=delivery)
    if delivery is not None:
        hold_if_drifted(drift=drift, contract_row=contract_row, files=files, delivery=delivery, ctx=ctx)
    tell = _scaled(ctx.progress) if ctx is not None else None
    result = read_files(contract=contract, files=files, hashes=hashes, progress=tell, ignored=drift.ignored)
    result = drift.noted(result)
    with (
        tempfile.TemporaryDirectory(prefix="forecourt-ingest-") as folder,
        kept_originals(result=result, files=files, delivery=delivery, source=contract_row.source) as originals,
    ):
        paths = write_artifacts(result, Path(folder))
        if ctx is not None:
            ctx.progress(int(STEPS * _READ_SHARE), STEPS, "Loading")
        outcome = _store(
            contract_row=contract_row,
            result=result,
            fingerprint=fingerprint,
            paths=paths,
            actor=actor,
            ctx=ctx,
            activate=activate,
            confirmed=confirmed,
            delivery=delivery,
            originals=originals,
            columns=drift.known,
        )
    if ctx is not None:
        ctx.progress(STEPS, STEPS, "Loaded" if outcome.passed else "Refused")
    return outcome


def read_files(
    *,
    contract: DataContract,
    files: Mapping[Role, Sequence[Path]],
    hashes: Mapping[Path, str] | None = None,
    as_of: date | None = None,
    progress: Progress | None = None,
    ignored: Mapping[Role, frozenset[str]] | None = None,
) -> BatchResult:
    """Read and judge the files; needs no database. With ``hashes``, a file whose bytes are no longer those is refused.

    Future and history are measured from ``as_of``, by default today in the contract's time zone.
    Raises ``FileChangedWhileRead``, ``FileUnusable`` where one file stands there twice, ``TooManyUnits``.
    """
    today = datetime.now(ZoneInfo(contract.timezone)).date()
    result = read_batch(contract, files, as_of=as_of or today, progress=progress, ignored=ignored)
    assert_conserved(result)
    _refuse_copies(result)
    if max(result.units, result.returned_units) >= _MAX_UNITS:
        raise TooManyUnits(result.units)
    if hashes is not None:
        read = {found.name: found.sha256 for found in result.files}
        for path, digest in hashes.items():
            if read.get(path.name) != digest:
                raise FileChangedWhileRead(path.name)
    return result


def _refuse_copies(result: BatchResult) -> None:
    """A copy beside its original would double every sale of it, and no threshold need notice."""
    first: dict[tuple[Role, str], str] = {}
    for found in result.files:
        name = first.setdefault((found.role, found.sha256), found.name)
        if name != found.name and found.rows_read:
            raise FileUnusable(found.name, f"is a copy of {name}, byte for byte", "Leave one of the two out.")


def fingerprint_of(
    files: Mapping[Role, Sequence[Path]], contract_sha256: str, hashes: Mapping[Path, str] | None = None
) -> tuple[str, dict[Path, str]]:
    """The batch's fingerprint and each file's SHA-256; raise ``FileUnusable`` where two files have one name.

    A file is read for its hash only where ``hashes`` does not have it.
    """
    names = [path.name for paths in files.values() for path in paths]
    for name in names:
        if names.count(name) > 1:  # rejected rows are told apart by it
            raise FileUnusable(name, "is there twice in one delivery", "Give the files different names.")
    given = hashes or {}
    found = {path: given.get(path) or file_sha256(path) for paths in files.values() for path in paths}
    pairs = [(role, found[path]) for role, paths in files.items() for path in paths]
    return batch_fingerprint(contract_sha256=contract_sha256, hashes=pairs), found


def _conclude_repeated(delivery: Delivery | None, known: IngestBatch, ctx: RunContext | None) -> None:
    if delivery is None:
        return
    with transaction.atomic():
        if ctx is not None:
            ctx.fence()
        conclude(delivery=delivery, batch=known, repeated=known.run_id != (ctx.run.pk if ctx is not None else None))


@transaction.atomic
def _store(
    *,
    contract_row: Contract,
    result: BatchResult,
    fingerprint: str,
    paths: Sequence[Path],
    actor: AbstractBaseUser | None,
    ctx: RunContext | None,
    activate: bool,
    confirmed: str | None,
    delivery: Delivery | None,
    originals: Mapping[str, str],
    columns: Mapping[Role, Mapping[str, str]],
) -> IngestOutcome:
    """Everything that a batch writes, in one transaction."""
    if ctx is not None:
        ctx.fence()
    source = Source.objects.select_for_update().get(pk=contract_row.source_id)
    _refuse_paused(source)
    known = selectors.loaded_batch(source=source, fingerprint=fingerprint)
    if known is not None:  # another delivery of the same bytes was faster
        if delivery is not None:
            conclude(delivery=delivery, batch=known, repeated=True)
        return IngestOutcome(known, repeated=True)
    batch = _keep_batch(source, contract_row, result, fingerprint, actor, ctx, originals, columns)
    loaded = LoadResult(0, 0, None, None)
    if result.verdict is Verdict.PASSED:
        loaded = demand_sink()(
            demand=result.pieces,
            future=result.future,
            stores=result.stores,
            products=result.products,
            contract=result.contract,
            batch_id=batch.pk,
            replaces=replaced_by(delivery),
            yields_to=later_than(delivery),
            takes_over=contested_by(delivery),
        )
        _finish(source, batch, loaded)
        if activate:
            why = f"Batch {batch.pk} passed under it."
            activate_contract(contract_id=contract_row.pk, actor=actor, reason=why, confirmed=confirmed)
    if delivery is not None:
        conclude(delivery=delivery, batch=batch, repeated=False)
    with keep_artifacts(folder=f"ingest/{source.name}/{batch.pk}", paths=paths) as artifacts:
        if ctx is not None:
            listed = [artifact.as_dict() for artifact in artifacts]
            Run.objects.filter(pk=ctx.run.pk).update(artifacts=listed)
        record(
            event="batch.loaded" if result.verdict is Verdict.PASSED else "batch.failed",
            actor=actor,
            subject=batch,
            data=_facts(batch),
            correlation_id=ctx.run.correlation_id if ctx is not None else None,
        )
    return IngestOutcome(batch, repeated=False, series=loaded.series, artifacts=artifacts)


def _keep_batch(
    source: Source,
    contract_row: Contract,
    result: BatchResult,
    fingerprint: str,
    actor: AbstractBaseUser | None,
    ctx: RunContext | None,
    originals: Mapping[str, str],
    columns: Mapping[Role, Mapping[str, str]],
) -> IngestBatch:
    batch = IngestBatch.objects.create(
        source=source,
        contract=contract_row,
        run_id=ctx.run.pk if ctx is not None else None,
        fingerprint=fingerprint,
        state=_STATES[result.verdict],
        rows_read=result.total("rows_read"),
        rows_loaded=result.total("rows_loaded"),
        rows_merged=result.total("rows_merged"),
        rows_rejected=result.total("rows_rejected"),
        units=_decimal(result.units),
        returned_units=_decimal(result.returned_units),
        report=report_json(result),
        received_by_name=actor_name(actor),
    )
    kept = BatchFile.objects.bulk_create(
        BatchFile(
            batch=batch,
            role=str(found.role),
            name=found.name[:255],
            sha256=found.sha256,
            bytes=found.bytes,
            kept_path=originals.get(found.name, ""),
            columns=dict(columns.get(found.role, {})),
            rows_read=found.rows_read,
            rows_loaded=found.rows_loaded,
            rows_merged=found.rows_merged,
            rows_rejected=found.rows_rejected,
        )
        for found in result.files
    )
    _keep_rejected(dict(zip((found.name for found in result.files), (file.pk for file in kept), strict=True)), result)
    return batch


def _keep_rejected(file_ids: Mapping[str, int], result: BatchResult) -> None:
    if not result.rejected:
        return
    with connection.cursor() as cursor, cursor.copy(_REJECTED) as copy:
        for row in result.rejected:
            raw = row.raw.replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL keeps no NUL in a text
            copy.write_row(
                (file_ids[row.file], row.line, row.column[:120], REASONS.get(row.reason, row.reason)[:240], raw)
            )


def _finish(source: Source, batch: IngestBatch, loaded: LoadResult) -> None:
    """Write down what the sink did, on the batch, the source and the tenant's heartbeat."""
    batch.days_written, batch.first_day, batch.last_day = loaded.days_written, loaded.first_day, loaded.last_day
    if loaded.kept_days:
        batch.report = {**batch.report, "kept_days": loaded.kept_days}
    batch.save(update_fields=["days_written", "first_day", "last_day", "report"])
    now = timezone.now()
    source.last_sync_at = now
    source.data_until = max((day for day in (source.data_until, loaded.last_day) if day is not None), default=None)
    source.save(update_fields=["last_sync_at", "data_until"])
    heartbeat.touch(last_sync_at=now, data_until=selectors.newest_day())


def _refuse_paused(source: Source) -> None:
    if source.state == SourceState.PAUSED:
        raise SourcePaused(source.name)


def _scaled(tell: Progress) -> Progress:
    """The reading's bytes as the first part of the run's thousandths."""

    def scaled(done: int, total: int, message: str) -> None:
        tell(int(STEPS * _READ_SHARE * min(1.0, done / total)) if total else 0, STEPS, message)

    return scaled


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("0.0001"))


def _facts(batch: IngestBatch) -> dict[str, Any]:
    return {
        "source": batch.source.name,
        "contract_version": batch.contract.version,
        "state": batch.state,
        "fingerprint": batch.fingerprint,
        "rows_read": batch.rows_read,
        "rows_loaded": batch.rows_loaded,
        "rows_merged": batch.rows_merged,
        "rows_rejected": batch.rows_rejected,
        "days_written": batch.days_written,
        "last_day": batch.last_day,
    }
