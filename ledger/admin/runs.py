"""Background jobs: how far they are, what came of them, cancel and resume."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.trees import tree_view
from ledger.jobs import all_kinds, job_title, waits_for
from ledger.models import Run, RunState
from ledger.selectors import tree_of
from ledger.services import runs
from ledger.sites import platform_site, tenant_site
from ledger.templatetags.forecourt import UNKNOWN, badge, moment, num, span

OPERATE = "ledger.change_run"
PATIENCE_SECONDS = 10
"""How long a run may wait before the page says why."""
_LIST_FIELDS = (
    "id", "kind", "scope", "state", "progress_done", "progress_total", "progress_message", "requested_by_name",
    "queued_at", "started_at", "finished_at",
)  # fmt: skip


class KindFilter(admin.SimpleListFilter):
    """Kinds by the name that people know."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.kind, kind.title) for kind in all_kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Run, site=tenant_site)
@admin.register(Run, site=platform_site)
class RunAdmin(ReadOnlyAdmin):
    """Every background job of this schema."""

    list_display = ["title", "state_badge", "progress", "asked_by", "queued", "duration"]
    list_filter = [KindFilter, "state"]
    search_fields = ["kind", "scope", "requested_by_name", "progress_message", "error"]
    search_help_text = "Kind, scope, person or message"
    date_hierarchy = "queued_at"
    page_template = "forecourt/run.html"
    empty_hint = "No background job has run yet. Loading data or pressing “Retrain now” starts one."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        queryset: QuerySet[Run] = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "ledger_run_changelist":
            return queryset.only(*_LIST_FIELDS)
        return queryset.select_related("parent")

    @display(description="Run", ordering="kind")
    def title(self, run: Run) -> str:
        return f"{job_title(run.kind)} · {run.scope}" if run.scope else job_title(run.kind)

    @display(description="State", ordering="state")
    def state_badge(self, run: Run) -> SafeString:
        return badge(run.state)

    @display(description="Progress")
    def progress(self, run: Run) -> SafeString:
        percent = run.progress_percent
        if percent is None or run.state == RunState.SUCCEEDED:
            return format_html("{}", run.progress_message or UNKNOWN)
        return format_html(
            '<span class="fc-progress fc-mini" role="img" aria-label="{0}% done">'
            '<span style="width:{0}%"></span></span> {0}%',
            percent,
        )

    @display(description="Asked for by", ordering="requested_by_name")
    def asked_by(self, run: Run) -> str:
        return run.requested_by_name

    @display(description="Queued", ordering="queued_at")
    def queued(self, run: Run) -> str:
        return moment(run.queued_at)

    @display(description="Took")
    def duration(self, run: Run) -> str:
        return span(run.duration_seconds)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/progress/", "progress", self.progress_view),
            ("<path:object_id>/cancel/", "cancel", self.cancel_view),
            ("<path:object_id>/cancel-all/", "cancel_all", self.cancel_all_view),
            ("<path:object_id>/resume/", "resume", self.resume_view),
        ]

    def page_context(self, request: HttpRequest, obj: Run) -> dict[str, Any]:
        may_operate = request.user.has_perm(OPERATE)
        tree = tree_of(obj)
        return {
            "run": obj,
            "run_title": job_title(obj.kind),
            "progress": progress_of(obj),
            "tree": tree_view(tree, may_operate=may_operate),
            "waited": span(obj.waited_seconds),
            "inputs": _pretty(obj.shown_inputs),
            "outputs": _pretty(obj.outputs),
            "may_operate": may_operate,
            "can_cancel": may_operate and obj.is_live and obj.cancel_requested_at is None,
            "can_resume": may_operate and obj.state == RunState.FAILED,
        }

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The run's progress as JSON, for the page that watches it."""
        return JsonResponse(progress_of(self.object_or_404(request, object_id)), headers={"Cache-Control": "no-store"})

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for the run's end (POST)."""
        run = self._operable(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: runs.cancel(run_id=run.pk, actor=request.user),  # type: ignore[arg-type]  # logged in here
                done=lambda ended: (
                    "Cancelled."
                    if ended.state == RunState.CANCELLED
                    else "Cancelling: the run ends at its next step. What it had finished is kept."
                ),
            )
        return self.to_object(run)

    def cancel_all_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for the end of all runs that belong together with this one (POST)."""
        run = self._operable(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: runs.cancel_tree(run_id=run.pk, actor=request.user),  # type: ignore[arg-type]  # logged in here
                done="Cancelling all of it: the running step ends at its next sign of progress and none follows. What "
                "was done is kept.",
            )
        return self.to_object(run)

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Queue a failed run again (POST)."""
        run = self._operable(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: runs.resume(run_id=run.pk, actor=request.user),  # type: ignore[arg-type]  # logged in here
                done="Queued again, with one more attempt. What was done before it is kept; what follows it goes on.",
            )
        return self.to_object(run)

    def _operable(self, request: HttpRequest, object_id: str) -> Run:
        run: Run = self.object_or_404(request, object_id)
        if not request.user.has_perm(OPERATE):
            raise PermissionDenied
        return run


def progress_of(run: Run) -> dict[str, Any]:
    """Progress of a run in words: what is done, how fast, how long it may still take."""
    elapsed = run.duration_seconds
    rate = run.progress_done / elapsed if elapsed and run.progress_done and run.state == RunState.RUNNING else None
    left = (run.progress_total - run.progress_done) / rate if rate and run.progress_total else None
    total = f" of {num(run.progress_total)}" if run.progress_total else ""
    silent = (timezone.now() - run.heartbeat_at).total_seconds() if run.heartbeat_at and run.is_live else None
    message = run.progress_message or (_waiting(run) if run.state == RunState.QUEUED else "")
    if run.cancel_requested_at and run.state == RunState.RUNNING:
        message = "Cancelling: it ends at its next step"
    return {
        "state": run.state,
        "state_label": run.get_state_display(),
        "live": run.is_live,
        "percent": run.progress_percent,
        "done": run.progress_done,
        "total": run.progress_total,
        "message": message,
        "done_text": f"{num(run.progress_done)}{total}" if run.progress_done or run.progress_total else UNKNOWN,
        "rate_text": _rate(rate),
        "left_text": f"about {span(left)}" if left is not None else UNKNOWN,
        "elapsed_text": span(elapsed),
        "silent_seconds": silent,
    }


def _waiting(run: Run) -> str:
    """Why a queued run has not begun, as far as this schema knows."""
    told = waits_for(run)
    if told:
        return told
    seconds = (timezone.now() - run.queued_at).total_seconds()
    if seconds < PATIENCE_SECONDS:
        return "Waiting for a worker"
    alive = timezone.now() - timedelta(seconds=settings.RUN_LOST_AFTER_SECONDS)
    busy = Run.objects.filter(state=RunState.RUNNING, heartbeat_at__gt=alive).defer("inputs", "outputs").first()
    if busy is not None:
        return f"Waiting for {span(seconds)}: the worker is busy with “{job_title(busy.kind)}”"
    return (
        f"No worker has picked this up for {span(seconds)}. It may be busy for another tenant; if this goes on, none "
        "is running: tell your platform operator. The work waits and is not lost"
    )


def _rate(rate: float | None) -> str:
    if rate is None:
        return UNKNOWN
    return f"{num(rate, 0 if rate >= 10 else 1)} a second" if rate >= 1 else f"{num(rate * 60, 1)} a minute"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) if value else ""
