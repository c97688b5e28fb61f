"""Reads of the integrations' tables."""

from __future__ import annotations

from datetime import date

from django.db.models import Max

from integrations.models import Contract, IngestBatch, Source
from integrations.models.batch import BatchState
from integrations.models.source import ContractState, SourceState


def loaded_batch(*, source: Source, fingerprint: str) -> IngestBatch | None:
    """The batch that these very bytes were loaded as, if they were."""
    return source.batches.filter(fingerprint=fingerprint, state=BatchState.LOADED).select_related("contract").first()


def newest_day() -> date | None:
    """The newest day of sales over all sources of the tenant."""
    newest: date | None = Source.objects.aggregate(newest=Max("data_until"))["newest"]
    return newest


def active_contract(*, source_name: str | None = None) -> Contract | None:
    """The active contract of the named source, or of the active source that synced last. None where there is none."""
    rows = Contract.objects.filter(state=ContractState.ACTIVE).select_related("source")
    if source_name is not None:
        return rows.filter(source__name=source_name).first()
    return rows.filter(source__state=SourceState.ACTIVE).order_by("-source__last_sync_at", "source__name").first()
