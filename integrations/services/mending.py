"""Rejected rows: mended, left out, taken back, read again, and settled when the replay has been read.

The rows of a batch are mended in the batch that rejected them first, however often it is replayed: each replay is the
original files with everything in place that was decided so far. So nothing is counted twice, whether rows are mended at
once or one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from integrations.delivery_errors import ReasonMissing
from integrations.engine.chunks import RAW_LIMIT
from integrations.engine.compose import cells_of, text_of
from integrations.engine.contract_model import FileFormat
from integrations.engine.mend_sheet import SheetProblem, SheetRow, read_sheet
from integrations.mending_errors import MendRefused
from integrations.models import IngestBatch, RejectedRow, Source
from integrations.models.batch import RowState
from integrations.services.deliveries import Receipt
from integrations.services.delivery_life import run_of
from integrations.services.originals import Original, live_replay, originals_of, root_of, start_replay
from integrations.services.spool import Readable
from ledger.errors import TransitionRefused
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role

_AT_ONCE = 2000
_NAMED_IN_AUDIT = 200


@dataclass(frozen=True, slots=True)
class MendOutcome:
    """What a mend did: rows that got a new text, rows that stood as they were, rows mended so before; and the replay.

    ``receipt`` is None where nothing changed and no replay is on its way.
    """

    changed: int
    unchanged: int
    before: int
    receipt: Receipt | None


def mend_sheet(*, batch_id: int, stream: Readable, actor: AbstractBaseUser | None) -> MendOutcome:
    """Take the rows of a mended download; the same as ``mend_rows``. Raises ``MendRefused`` for an unreadable sheet."""
    try:
        return mend_rows(batch_id=batch_id, rows=read_sheet(stream), actor=actor)
    except SheetProblem as problem:
        raise MendRefused([str(problem)]) from problem


@transaction.atomic
def mend_rows(*, batch_id: int, rows: Iterable[SheetRow], actor: AbstractBaseUser | None) -> MendOutcome:
    """Write down the mended cells of rejected rows and read the batch's files again with them.

    A row whose cells are as they were stays open. All or nothing: a row that cannot be mended so stops the whole mend.
    ``batch_id`` may be a replay: its rows are those of the batch that it replays. ``actor`` is a tenant admin, or None
    for the system. Raises ``MendRefused``, ``MendUnsupported``, ``OriginalsGone``, ``RoleRequired``, and what
    ``receive`` raises.
    """
    root = _lock_root(batch_id, actor)
    work = _Mend(root, live_replay(root) is not None, actor)
    iterator = iter(rows)
    while part := list(islice(iterator, _AT_ONCE)):
        work.take(part)
    if work.problems:
        raise MendRefused(work.problems)
    receipt = None
    if work.changed:
        data = {"rows": work.changed, "places": work.places[:_NAMED_IN_AUDIT]}
        receipt = start_replay(root=root, actor=actor)
        record(event="rows.mended", actor=actor, subject=root, data={**data, "delivery": receipt.delivery.pk})
    elif (live := live_replay(root)) is not None:
        receipt = Receipt(live, run_of(live), repeated=True)
    return MendOutcome(work.changed, work.unchanged, work.before, receipt)


class _Mend:
    """The mend of some rows of one batch, part by part."""

    def __init__(self, root: IngestBatch, is_live: bool, actor: AbstractBaseUser | None) -> None:
        self.root, self.is_live, self.actor = root, is_live, actor
        self.originals = originals_of(root)
        self.changed = self.unchanged = self.before = 0
        self.problems: list[str] = []
        self.places: list[str] = []
        self._seen: set[tuple[str, int]] = set()

    def take(self, part: Sequence[SheetRow]) -> None:
        known = {
            (row.batch_file.name, row.line): row
            for row in RejectedRow.objects.filter(
                batch_file__batch=self.root, line__in={row.line for row in part}
            ).select_related("batch_file")
        }
        mended: list[RejectedRow] = []
        for given in part:
            row = known.get((given.file, given.line))
            if (given.file, given.line) in self._seen:
                self.problems.append(f"{given.file}:{given.line} stands in the sheet twice.")
            elif row is None:
                self.problems.append(f"{given.file}:{given.line} is no rejected row of this batch.")
            elif self._mend(row, given):
                mended.append(row)
            self._seen.add((given.file, given.line))
        if mended and not self.problems:
            RejectedRow.objects.bulk_update(mended, ["mended_text", "changed_by_name", "changed_at"])

    def _mend(self, row: RejectedRow, given: SheetRow) -> bool:
        """Put the new text on the row; False where there is nothing to do, or a problem."""
        place = f"{given.file}:{given.line}"
        original = self.originals[given.file]
        now = row.mended_text or row.raw
        cells = plain_cells(given.cells, now, original)
        if cells == plain_cells(tuple(shown_cells(now, original)), now, original):
            self.before += row.state == RowState.MENDED
            self.unchanged += row.state != RowState.MENDED
            return False
        problem = self._problem(row, original, place)
        if problem:
            self.problems.append(problem)
            return False
        original.check_mendable()
        if not any(cell.strip() for cell in cells):
            self.problems.append(f"{place} has no cell left. Leave the row out instead, with a reason.")
            return False
        row.mended_text = _text(cells, now, original)
        if "\0" in row.mended_text:
            self.problems.append(f"{place} has a NUL sign in a cell. Take it out.")
            return False
        if row.mended_text.count("\n") > row.raw.count("\n"):
            self.problems.append(f"{place} has a line break in a cell. Take it out.")
            return False
        row.changed_by_name, row.changed_at = actor_name(self.actor), timezone.now()
        self.changed += 1
        self.places.append(place)
        return True

    def _problem(self, row: RejectedRow, original: Original, place: str) -> str:
        if row.state == RowState.MENDED:
            return f"{place} was mended by {row.changed_by_name or 'a replay'} and is loaded; upload a corrected file."
        if row.state == RowState.LEFT_OUT:
            return f"{place} was left out by {row.changed_by_name}; take it back first."
        if row.mended_text and self.is_live:
            return f"{place} was mended by {row.changed_by_name} and is being loaded; wait for that."
        if len(row.raw) >= RAW_LIMIT:
            return f"{place} is too long to be mended here; mend the file itself and upload it."
        return ""


def shown_cells(text: str, original: Original) -> list[str]:
    """A row's cells as people see them; one cell with the whole text where it cannot be taken apart."""
    cells = cells_of(text, original.headings, original.spec)
    return [text] if cells is None else cells


def plain_cells(cells: tuple[str, ...], text: str, original: Original) -> tuple[str, ...]:
    """The cells without the empty ones that a spreadsheet adds at the end, filled up to the headings.

    Only a row that is short as it stands may stay short: so it is seen whether anybody changed it.
    """
    width = len(original.headings)
    found = list(cells)
    while found and len(found) > width and not found[-1]:
        found.pop()
    if len(found) == width and not found[-1]:
        # A row that lacks cells comes back with empty ones: that alone is no mend.
        now = shown_cells(text, original)
        if len(now) < width and found == now + [""] * (width - len(now)):
            return tuple(now)
    if len(found) < width and found != shown_cells(text, original):
        found += [""] * (width - len(found))
    return tuple(found)


def _text(cells: tuple[str, ...], now: str, original: Original) -> str:
    whole = original.spec.format is FileFormat.NDJSON and cells[0].lstrip().startswith("{") and not any(cells[1:])
    return cells[0] if whole else text_of(cells, original.headings, now, original.spec)


# --- rows that are given up ------------------------------------------------------------------------------------------


@transaction.atomic
def leave_out_rows(*, batch_id: int, row_ids: Sequence[int], reason: str, actor: AbstractBaseUser | None) -> int:
    """Give rejected rows up, and why; how many they were. They are taken out of the next replay.

    Raises ``MendRefused`` for a row that is loaded or being loaded, ``ReasonMissing``, ``RoleRequired``.
    """
    reason = reason.replace("\0", "").strip()
    if not reason:
        raise ReasonMissing()
    root = _lock_root(batch_id, actor)
    rows = list(_chosen(root, row_ids))
    if not rows:
        return 0
    live = live_replay(root) is not None
    for row in rows:
        if live and row.mended_text:
            raise MendRefused([f"{_place(row)} is being loaded; wait for that."])
        if row.state != RowState.OPEN:
            raise TransitionRefused(_place(row), row.get_state_display().lower(), "left out")
        row.state, row.note = RowState.LEFT_OUT, reason[:2000]
        row.changed_by_name, row.changed_at = actor_name(actor), timezone.now()
    RejectedRow.objects.bulk_update(rows, ["state", "note", "changed_by_name", "changed_at"], batch_size=_AT_ONCE)
    _record_rows("rows.left_out", root, rows, reason, actor)
    return len(rows)


@transaction.atomic
def take_back_rows(*, batch_id: int, row_ids: Sequence[int], actor: AbstractBaseUser | None) -> int:
    """Open rows again that were left out; how many they were. Raises ``TransitionRefused``, ``RoleRequired``."""
    root = _lock_root(batch_id, actor)
    rows = list(_chosen(root, row_ids))
    if not rows:
        return 0
    for row in rows:
        if row.state != RowState.LEFT_OUT:
            raise TransitionRefused(_place(row), row.get_state_display().lower(), "open")
        row.state, row.note = RowState.OPEN, ""
        row.changed_by_name, row.changed_at = actor_name(actor), timezone.now()
    RejectedRow.objects.bulk_update(rows, ["state", "note", "changed_by_name", "changed_at"], batch_size=_AT_ONCE)
    _record_rows("rows.taken_back", root, rows, "", actor)
    return len(rows)


@transaction.atomic
def replay_batch(*, batch_id: int, actor: AbstractBaseUser | None) -> Receipt:
    """Read the batch's files again with what was decided so far.

    Raises ``NothingToReplay``, ``OriginalsGone``, ``RoleRequired``, and what ``receive`` raises.
    """
    root = _lock_root(batch_id, actor)
    receipt = start_replay(root=root, actor=actor)
    if not receipt.repeated:
        record(event="batch.replayed", actor=actor, subject=root, data={"delivery": receipt.delivery.pk})
    return receipt


def _chosen(root: IngestBatch, row_ids: Sequence[int]) -> Iterator[RejectedRow]:
    rows = RejectedRow.objects.filter(batch_file__batch=root, pk__in=list(row_ids))
    return rows.select_for_update(of=("self",)).select_related("batch_file").iterator()


def _place(row: RejectedRow) -> str:
    return f"{row.batch_file.name}:{row.line}"


def _record_rows(
    event: str, root: IngestBatch, rows: Sequence[RejectedRow], reason: str, actor: AbstractBaseUser | None
) -> None:
    places = [_place(row) for row in rows[:_NAMED_IN_AUDIT]]
    data = {"rows": len(rows), "places": places, "reason": reason.strip()}
    record(event=event, actor=actor, subject=root, data=data)


def _lock_root(batch_id: int, actor: AbstractBaseUser | None) -> IngestBatch:
    """The batch whose rows these are, with its source locked: mends of one source follow one another."""
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    root = root_of(IngestBatch.objects.select_related("source", "contract__source").get(pk=batch_id))
    Source.objects.select_for_update().get(pk=root.source_id)
    return root
