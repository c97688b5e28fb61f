"""The decision log: who decided what, when, why, and on which evidence."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect

from forecasting.admin.review import gate_groups
from forecasting.models import Decision
from forecasting.services.decision_log import TITLES, entries, entry_of, kind_of, report_of, subject_of
from forecasting.services.decision_text import log_csv, log_markdown
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import moment


class KindFilter(admin.SimpleListFilter):
    """What kind of decision."""

    title = "decision"
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(TITLES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Decision]) -> QuerySet[Decision]:
        wanted = self.value()
        if wanted is None:
            return queryset
        if wanted in ("refresh", "rollback"):
            return queryset.filter(Q(event="champion.assigned", data__kind=wanted))
        return queryset.filter(event=wanted)


@admin.register(Decision, site=tenant_site)
class DecisionAdmin(ReadOnlyAdmin):
    """Decisions on what serves, from the audit chain."""

    list_display = ["what", "about", "who", "when", "why"]
    list_filter = [KindFilter]
    search_fields = ["actor_name", "subject_label", "data__reason", "data__requested_by"]
    search_help_text = "Person, reason or object"
    date_hierarchy = "at"
    ordering = ["-sequence"]
    page_template = "forecourt/decision.html"
    empty_hint = "Nothing was decided yet. Approvals, refreshes, rollbacks, strategies and policy changes appear here."

    @display(description="Decision")
    def what(self, row: Decision) -> str:
        return TITLES[kind_of(row)]

    @display(description="About")
    def about(self, row: Decision) -> str:
        return subject_of(row)

    @display(description="Who", ordering="actor_name")
    def who(self, row: Decision) -> str:
        return "the policy" if row.event == "promotion.lapsed" else str(row.data.get("by") or row.actor_name)

    @display(description="When", ordering="at")
    def when(self, row: Decision) -> str:
        return moment(row.at)

    @display(description="Why")
    def why(self, row: Decision) -> str:
        text = str(row.data.get("reason", ""))
        return text if len(text) <= 120 else f"{text[:119]}…"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("export/<str:form>/", "export", self.export_view)]

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        asked = f"?{request.GET.urlencode()}" if request.GET else ""
        return [
            ("Download as Markdown", self.url("export", "md") + asked),
            ("Download as CSV", self.url("export", "csv") + asked),
        ]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """The decisions that the list shows with these filters, the oldest first."""
        try:
            rows = self.get_changelist_instance(request).get_queryset(request).order_by("sequence")
        except IncorrectLookupParameters:  # as the list does with what it does not know
            return HttpResponseRedirect(self.url("changelist"))
        if form == "csv":
            text, kind = log_csv(entries(rows)), "text/csv; charset=utf-8"
        else:
            tenant = getattr(request, "tenant", None)
            text = log_markdown([(str(getattr(tenant, "name", "Tenant")), list(entries(rows)))])
            form, kind = "md", "text/markdown; charset=utf-8"
        return HttpResponse(
            text, content_type=kind, headers={"Content-Disposition": f'attachment; filename="decision_log.{form}"'}
        )

    def page_context(self, request: HttpRequest, obj: Decision) -> dict[str, Any]:
        entry, report = entry_of(obj), report_of(obj)
        against = report.champion.label if report is not None and report.champion is not None else "seasonal naive"
        return {
            "entry": entry,
            "report": report,
            "groups": gate_groups(report, entry.currency or "USD", against) if report is not None else [],
        }
