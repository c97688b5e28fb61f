"""The time by which days of a request are counted: it does not run backwards when a machine's clock is set back."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from ledger.models import AuditEvent


def decision_time() -> datetime:
    """Now, but never before the newest event of the audit chain, which the database dated itself.

    So a request that had lapsed by the last thing that was recorded is not alive again on a clock set back.
    """
    return not_before(AuditEvent.objects.order_by("-sequence").values_list("at", flat=True).first())


def not_before(newest: datetime | None) -> datetime:
    """Now, but never before the newest event, which the caller has read."""
    now = timezone.now()
    return max(now, newest) if newest is not None else now
