"""Service levels, for the platform's staff: what is promised, how it is kept, and whose budget is used up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from ledger.admin.base import ReadOnlyAdmin
from ledger.sites import platform_site
from ledger.templatetags.forecourt import badge, moment
from tenants.models import SloSample
from tenants.services.slo_measuring import compliance_now
from tenants.slos import ROLLING, SLOS, Compliance, Slo, SloState

_TONES = {SloState.OK: "good", SloState.WARNING: "warn", SloState.CRITICAL: "bad", SloState.UNKNOWN: "plain"}
_WORDS = {
    SloState.OK: "Kept",
    SloState.WARNING: "Missed for a day",
    SloState.CRITICAL: "Missed for two days",
    SloState.UNKNOWN: "Nothing counted yet",
}


@admin.register(SloSample, site=platform_site)
class SloAdmin(ReadOnlyAdmin):
    """One page for all service levels."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """The page; a list of five-minute samples would help nobody."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        return self.render_page(
            request,
            "forecourt/slos.html",
            title="Service levels",
            rows=[_row(slo, found) for slo, found in compliance_now(now=now)],
            chart=_chart(now),
            days=ROLLING.days,
            measured=moment(SloSample.objects.values_list("slot", flat=True).first()),
            missed=_missed(),
        )


def _row(slo: Slo, found: Compliance) -> dict[str, Any]:
    return {
        "slo": slo,
        "objective": f"{100 * slo.objective:g}%",
        "share": "–" if found.share is None else f"{100 * found.share:.2f}%",
        "budget": "–" if found.budget_left is None else f"{100 * found.budget_left:.0f}%",
        "overdrawn": found.budget_left is not None and found.budget_left < 0,
        "burn": "–" if found.burn is None else f"{found.burn:.1f}×",
        "state": badge(found.state, _WORDS[found.state], _TONES[found.state]),
    }


def _missed() -> list[dict[str, Any]]:
    """Who missed what in the newest sample."""
    newest = SloSample.objects.values_list("slot", flat=True).first()
    titles = {slo.name: slo.title for slo in SLOS}
    found = SloSample.objects.filter(slot=newest).exclude(bad_tenants=[]) if newest is not None else ()
    return [{"title": titles.get(one.slo, one.slo), "tenants": ", ".join(one.bad_tenants)} for one in found]


def _chart(now: datetime) -> dict[str, Any] | None:
    """Share kept by hour over the rolling window, one line an SLO."""
    samples = (
        SloSample.objects.filter(slot__gt=now - ROLLING).order_by("slot").values_list("slo", "slot", "good", "total")
    )
    hours: dict[datetime, dict[str, tuple[int, int]]] = {}
    for name, slot, good, total in samples:
        of_hour = hours.setdefault(slot.replace(minute=0), {})
        before = of_hour.get(name, (0, 0))
        of_hour[name] = (before[0] + good, before[1] + total)
    if not hours:
        return None
    first, last = min(hours), max(hours)
    steps = [first + timedelta(hours=n) for n in range(int((last - first).total_seconds() // 3600) + 1)]
    roles = ("champion", "candidate", "actual", "forecast", "naive")

    def share(name: str, hour: datetime) -> float | None:
        good, total = hours.get(hour, {}).get(name, (0, 0))
        return round(100 * good / total, 2) if total else None

    return {
        "type": "line",
        "labels": [f"{hour:%d %b %H:00}" for hour in steps],
        "labelTitle": "Hour (UTC)",
        "series": [
            {"name": slo.title, "role": roles[n % len(roles)], "values": [share(slo.name, hour) for hour in steps]}
            for n, slo in enumerate(SLOS)
        ],
        "unit": "%",
        "yTitle": "Kept, %",
        "summary": f"Share of each service level that was kept, by hour, over the last {ROLLING.days} days.",
        "note": "",
    }
