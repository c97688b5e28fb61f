"""The end of a delivery: which state it takes with its batch, and whose bytes are kept."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q

from integrations.delivery_errors import DeliveryHeld
from integrations.engine.contract import Role
from integrations.engine.findings import Verdict
from integrations.engine.types import BatchResult
from integrations.models import Delivery, IngestBatch, Source
from integrations.models.batch import BatchState
from integrations.models.delivery import DeliveryState
from integrations.services.delivery_life import change_state, drop_bytes
from integrations.services.mending_end import settle_rows
from ledger.context import RunContext
from ledger.services.audit import record


def is_clean(result: BatchResult) -> bool:
    """Whether nothing of these files is left to mend, so that their bytes need not be kept."""
    return result.verdict is Verdict.PASSED and not result.total("rows_rejected")


@contextmanager
def kept_originals(
    *, result: BatchResult, files: Mapping[Role, Sequence[Path]], delivery: Delivery | None, source: Source
) -> Iterator[dict[str, str]]:
    """Where the tenant's storage has each file of a batch that has something to mend, by name; empty for a clean one.

    What a delivery stored stays where it is; what was read in place is copied, and taken away again if the block does
    not end well. Call it before the transaction that stores the batch: a copy may take long.
    """
    if is_clean(result):
        yield {}
        return
    # Under other names than theirs: those could be too long or too odd for a storage.
    stored = dict(delivery.files.values_list("name", "path")) if delivery is not None else {}
    copied: dict[str, str] = {}
    try:
        for path in (path for paths in files.values() for path in paths):
            if not stored.get(path.name):
                with path.open("rb") as stream:
                    copied[path.name] = default_storage.save(
                        f"deliveries/{source.name}/{uuid.uuid4().hex}", File(stream)
                    )
        yield {name: path for name, path in stored.items() if path} | copied
    except BaseException:
        for kept in copied.values():
            default_storage.delete(kept)
        raise


def conclude(*, delivery: Delivery, batch: IngestBatch, repeated: bool) -> None:
    """Give the delivery its final state; call it in the transaction that stores the batch.

    The bytes of one that loaded without rejected rows, or had been loaded before, are deleted once that commits.
    """
    passed = batch.state == BatchState.LOADED
    locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
    state = DeliveryState.LOADED if passed else DeliveryState.REFUSED
    if locked.state == state:  # resumed after it was refused, and refused again
        locked.batch = batch
        locked.save(update_fields=["batch"])
    else:
        change_state(locked, state, batch=batch, repeated=repeated, problem="" if passed else _why(batch))
    if locked.replaces_id is not None:
        settle_rows(delivery=locked, batch=batch)
        if passed and not repeated:  # the originals stay with the batch that was mended
            batch.files.update(kept_path="")
    if repeated or (passed and (locked.replaces_id is not None or not batch.rows_rejected)):
        drop_bytes(locked)
    delivery.refresh_from_db()


def hold(
    *,
    delivery: Delivery,
    files: Mapping[Role, Sequence[Path]],
    reason: str,
    ctx: RunContext | None,
    also: Callable[[Delivery], None] | None = None,
) -> NoReturn:
    """Keep the delivery unread until somebody decides; files that were read in place are copied into the storage.

    ``also`` is called in the same transaction, with the held delivery.
    Raises ``DeliveryHeld``, after which the job ends well with `held` in its outputs.
    """
    paths = {path.name: path for found in files.values() for path in found}
    with ExitStack() as stack, transaction.atomic():
        if ctx is not None:
            ctx.fence()
        locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
        for file in locked.files.filter(path=""):
            with paths[file.name].open("rb") as stream:
                file.path = default_storage.save(f"deliveries/{locked.source.name}/{uuid.uuid4().hex}", File(stream))
            stack.push(_delete_on_error(file.path))
            file.save(update_fields=["path"])
        change_state(locked, DeliveryState.HELD, problem=reason)
        data = {"source": locked.source.name, "reason": reason}
        record(event="delivery.held", subject=locked, data=data)
        if also is not None:
            also(locked)
    raise DeliveryHeld(delivery.pk, reason)


def _delete_on_error(path: str) -> Callable[..., None]:
    def leave(kind: object, *_: object) -> None:
        if kind is not None:
            default_storage.delete(path)

    return leave


def _why(batch: IngestBatch) -> str:
    errors = [found for found in batch.report.get("findings", []) if found.get("severity") == "error"]
    return f"{errors[0]['message']} {errors[0]['fix']}".strip() if errors else "See the report of the batch."


def replaced_by(delivery: Delivery | None) -> frozenset[int]:
    """The ids of the batches whose days this delivery may overwrite: the mended batch and its earlier replays.

    Empty for a delivery that mends nothing: it overwrites every day it brings.
    """
    if delivery is None or delivery.replaces_id is None:
        return frozenset()
    earlier = IngestBatch.objects.filter(Q(pk=delivery.replaces_id) | Q(deliveries__replaces_id=delivery.replaces_id))
    return frozenset(earlier.values_list("pk", flat=True))


def later_than(delivery: Delivery | None) -> frozenset[int]:
    """The ids of the batches of later deliveries that were loaded before this one: what they said stands.

    Empty but for a delivery whose run had failed and was resumed. Mended rows have a rule of their own.
    """
    if delivery is None or delivery.replaces_id is not None:
        return frozenset()
    later = Delivery.objects.filter(
        source_id=delivery.source_id, pk__gt=delivery.pk, state=DeliveryState.LOADED, repeated=False
    )
    return frozenset(later.filter(batch__isnull=False).values_list("batch_id", flat=True))


def contested_by(delivery: Delivery | None) -> frozenset[int] | None:
    """The ids of the batches that may be read again with mended rows; None while an earlier delivery may be resumed.

    Days that those wrote belong to whoever says the same later: else a second reading would undo it.
    """
    unread = [DeliveryState.RECEIVED, DeliveryState.REFUSED]
    if delivery is not None:
        earlier = Delivery.objects.filter(source_id=delivery.source_id, pk__lt=delivery.pk, state__in=unread)
        if earlier.exclude(files__path="").exists():
            return None
    mendable = IngestBatch.objects.filter(files__rows_rejected__gt=0).exclude(files__kept_path="")
    found = IngestBatch.objects.filter(state=BatchState.LOADED).filter(
        Q(pk__in=mendable.values("pk")) | Q(deliveries__replaces_id__in=mendable.values("pk"))
    )
    return frozenset(found.values_list("pk", flat=True))
