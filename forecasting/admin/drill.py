"""Rollback drills: start one, see how it goes, and what it proved."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from forecasting.models import RollbackDrill
from forecasting.services import drill, drill_report
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.models import LIVE_STATES, Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, moment, span
from tenants.roles import Role, roles_of
from tenants.selectors import current_tenant

_TONES = {"passed": "good", "failed": "bad", "stopped": "plain"}


@admin.register(RollbackDrill, site=tenant_site)
class RollbackDrillAdmin(ReadOnlyAdmin):
    """Every drill that ended, newest first."""

    list_display = ["label", "result", "noticed", "restored", "same_bits", "by", "ended_at"]
    list_filter = ["outcome"]
    search_fields = ["sentence", "asked_by_name", "reason"]
    search_help_text = "Words of the outcome, person or reason"
    date_hierarchy = "finished_at"
    page_template = "forecourt/drill.html"
    empty_hint = (
        "No drill was run yet. It promotes a model damaged on purpose on a channel of its own, and proves that a "
        "rollback puts back what served; what serves is left alone. One is run every month."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[RollbackDrill]:
        drills: QuerySet[RollbackDrill] = super().get_queryset(request)
        return drills.select_related("reference__spec", "damaged__spec")

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        live = _live()
        if live is not None:
            return [("See the drill at work", reverse("admin:ledger_run_change", args=[live.pk]))]
        return [("Run a drill", self.url("start"))] if _may_act(request) else []

    @display(description="Drill")
    def label(self, made: RollbackDrill) -> str:
        return f"Drill {made.pk}" + (f": {made.reference.label} put back" if made.reference is not None else "")

    @display(description="Outcome", ordering="outcome")
    def result(self, made: RollbackDrill) -> SafeString:
        return badge(made.outcome, made.get_outcome_display(), _TONES[made.outcome])

    @display(description="Noticed after", ordering="days_to_detect")
    def noticed(self, made: RollbackDrill) -> str:
        return f"{made.days_to_detect} step(s) of actuals" if made.days_to_detect else "–"

    @display(description="Restored in", ordering="seconds_to_restore")
    def restored(self, made: RollbackDrill) -> str:
        return f"{made.seconds_to_restore:.2f} s" if made.seconds_to_restore is not None else "–"

    @display(description="Same bits", boolean=True)
    def same_bits(self, made: RollbackDrill) -> bool | None:
        return made.bit_identical

    @display(description="Asked for by", ordering="asked_by_name")
    def by(self, made: RollbackDrill) -> str:
        return made.asked_by_name

    @display(description="Ended", ordering="finished_at")
    def ended_at(self, made: RollbackDrill) -> str:
        return moment(made.finished_at)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("start/", "start", self.start_view),
            ("<path:object_id>/report/", "report", self.report_view),
        ]

    def page_context(self, request: HttpRequest, obj: RollbackDrill) -> dict[str, Any]:
        report = obj.report
        before, after = report.get("before", {}), report.get("after", {})
        known = {str(pk) for pk in Run.objects.filter(pk__in=[one["run"] for one in report.get("steps", [])])
                 .values_list("pk", flat=True)}  # fmt: skip
        return {
            "drill": obj,
            "report": report,
            "tone": _TONES[obj.outcome],
            "checks": [{**one, "title": drill_report.CHECKS.get(one["name"], one["name"])}
                       for one in report.get("checks", [])],
            "steps": [{**one, "known": one["run"] in known} for one in report.get("steps", [])],
            "hashes": [(title, report.get(name)) for name, title in _HASHES if report.get(name)],
            "live": [(name, value, after.get(name)) for name, value in before.items()],
            "took": span((obj.finished_at - obj.started_at).total_seconds()),
        }  # fmt: skip

    def start_view(self, request: HttpRequest) -> HttpResponseBase:
        """Start a drill: GET asks for the reason, POST queues it."""
        if not _may_act(request):
            raise PermissionDenied
        form = ReasonForm(request.POST or None, help_text="Why now? Kept with the drill.")
        if request.method == "POST" and form.is_valid():
            try:
                run = drill.start_drill(actor=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Queued. This page shows how far it is; you can close it at any time.")
                return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Run a rollback drill",
            form=form,
            lead="Would a rollback help if it were needed tonight? A model is damaged on purpose and promoted on a "
            "channel of its own; actuals come day by day until it is noticed; then what serves now is put back there.",
            lines=[
                "It passes if the damage is noticed, and if the model that was put back, read anew from its files, "
                "forecasts the same bits. What serves is left alone, and that is proved, too."
            ],
            submit="Run the drill",
            back=self.url("changelist"),
        )

    def report_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The report as a Markdown file."""
        made: RollbackDrill = self.object_or_404(request, object_id)
        return HttpResponse(
            drill_report.markdown(made, current_tenant().name),
            content_type="text/markdown; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{drill_report.file_name(made)}"',
                "X-Content-Type-Options": "nosniff",
            },
        )


_HASHES = (
    ("published_sha256", "Published on the drill channel"),
    ("live_published_sha256", "Published live from the same origin"),
    ("restored_sha256", "Serving after the rollback"),
    ("reloaded_sha256", "Forecast after the files were read anew"),
    ("damaged_sha256", "The damaged version"),
)


def _live() -> Run | None:
    return Run.objects.filter(kind__in=drill.STEPS, state__in=LIVE_STATES).first()


def _may_act(request: HttpRequest) -> bool:
    return bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN})
