"""The kept files of a batch: what they look like, and written again with the mended rows in their places."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import default_storage

from integrations.engine.chunks import FileProblem
from integrations.engine.compose import MENDABLE, Changes, ComposeProblem, IteratorStream, compose
from integrations.engine.contract import Role
from integrations.engine.contract_model import FileSpec
from integrations.engine.sources import open_source
from integrations.mending_errors import MendRefused, MendUnsupported, NothingToReplay, OriginalsGone
from integrations.models import BatchFile, Delivery, IngestBatch, RejectedRow
from integrations.models.batch import RowState
from integrations.models.delivery import DeliveryState, Via
from integrations.services.contracts import contract_of
from integrations.services.deliveries import Receipt, Upload, receive
from integrations.services.spool import staged
from ledger.models import LIVE_STATES, Run


@dataclass
class Original:
    """One kept file of a batch, and how its contract reads it."""

    file: BatchFile
    spec: FileSpec

    @cached_property
    def headings(self) -> tuple[str, ...]:
        """The file's own headings; none where it is not kept any more."""
        if not self.file.kept_path or not default_storage.exists(self.file.kept_path):
            return ()
        try:
            with (
                staged([(self.file.name, self.file.kept_path)]) as (path,),
                open_source(path, self.spec) as opened,
            ):
                return tuple(opened.source.headings)
        except FileProblem:
            return ()

    def check_mendable(self) -> None:
        """Raise ``MendUnsupported`` or ``OriginalsGone`` where no row of it can be replaced."""
        if self.spec.format not in MENDABLE:
            raise MendUnsupported(self.file.name, self.spec.format.value)
        if not self.file.kept_path or not default_storage.exists(self.file.kept_path):
            raise OriginalsGone(self.file.name)


def originals_of(batch: IngestBatch) -> dict[str, Original]:
    """The batch's files by name, each with its declaration in the batch's own contract version."""
    specs = contract_of(batch.contract).files.by_role()
    return {file.name: Original(file, specs[Role(file.role)]) for file in batch.files.all() if Role(file.role) in specs}


def root_of(batch: IngestBatch) -> IngestBatch:
    """The batch whose rows are mended: itself, or the one that it is a replay of."""
    replay = (
        Delivery.objects.filter(batch=batch, via=Via.REPLAY, repeated=False)
        .select_related("replaces__source", "replaces__contract__source")
        .first()
    )
    return replay.replaces if replay is not None and replay.replaces is not None else batch


def live_replay(root: IngestBatch) -> Delivery | None:
    """The replay of the batch that still waits or is being read."""
    live = Run.objects.filter(state__in=LIVE_STATES, pk__in=root.replays.values("run_id"))
    return root.replays.filter(run_id__in=live.values("pk")).order_by("pk").last()


def start_replay(*, root: IngestBatch, actor: AbstractBaseUser | None) -> Receipt:
    """Receive the batch's files again, with every mended row in its place and the rows that were left out taken out.

    It is read under the contract version of the batch: the files were made for that one, and the result is what they
    would have given from the start. The same decisions are the same delivery, unless that one failed.
    Raises ``NothingToReplay``, ``OriginalsGone``, ``MendUnsupported``, ``MendRefused``, and what ``receive`` raises.
    """
    changes = _changes(root)
    if not changes:
        raise NothingToReplay(str(root))
    with _uploads(root, changes) as uploads:
        try:
            return receive(
                source=root.source,
                uploads=uploads,
                via=Via.REPLAY,
                actor=actor,
                idempotency_key=_key(root, changes),
                contract=root.contract,
                replaces=root,
            )
        except ComposeProblem as problem:
            raise MendRefused([str(problem)]) from problem


def _changes(root: IngestBatch) -> dict[str, dict[int, str | None]]:
    """What to write in place of which rows, by file and line."""
    decided = RejectedRow.objects.filter(batch_file__batch=root).exclude(state=RowState.OPEN, mended_text="")
    found: dict[str, dict[int, str | None]] = {}
    for name, line, state, text in decided.values_list("batch_file__name", "line", "state", "mended_text").iterator():
        if state == RowState.LEFT_OUT or text:
            found.setdefault(name, {})[line] = None if state == RowState.LEFT_OUT else text
    return found


def _key(root: IngestBatch, changes: dict[str, dict[int, str | None]]) -> str:
    digest = hashlib.sha256()
    for name, lines in sorted(changes.items()):
        for line, text in sorted(lines.items()):
            digest.update(repr((name, line, text)).encode())
    live = Run.objects.filter(state__in=LIVE_STATES).values("pk")
    failed = root.replays.exclude(state=DeliveryState.LOADED).exclude(run_id__in=live).count()
    return f"replay-{root.pk}-{digest.hexdigest()[:32]}-{failed}"


@contextmanager
def _uploads(root: IngestBatch, changes: dict[str, dict[int, str | None]]) -> Iterator[list[Upload]]:
    """Every file of the batch as it is to be read again."""
    with ExitStack() as stack:
        uploads: list[Upload] = []
        for name, original in originals_of(root).items():
            wanted: Changes = changes.get(name, {})
            if wanted:
                original.check_mendable()
            if not original.file.kept_path or not default_storage.exists(original.file.kept_path):
                raise OriginalsGone(str(root))
            stream = stack.enter_context(default_storage.open(original.file.kept_path, "rb"))
            again = IteratorStream(compose(stream, wanted, original.spec)) if wanted else stream
            uploads.append(Upload(name, again, Role(original.file.role)))
        yield uploads
