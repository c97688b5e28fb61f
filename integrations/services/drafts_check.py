"""The checks of an onboarding: the whole sample through the real reader, in the background, with nothing loaded."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from integrations.draft_errors import DraftIncomplete, SampleMissing
from integrations.engine.contract import DataContract, Role, contract_sha256
from integrations.engine.findings import Verdict
from integrations.models import DraftFile, OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import lock_draft
from integrations.services.drafts_body import whole_contract
from integrations.services.files import batch_fingerprint
from integrations.services.spool import staged
from ledger.context import RunContext
from ledger.models import Run
from ledger.services import runs
from ledger.services.audit import record

if TYPE_CHECKING:
    from integrations.engine.types import BatchResult

KIND = "integrations.check"
REJECTED_SHOWN = 50
_MONTHS_SHOWN = 24
_STORES_SHOWN = 12
_STEPS = 1000  # progress is told in thousandths: a byte count outgrows the run's column


@transaction.atomic
def start_check(*, draft_id: int, actor: AbstractBaseUser) -> Run:
    """Queue the checks of the draft as it is now; the answer appears in ``draft.check_report``.

    Raises ``SampleMissing``, ``DraftIncomplete`` with what is missing, ``RunAlreadyLive``, ``DraftClosed``,
    ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=None, actor=actor)
    if not draft.files.filter(role=Role.TRANSACTIONS).exists():
        raise SampleMissing()
    contract, findings = whole_contract(draft.body)
    if contract is None:
        raise DraftIncomplete(findings)
    run = runs.enqueue(
        kind=KIND,
        scope=f"draft {draft.pk}",
        inputs={"draft": draft.pk, "contract": contract.model_dump(mode="json")},
        requested_by=actor,
    )
    draft.check_run_id = run.pk
    draft.step = DraftStep.CHECKS
    draft.save(update_fields=["check_run_id", "step"])  # no answer changed, so no open page is older for it
    return run


def perform_check(*, ctx: RunContext) -> dict[str, Any]:
    """The body of the job: read everything, keep what was found, load nothing."""
    from integrations.services.ingest import read_files

    draft = OnboardingDraft.objects.get(pk=ctx.inputs["draft"])
    contract = DataContract.model_validate(ctx.inputs["contract"])
    kept = list(draft.files.all())
    read = [row for row in kept if Role(row.role) in contract.files.by_role()]

    def tell(done: int, total: int, message: str) -> None:
        ctx.progress(int(_STEPS * 0.95 * min(1.0, done / total)) if total else 0, _STEPS, message)

    with staged([(row.name, row.path) for row in read]) as paths:
        files: dict[Role, list[Path]] = {}
        for row, path in zip(read, paths, strict=True):
            files.setdefault(Role(row.role), []).append(path)
        hashes = {path: row.sha256 for row, path in zip(read, paths, strict=True)}
        result = read_files(contract=contract, files=files, hashes=hashes, progress=tell)
    report = {**check_report(result), "fingerprint": fingerprint_of(contract, kept), "run": str(ctx.run.pk)}
    report["rejected_path"] = _keep_rejected(draft.pk, result)
    with transaction.atomic():
        ctx.fence()
        locked = OnboardingDraft.objects.select_for_update().get(pk=draft.pk)
        if locked.check_run_id == ctx.run.pk:
            locked.check_report = report
            locked.save(update_fields=["check_report"])
        data = {"verdict": report["verdict"], "rows_read": report["totals"]["rows_read"], "units": report["units"]}
        record(event="draft.checked", subject=draft, data=data, correlation_id=ctx.run.correlation_id)
    ctx.progress(_STEPS, _STEPS, "Checked")
    return {key: report[key] for key in ("verdict", "totals", "units", "returned_units", "first_day", "last_day")}


def check_report(result: BatchResult) -> dict[str, Any]:
    """What the page shows: the report of a batch, the first rejected rows, and figures to compare with own books."""
    from integrations.engine.report import report_json
    from integrations.engine.rows import REASONS

    shown = [
        {
            "file": row.file,
            "line": row.line,
            "column": row.column,
            "reason": REASONS.get(row.reason, row.reason),
            "raw": row.raw[:500].replace("\0", "\N{REPLACEMENT CHARACTER}"),
        }
        for row in islice(result.rejected, REJECTED_SHOWN)
    ]
    report = report_json(result)
    return {**report, **_books(result), "rejected": shown, "at": timezone.now().isoformat()}


def _books(result: BatchResult) -> dict[str, Any]:
    """First and last day, days and series, and units by month and by store; empty where nothing passed."""
    import numpy as np

    days: set[Any] = set()
    by_month: dict[str, float] = {}
    by_store: dict[str, float] = {}
    for piece in result.pieces if result.verdict is Verdict.PASSED else ():
        piece_days = piece.column("date").to_numpy().astype("datetime64[D]")
        units = piece.column("quantity").to_numpy()
        days.update(np.unique(piece_days).tolist())
        months, month_of = np.unique(piece_days.astype("datetime64[M]"), return_inverse=True)
        for month, total in zip(months, np.bincount(month_of, weights=units), strict=True):
            by_month[str(month)] = by_month.get(str(month), 0.0) + float(total)
        for store, total in _by_store(piece, units):
            by_store[store] = by_store.get(store, 0.0) + total
    largest = sorted(by_store.items(), key=lambda pair: (-pair[1], pair[0]))[:_STORES_SHOWN]
    return {
        "first_day": str(min(days)) if days else None,
        "last_day": str(max(days)) if days else None,
        "days": len(days),
        "series": int(result.metrics.get("series") or 0),
        "months": [{"month": month, "units": round(by_month[month], 4)} for month in sorted(by_month)[-_MONTHS_SHOWN:]],
        "stores": [{"store": store, "units": round(total, 4)} for store, total in largest],
        "store_count": len(by_store),
    }


def _by_store(piece: Any, units: Any) -> list[tuple[str, float]]:
    """Units by store of one piece of the demand."""
    import numpy as np

    stores = piece.column("store_id").combine_chunks().dictionary_encode()
    totals = np.bincount(stores.indices.to_numpy(), weights=units, minlength=len(stores.dictionary))
    return [(str(store), float(total)) for store, total in zip(stores.dictionary.to_pylist(), totals, strict=True)]


def _keep_rejected(draft_id: int, result: BatchResult) -> str:
    """The rejected rows as a CSV in the storage, in place of an earlier check's; empty where there are none."""
    from integrations.engine.report import write_rejected

    wanted = f"onboarding/{draft_id}/check/rejected_rows.csv"
    default_storage.delete(wanted)
    if not len(result.rejected):
        return ""
    with tempfile.TemporaryFile() as kept:
        out = io.TextIOWrapper(kept, encoding="utf-8", errors="replace", newline="", write_through=True)
        write_rejected(result.rejected, out)
        out.detach()
        kept.seek(0)
        return default_storage.save(wanted, File(kept, name="rejected_rows.csv"))


def fingerprint_of(contract: DataContract, files: Sequence[DraftFile]) -> str:
    """What a check is of: the contract and the bytes of the sample."""
    hashes = [(Role(row.role), row.sha256) for row in files]
    return batch_fingerprint(contract_sha256=contract_sha256(contract), hashes=hashes)


def current_fingerprint(draft: OnboardingDraft) -> str | None:
    """The fingerprint of the draft as it stands; None while it is no whole contract."""
    contract, _ = whole_contract(draft.body)
    return None if contract is None else fingerprint_of(contract, list(draft.files.all()))


def check_is_current(draft: OnboardingDraft) -> bool:
    """Whether the last check was of the draft as it stands now."""
    report: Mapping[str, Any] = draft.check_report or {}
    return bool(report) and report.get("fingerprint") == current_fingerprint(draft)


def has_passed(draft: OnboardingDraft) -> bool:
    """Whether the draft as it stands now passed its checks."""
    return check_is_current(draft) and draft.check_report.get("verdict") == Verdict.PASSED.value
