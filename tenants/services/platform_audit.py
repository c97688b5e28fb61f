"""The platform's own audit chain, verified once a day: the tenants' schedules look at theirs, and at no other."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import RunAlreadyLive
from ledger.models import Run, RunState
from ledger.services.runs import enqueue
from ledger.services.verify import verify_chain
from tenants.errors import AuditChainBroken

VERIFY = "tenants.verify_ledger"


def verify_due(*, now: datetime | None = None) -> Run | None:
    """Queue the verification of this day (of UTC), once; None while an earlier one is at work. The worker calls it
    all the time."""
    day = (now or timezone.now()).astimezone(UTC).date()
    with schema_context(get_public_schema_name()), suppress(RunAlreadyLive):
        return enqueue(kind=VERIFY, scope="audit", idempotency_key=f"verify_ledger:{day}")
    return None


def verify() -> dict[str, Any]:
    """Recompute the current schema's chain; returns the number of events and the head. Raises ``AuditChainBroken``."""
    report = verify_chain()
    if not report.intact:
        first = report.broken[0]
        raise AuditChainBroken(
            f"The audit trail of {report.schema_name} does not add up: event {first.sequence} "
            f"({first.event or 'at the end'}): {first.problem}. Name every such row with manage.py verify_ledger "
            f"{report.schema_name}, and see who can write to the database besides the application."
        )
    return {"events": report.events, "head": report.head}


def last_verified() -> Run | None:
    """The newest verification that came to an end, of the current schema."""
    return (
        Run.objects.filter(kind=VERIFY, state__in=[RunState.SUCCEEDED, RunState.FAILED]).order_by("-queued_at").first()
    )
