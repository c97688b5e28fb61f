"""Reads of the integrations' tables."""

from __future__ import annotations

from datetime import date

from django.db.models import Max

from integrations.models import IngestBatch, Source
from integrations.models.batch import BatchState


def loaded_batch(*, source: Source, fingerprint: str) -> IngestBatch | None:
    """The batch that these very bytes were loaded as, if they were."""
    return source.batches.filter(fingerprint=fingerprint, state=BatchState.LOADED).select_related("contract").first()


def newest_day() -> date | None:
    """The newest day of sales over all sources of the tenant."""
    newest: date | None = Source.objects.aggregate(newest=Max("data_until"))["newest"]
    return newest
