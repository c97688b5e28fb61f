"""Measuring the service levels from the heartbeats and the counted requests, and telling each tenant its own state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.services.audit import record
from tenants.models import Heartbeat, RequestCount, SloSample, Tenant, TenantStatus
from tenants.slos import (
    ROLLING,
    SAMPLE_MINUTES,
    SLOS,
    TENANT_SLOS,
    Compliance,
    Kind,
    Sample,
    Slo,
    SloState,
    age_state,
    judge,
)

_KEPT = timedelta(days=90)
_NAMED = 100


def slot_of(now: datetime) -> datetime:
    """The beginning of the few minutes that ``now`` lies in."""
    return now.replace(minute=now.minute - now.minute % SAMPLE_MINUTES, second=0, microsecond=0)


def measure_slos(*, now: datetime | None = None) -> int:
    """Take this slot's sample of every SLO, once; returns how many were taken. The worker calls it all the time."""
    at = now or timezone.now()
    slot = slot_of(at)
    with schema_context(get_public_schema_name()):
        taken = set(SloSample.objects.filter(slot=slot).values_list("slo", flat=True))
        due = [slo for slo in SLOS if slo.name not in taken]
        if not due:
            return 0
        beats = _beats()
        try:
            with transaction.atomic():
                SloSample.objects.bulk_create([_sample(slo, slot, at, beats) for slo in due])
                _tell_tenants(beats, at)
        except IntegrityError:  # another worker took them
            return 0
        SloSample.objects.filter(slot__lt=at - _KEPT).delete()
        RequestCount.objects.filter(minute__lt=at - _KEPT).delete()
    return len(due)


def _beats() -> list[Heartbeat]:
    """Heartbeats of the tenants that the service levels are promised to."""
    active = Tenant.objects.filter(status=TenantStatus.ACTIVE).exclude(schema_name=get_public_schema_name())
    return list(Heartbeat.objects.filter(schema_name__in=active.values("schema_name")))


def applies_to(beat: Heartbeat, slo: Slo) -> bool:
    """Whether this tenant is counted: sales are expected once some came, the rest once a champion serves."""
    return beat.last_sync_at is not None if slo.field == "last_sync_at" else bool(beat.champion)


def age_hours(beat: Heartbeat, slo: Slo, now: datetime) -> float | None:
    """Hours since it last happened for this tenant; where a champion never had it, since it became champion."""
    when: datetime | None = getattr(beat, slo.field) or beat.champion_since
    return None if when is None else max((now - when).total_seconds(), 0.0) / 3600


def _sample(slo: Slo, slot: datetime, now: datetime, beats: list[Heartbeat]) -> SloSample:
    if slo.kind is Kind.REQUESTS:
        sums = RequestCount.objects.filter(
            minute__gte=slot - timedelta(minutes=SAMPLE_MINUTES), minute__lt=slot
        ).aggregate(requests=Sum("requests"), errors=Sum("errors"), slow=Sum("slow"))
        total = sums["requests"] or 0
        missed = (sums["errors"] if slo.name == "api_availability" else sums["slow"]) or 0
        return SloSample(slo=slo.name, slot=slot, good=total - missed, total=total)
    counted = [beat for beat in beats if applies_to(beat, slo)]
    bad = sorted(beat.schema_name for beat in counted if age_state(age_hours(beat, slo, now), slo) is not SloState.OK)
    return SloSample(
        slo=slo.name, slot=slot, good=len(counted) - len(bad), total=len(counted), bad_tenants=bad[:_NAMED]
    )


def _tell_tenants(beats: list[Heartbeat], now: datetime) -> None:
    """Write to each heartbeat how many of its own service levels are critical: the operations gate asks that."""
    changed = []
    for beat in beats:
        critical = [
            slo.name
            for slo in TENANT_SLOS
            if applies_to(beat, slo) and age_state(age_hours(beat, slo, now), slo) is SloState.CRITICAL
        ]
        if len(critical) != beat.slo_critical:
            changed.append(beat)
            facts: dict[str, Any] = {"tenant": beat.schema_name, "critical": critical, "before": beat.slo_critical}
            record(event="slo.changed", data=facts)
            beat.slo_critical = len(critical)
    Heartbeat.objects.bulk_update(changed, ["slo_critical"])


def compliance_now(*, now: datetime | None = None) -> list[tuple[Slo, Compliance]]:
    """Every SLO with what the rolling window says. One query."""
    at = now or timezone.now()
    with schema_context(get_public_schema_name()):
        rows = SloSample.objects.filter(slot__gt=at - ROLLING).order_by("slot")
        samples: dict[str, list[Sample]] = {}
        for name, slot, good, total in rows.values_list("slo", "slot", "good", "total"):
            samples.setdefault(name, []).append(Sample(slot, good, total))
    return [(slo, judge(samples.get(slo.name, []), slo.objective, at)) for slo in SLOS]
