"""One pull: what lies ready on a source's SFTP server becomes deliveries, each file once.

Killed at any moment, the next pull goes on: a delivery has an idempotency key made of its files' names, sizes, times
and hashes, what was delivered is remembered, and a remembered file that should have been moved is moved then.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any

from django.conf import settings
from django.utils import timezone

from integrations.connection_errors import PullFailed
from integrations.errors import FileUnusable
from integrations.models import Delivery, PulledFile, SftpConnection
from integrations.models.connection import AfterTaking
from integrations.models.delivery import Via
from integrations.services.connections import refuse_idle, target_of
from integrations.services.deliveries import FILES_AT_ONCE, Upload, patterns_of, receive
from integrations.services.sftp import session
from integrations.services.sftp_folder import Entry, FileChanged, Folder
from integrations.services.sftp_listing import Left, Listing, Wanted, group, sort_out, unsettled
from ledger.context import RunContext
from ledger.errors import DomainError

STEPS = 1000  # progress is told in thousandths: a byte count outgrows the run's column
PULL_SECONDS = 45 * 60.0  # below the time after which a job is stopped
MAX_FILES = 5 * FILES_AT_ONCE
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class _Taken:
    """A file whose bytes are here."""

    wanted: Wanted
    sha256: str
    stream: IO[bytes]


@dataclass(slots=True)
class _Pull:
    """What one pull did, for the run and the connection's page."""

    connection: SftpConnection
    ctx: RunContext
    deliveries: list[int] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    ignored: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "taken": self.taken,
            "deliveries": self.deliveries,
            "moved": self.moved,
            "left": [{"name": left.name, "why": left.why, "problem": left.problem} for left in self.left],
            "ignored": self.ignored,
        }


def perform_pull(*, ctx: RunContext) -> dict[str, Any]:
    """The body of the job: look, wait, look again, take what stayed the same, and put it aside.

    Returns what was taken and what was left and why. Raises ``PullFailed`` and its kinds, and what
    ``deliveries.receive`` raises; what was delivered before stays delivered.
    """
    connection = SftpConnection.objects.select_related("source").get(pk=ctx.inputs["connection"])
    pull = _Pull(connection, ctx)
    try:
        refuse_idle(connection)
        patterns = patterns_of(connection.source)
        with session(target_of(connection), seconds=PULL_SECONDS) as folder:
            listing = _settled(folder, pull, patterns)
            pull.left += listing.left
            pull.ignored = listing.ignored
            fresh = _not_taken_before(folder, pull, list(listing.wanted.values()))
            _take(folder, pull, fresh)
    except DomainError as problem:
        _note(connection, pull, str(problem))
        raise
    _note(connection, pull, "")
    ctx.progress(STEPS, STEPS, _said(pull))
    return pull.as_dict()


def _note(connection: SftpConnection, pull: _Pull, error: str) -> None:
    SftpConnection.objects.filter(pk=connection.pk).update(
        last_pull_at=timezone.now(), last_error=error, last_result=pull.as_dict()
    )


def _said(pull: _Pull) -> str:
    if pull.taken:
        return "1 file taken" if len(pull.taken) == 1 else f"{len(pull.taken)} files taken"
    return "Nothing taken: see what was left" if pull.left else "Nothing new"


def _settled(folder: Folder, pull: _Pull, patterns: Any) -> Listing:
    """The folder after two looks that agree, ``stable_seconds`` apart; while they differ, once more. If they still
    differ then, nothing is taken: a delivery of which a part is missing would be read as complete.
    """
    pull.ctx.progress(0, STEPS, "Looking into the folder")
    before = sort_out(folder.entries(), patterns, max_bytes=settings.UPLOAD_MAX_BYTES)
    if not before.wanted:
        return before
    moving: list[str] = []
    for _ in range(_LOOKS):
        _wait(pull)
        now = sort_out(folder.entries(), patterns, max_bytes=settings.UPLOAD_MAX_BYTES)
        moving = unsettled(before, now)
        if not moving:
            return now
        before = now
    why = "It is still arriving, and what lies beside it may belong to it. The next pull takes them."
    left = [Left(name, why, problem=False) for name in moving]
    waiting = "It waits: another file is still arriving, and they may belong together."
    left += [Left(name, waiting, problem=False) for name in before.wanted if name not in moving]
    return Listing(left=[*before.left, *left], ignored=before.ignored)


def _wait(pull: _Pull) -> None:
    """Wait between two looks, in steps short enough to be cancelled."""
    until = time.monotonic() + pull.connection.stable_seconds
    while (rest := until - time.monotonic()) > 0:
        pull.ctx.progress(0, STEPS, "Waiting whether the files stay as they are")
        time.sleep(min(rest, 1.0))


def _not_taken_before(folder: Folder, pull: _Pull, wanted: Sequence[Wanted]) -> list[Wanted]:
    """What no earlier pull took. What one took and could not put aside any more is put aside now."""
    remembered = {
        (row.name, row.bytes, row.modified): row
        for row in PulledFile.objects.filter(connection=pull.connection, name__in=[w.entry.name for w in wanted])
    }
    fresh = []
    for one in wanted:
        row = remembered.get((one.entry.name, one.entry.bytes, one.entry.modified))
        if row is None:
            fresh.append(one)
        elif row.problem:
            pull.left.append(Left(one.entry.name, f"Refused before and unchanged since: {row.problem}"))
        elif pull.connection.after_taking == AfterTaking.MOVE:
            _put_aside(folder, pull, one.entry, row)
    return fresh


def _take(folder: Folder, pull: _Pull, fresh: Sequence[Wanted]) -> None:
    groups, waiting = group(fresh)
    pull.left += [
        Left(one.entry.name, "It waits for the sales file that it comes with.", problem=False) for one in waiting
    ]
    files, room = 0, 4 * settings.UPLOAD_MAX_BYTES
    total = sum(one.entry.bytes for found in groups for one in found) or 1
    done = 0
    for found in groups:
        size = sum(one.entry.bytes for one in found)
        if len(found) > FILES_AT_ONCE or size > 4 * settings.UPLOAD_MAX_BYTES:
            raise PullFailed(
                f"{len(found)} files ({size / 2**20:,.0f} MiB) arrived together, more than one delivery may have "
                f"({FILES_AT_ONCE} files, {4 * settings.UPLOAD_MAX_BYTES / 2**20:,.0f} MiB). "
                "Move some out of the folder and bring them back after the next pull."
            )
        if files + len(found) > MAX_FILES or size > room:
            pull.left += [Left(one.entry.name, "The next pull takes it.", problem=False) for one in found]
            continue
        files, room = files + len(found), room - size
        try:
            _deliver(folder, pull, found, done, total)
        except FileChanged as changed:
            pull.left += [Left(one.entry.name, str(changed), problem=False) for one in found]
        done += size


def _deliver(folder: Folder, pull: _Pull, found: Sequence[Wanted], done: int, total: int) -> None:
    """Fetch the files of one delivery, hand them over, remember them, and put them aside."""
    with ExitStack() as stack:
        fetched: list[_Taken] = []
        for one in found:
            stream = stack.enter_context(tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR))

            def tick(count: int, so_far: int = done, name: str = one.entry.name) -> None:
                pull.ctx.progress(int((STEPS - 1) * (so_far + count) / total), STEPS, f"Taking {name}")

            sha256 = folder.fetch(one.entry, stream, tick)
            done += one.entry.bytes
            fetched.append(_Taken(one, sha256, stream))
        fetched = _without_twins(pull, fetched)
        for taken in fetched:
            taken.stream.seek(0)
        pull.ctx.check_cancelled()
        try:
            receipt = receive(
                source=pull.connection.source,
                uploads=[Upload(taken.wanted.entry.name, taken.stream, taken.wanted.role) for taken in fetched],
                via=Via.SFTP,
                actor=pull.ctx.run.requested_by,
                idempotency_key=_key(fetched),
            )
        except FileUnusable as problem:  # the files themselves: they would be refused every time
            for taken in fetched:
                _remember(pull, taken, problem=str(problem))
                pull.left.append(Left(taken.wanted.entry.name, str(problem)))
            return
    rows = [(taken, _remember(pull, taken, delivery=receipt.delivery)) for taken in fetched]
    pull.deliveries.append(receipt.delivery.pk)
    pull.taken += [taken.wanted.entry.name for taken in fetched]
    if pull.connection.after_taking == AfterTaking.MOVE:
        for taken, row in rows:
            _put_aside(folder, pull, taken.wanted.entry, row)


def _without_twins(pull: _Pull, fetched: Sequence[_Taken]) -> list[_Taken]:
    """A copy beside its original would double every sale: the copy is left, and remembered as refused."""
    first: dict[tuple[str, str], str] = {}
    kept = []
    for taken in fetched:
        name = taken.wanted.entry.name
        original = first.setdefault((taken.wanted.role, taken.sha256), name)
        if original == name:
            kept.append(taken)
        else:
            why = f"It is a copy of {original}, byte for byte."
            _remember(pull, taken, problem=why)
            pull.left.append(Left(name, why))
    return kept


def _key(fetched: Sequence[_Taken]) -> str:
    lines = sorted(
        f"{taken.wanted.entry.name}\0{taken.wanted.entry.bytes}\0{taken.wanted.entry.modified}\0{taken.sha256}"
        for taken in fetched
    )
    return "sftp-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _remember(pull: _Pull, taken: _Taken, *, delivery: Delivery | None = None, problem: str = "") -> PulledFile:
    entry = taken.wanted.entry
    row, _ = PulledFile.objects.get_or_create(
        connection=pull.connection,
        name=entry.name,
        bytes=entry.bytes,
        modified=entry.modified,
        defaults={"sha256": taken.sha256, "delivery": delivery, "problem": problem[:500]},
    )
    return row


def _put_aside(folder: Folder, pull: _Pull, entry: Entry, row: PulledFile) -> None:
    """Move a taken file; one that cannot be moved stays, remembered, and is not taken again."""
    try:
        place = folder.put_aside(entry, pull.connection.move_to)
    except FileChanged:
        pull.left.append(
            Left(entry.name, "A newer file of this name came meanwhile; the next pull takes it.", problem=False)
        )
        return
    except PullFailed as problem:
        if not folder.is_open:
            raise
        pull.left.append(Left(entry.name, f"It was taken, and is not taken again. {problem}"))
        return
    pull.moved.append(entry.name)
    PulledFile.objects.filter(pk=row.pk).update(moved_to=place[:500])
