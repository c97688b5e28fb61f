"""Kept bytes of deliveries and batches: dropped by a tenant admin, or when they are old; rows and hashes stay."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from integrations.delivery_errors import BytesGone, ReasonMissing
from integrations.models import BatchFile, Delivery, DeliveryFile, IngestBatch, Source
from integrations.models.delivery import DeliveryState
from integrations.services.delivery_life import change_state, close_item, delete_on_commit, send_next
from ledger.models import LIVE_STATES, Run
from ledger.services.audit import record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role


@transaction.atomic
def drop_kept_files(*, batch_id: int, reason: str, actor: AbstractBaseUser | None) -> int:
    """Delete the original files of a batch now, and why; how many they were. Its rows can then not be mended any more.

    Raises ``BytesGone`` where none is kept, ``ReasonMissing``, ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    if not reason.strip():
        raise ReasonMissing()
    batch = IngestBatch.objects.select_related("source").get(pk=batch_id)
    Source.objects.select_for_update().get(pk=batch.source_id)
    paths = _forget([path for path in batch.files.values_list("kept_path", flat=True) if path])
    if not paths:
        raise BytesGone(str(batch))
    record(
        event="batch.files_dropped", actor=actor, subject=batch, data={"files": len(paths), "reason": reason.strip()}
    )
    return len(paths)


@transaction.atomic
def drop_old_files(*, days: int | None = None) -> int:
    """Delete what is kept longer than ``KEPT_FILES_DAYS``; how many files. A delivery that is held or waits so long is
    discarded with its bytes; one whose run is live is left alone.
    """
    limit = settings.KEPT_FILES_DAYS if days is None else days
    before = timezone.now() - timedelta(days=limit)
    live = Run.objects.filter(state__in=LIVE_STATES).values("pk")
    old = DeliveryFile.objects.exclude(path="").filter(delivery__received_at__lt=before)
    deliveries = list(
        Delivery.objects.filter(pk__in=old.values("delivery_id"))
        .exclude(run_id__in=live)
        .select_for_update()
        .order_by("pk")
    )
    paths = list(DeliveryFile.objects.exclude(path="").filter(delivery__in=deliveries).values_list("path", flat=True))
    paths += (
        BatchFile.objects.exclude(kept_path="")
        .filter(batch__received_at__lt=before)
        .values_list("kept_path", flat=True)
    )
    in_use = set(DeliveryFile.objects.filter(delivery__run_id__in=live).values_list("path", flat=True))
    gone = _forget([path for path in dict.fromkeys(paths) if path not in in_use])
    for delivery in deliveries:
        if delivery.state in (DeliveryState.HELD, DeliveryState.RECEIVED):
            why = f"Nobody decided within {limit} days."
            change_state(delivery, DeliveryState.DISCARDED, problem=why)
            close_item(delivery, reason=why, actor=None)
            send_next(source=delivery.source)
    if gone:
        record(event="files.expired", data={"files": len(gone), "days": limit})
    return len(gone)


def _forget(paths: list[str]) -> list[str]:
    """Take these places out of every row and delete them when that has committed; those that were there."""
    if paths:
        BatchFile.objects.filter(kept_path__in=paths).update(kept_path="")
        DeliveryFile.objects.filter(path__in=paths).update(path="", dropped_at=timezone.now())
        delete_on_commit(paths)
    return paths


def sweep_orphans(*, older_than_hours: float = 24.0) -> int:
    """Delete stored files that no row names: what a process left that was killed between storing and booking them."""
    known = set(DeliveryFile.objects.exclude(path="").values_list("path", flat=True))
    known |= set(BatchFile.objects.exclude(kept_path="").values_list("kept_path", flat=True))
    before = timezone.now() - timedelta(hours=older_than_hours)
    swept = 0
    if not default_storage.exists("deliveries"):
        return 0
    for folder in default_storage.listdir("deliveries")[0]:
        for name in default_storage.listdir(f"deliveries/{folder}")[1]:
            path = f"deliveries/{folder}/{name}"
            if path not in known and default_storage.get_modified_time(path) < before:
                default_storage.delete(path)
                swept += 1
    return swept


def sweep_incoming(*, older_than_hours: float = 24.0) -> int:
    """Delete what killed web processes left in the folder of uploads that are still arriving."""
    before = time.time() - older_than_hours * 3600
    left = [path for path in Path(settings.FILE_UPLOAD_TEMP_DIR).glob("*.upload*") if path.stat().st_mtime < before]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
