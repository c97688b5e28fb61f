"""Dispatches, for the platform's staff: one job for many tenants, what came of it in each, and who is still at it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin
from ledger.jobs import job_title
from ledger.models import LIVE_STATES
from ledger.sites import platform_site
from ledger.templatetags.forecourt import badge, moment
from tenants.models import Dispatch, DispatchEntry, EntryOutcome
from tenants.schedules import all_schedules
from tenants.services.dispatching import jobs_waiting

_TONES = {
    EntryOutcome.QUEUED: "info",
    EntryOutcome.LIVE: "plain",
    EntryOutcome.NOTHING: "plain",
    EntryOutcome.REFUSED: "warn",
    EntryOutcome.FAILED: "bad",
}
_SHOWN = 1000


@admin.register(Dispatch, site=platform_site)
class DispatchAdmin(ReadOnlyAdmin):
    """One job for many tenants."""

    list_display = ["label", "why", "asked", "tenants", "queued", "failed"]
    list_filter = ["schedule", "kind"]
    search_fields = ["kind", "schedule", "requested_by_name"]
    search_help_text = "Job, schedule or person"
    date_hierarchy = "requested_at"
    page_template = "forecourt/dispatch.html"
    empty_hint = (
        "Nothing was dispatched yet. Schedules do it by themselves while a worker runs; manage.py dispatch does it now."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dispatch]:
        rows: QuerySet[Dispatch] = super().get_queryset(request)
        failed = Q(entries__outcome__in=[EntryOutcome.FAILED, EntryOutcome.REFUSED])
        return rows.annotate(
            n_all=Count("entries"),
            n_queued=Count("entries", filter=Q(entries__outcome=EntryOutcome.QUEUED)),
            n_failed=Count("entries", filter=failed),
        )

    @display(description="Job", ordering="kind")
    def label(self, made: Dispatch) -> str:
        return job_title(made.kind)

    @display(description="Asked by", ordering="schedule")
    def why(self, made: Dispatch) -> str:
        return f"schedule {made.schedule}, {made.slot}" if made.schedule else made.requested_by_name

    @display(description="When", ordering="requested_at")
    def asked(self, made: Dispatch) -> str:
        return moment(made.requested_at)

    @display(description="Tenants")
    def tenants(self, made: Any) -> int:
        return int(made.n_all)

    @display(description="Queued")
    def queued(self, made: Any) -> int:
        return int(made.n_queued)

    @display(description="Refused or failed")
    def failed(self, made: Any) -> int:
        return int(made.n_failed)

    def page_context(self, request: HttpRequest, obj: Dispatch) -> dict[str, Any]:
        entries = list(obj.entries.all()[:_SHOWN])
        states = _run_states([(entry.schema_name, str(entry.run_id)) for entry in entries if entry.run_id])
        counts = Counter(entry.outcome for entry in entries)
        schedule = next((one for one in all_schedules() if one.name == obj.schedule), None)
        return {
            "made": obj,
            "job": job_title(obj.kind),
            "counts": [(label, counts[value]) for value, label in EntryOutcome.choices if counts[value]],
            "runs": sorted(Counter(run.state for run in states.values()).items()),
            "stragglers": _stragglers(entries, states),
            "waiting": [(queue.value, number) for queue, number in jobs_waiting().items()],
            "when": schedule.words() if schedule is not None else "",
            "rows": [
                {"entry": entry, "outcome": _badge(entry.outcome), "run": states.get(str(entry.run_id))}
                for entry in entries
            ],
        }


@dataclass(frozen=True)
class RunNow:
    """Where one tenant's run stands: since when it is in its state, and what it last said."""

    state: str
    since: datetime
    message: str


def _stragglers(entries: list[DispatchEntry], states: dict[str, RunNow]) -> list[dict[str, Any]]:
    """Who is still at it, the longest first."""
    found = [(entry, states[str(entry.run_id)]) for entry in entries if str(entry.run_id) in states]
    live = [(entry, run) for entry, run in found if run.state in LIVE_STATES]
    return [{"entry": entry, "run": run} for entry, run in sorted(live, key=lambda one: one[1].since)]


def _run_states(runs: list[tuple[str, str]]) -> dict[str, RunNow]:
    """Where each run stands, by its id: one statement over all the schemas that still have their table."""
    names = sorted({schema_name for schema_name, _ in runs})
    if not names:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'ledger_run' AND schemaname = ANY(%s)", [names]
        )
        there = [connection.ops.quote_name(row[0]) for row in cursor.fetchall()]
        if not there:
            return {}
        parts = " UNION ALL ".join(
            "SELECT id, state, COALESCE(attempt_started_at, queued_at), progress_message "  # noqa: S608  # quoted names
            f"FROM {name}.ledger_run WHERE id = ANY(%(ids)s::uuid[])"
            for name in there
        )
        cursor.execute(parts, {"ids": [run_id for _, run_id in runs]})
        return {str(run_id): RunNow(*values) for run_id, *values in cursor.fetchall()}


def _badge(outcome: str) -> SafeString:
    return badge(outcome, EntryOutcome(outcome).label, _TONES[EntryOutcome(outcome)])
