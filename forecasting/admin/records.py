"""Records to read: forecast sets, accuracy, champions, judgements, openings of the holdout."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from forecasting.admin.charts import Chart
from forecasting.admin.review import judgement
from forecasting.admin.rollback import may_roll_back, rollback_view, target_of
from forecasting.admin.scores import score_tables
from forecasting.admin.served import served_page
from forecasting.admin.totals_view import total_chart
from forecasting.models import (
    AccuracyRecord,
    ChampionAssignment,
    Channel,
    ForecastSet,
    GateReport,
    HoldoutAccess,
    PromotionRequest,
)
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.models import Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, day, moment, num, pct


@admin.register(ForecastSet, site=tenant_site)
class ForecastSetAdmin(ReadOnlyAdmin):
    """Forecasts of one version from one day."""

    list_display = ["label", "served", "series", "horizon", "fit_age", "made"]
    list_filter = ["channel", "version"]
    search_fields = ["version__number", "version__spec__label"]
    search_help_text = "Version"
    date_hierarchy = "origin_date"
    page_template = "forecourt/forecast_set.html"
    empty_hint = "No forecast was made yet. Every training run ends with one; the champion’s serve."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ForecastSet]:
        sets: QuerySet[ForecastSet] = super().get_queryset(request)
        return sets.select_related("version__spec")

    @display(description="Forecast", ordering="origin_date")
    def label(self, forecast_set: ForecastSet) -> str:
        return f"{forecast_set.version.label} from {day(forecast_set.origin_date)}"

    @display(description="State", ordering="published_at")
    def served(self, forecast_set: ForecastSet) -> SafeString:
        return badge("published" if forecast_set.published_at else "shadow")

    @display(description="Series", ordering="series_count")
    def series(self, forecast_set: ForecastSet) -> str:
        return num(forecast_set.series_count)

    @display(description="Age of the fit")
    def fit_age(self, forecast_set: ForecastSet) -> str:
        return f"{forecast_set.fit_age_days} days"

    @display(description="Made", ordering="created_at")
    def made(self, forecast_set: ForecastSet) -> str:
        return moment(forecast_set.created_at)

    def page_context(self, request: HttpRequest, obj: ForecastSet) -> dict[str, Any]:
        paths = obj.paths.select_related("series").order_by("series__store_id", "series__product_id")[:50]
        return {
            "set": obj,
            "chart": total_chart(obj, obj.origin_date),
            "paths": [{"path": path, "total": sum(path.yhat), "steps": len(path.yhat)} for path in paths],
            "more": obj.series_count > 50,
            "accuracy": obj.accuracy.all(),
            "run_known": obj.run_id is not None and Run.objects.filter(pk=obj.run_id).exists(),
        }


@admin.register(AccuracyRecord, site=tenant_site)
class AccuracyRecordAdmin(ReadOnlyAdmin):
    """What was forecast against what came."""

    list_display = ["label", "until", "days", "wape_text", "naive_text", "bias_text", "coverage_text"]
    list_filter = ["version"]
    search_fields = ["version__number", "version__spec__label"]
    search_help_text = "Version"
    date_hierarchy = "actuals_until"
    page_template = "forecourt/accuracy.html"
    empty_hint = "No forecast has met its actuals yet. Load the days after the forecast’s start, then measure again."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccuracyRecord]:
        records: QuerySet[AccuracyRecord] = super().get_queryset(request)
        return records.select_related("version__spec", "forecast_set__version__spec")

    @display(description="Forecast")
    def label(self, record: AccuracyRecord) -> str:
        return f"{record.version.label} from {day(record.forecast_set.origin_date)}"

    @display(description="Actuals until", ordering="actuals_until")
    def until(self, record: AccuracyRecord) -> str:
        return day(record.actuals_until)

    @display(description="WAPE", ordering="wape")
    def wape_text(self, record: AccuracyRecord) -> str:
        return pct(record.wape)

    @display(description="Seasonal naive", ordering="wape_naive")
    def naive_text(self, record: AccuracyRecord) -> str:
        return pct(record.wape_naive)

    @display(description="Bias", ordering="bias")
    def bias_text(self, record: AccuracyRecord) -> str:
        return pct(record.bias)

    @display(description="Inside 80% band", ordering="coverage80")
    def coverage_text(self, record: AccuracyRecord) -> str:
        return pct(record.coverage80)

    def page_context(self, request: HttpRequest, obj: AccuracyRecord) -> dict[str, Any]:
        return {
            "record": obj,
            "tables": score_tables(obj.scores),
            "chart": _by_week(obj),
            "run_known": obj.run_id is not None and Run.objects.filter(pk=obj.run_id).exists(),
        }


def _by_week(record: AccuracyRecord) -> Chart | None:
    weeks = record.scores.get("by_week", {}) if isinstance(record.scores, dict) else {}
    values = [row.get("wape", {}).get("value") for row in weeks.values()]
    if not any(value is not None for value in values):
        return None
    return {
        "type": "bar",
        "labels": [f"Week {name}" for name in weeks],
        "labelTitle": "Week ahead",
        "series": [
            {
                "name": record.version.label,
                "role": "candidate",
                "values": [round(value * 100, 2) if value is not None else None for value in values],
            }
        ],
        "unit": "%",
        "yTitle": "Error (WAPE), %",
        "summary": "Error by week ahead: " + ", ".join(pct(value) for value in values),
    }


@admin.register(ChampionAssignment, site=tenant_site)
class ChampionAssignmentAdmin(ReadOnlyAdmin):
    """Who was champion, and when."""

    list_display = ["label", "channel", "kind_label", "since", "until", "by", "reason"]
    list_filter = ["channel", "kind"]
    search_fields = ["version__number", "version__spec__label", "assigned_by_name", "reason"]
    search_help_text = "Version, person or reason"
    date_hierarchy = "from_at"
    page_template = "forecourt/assignment.html"
    empty_hint = "There was no champion yet. A person approves the first one under Approvals."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChampionAssignment]:
        assignments: QuerySet[ChampionAssignment] = super().get_queryset(request)
        return assignments.select_related("version__spec", "request__candidate")

    @display(description="Champion")
    def label(self, assignment: ChampionAssignment) -> str:
        return str(assignment.version)

    @display(description="How", ordering="kind")
    def kind_label(self, assignment: ChampionAssignment) -> str:
        return assignment.get_kind_display()

    @display(description="By", ordering="assigned_by_name")
    def by(self, assignment: ChampionAssignment) -> str:
        return assignment.assigned_by_name

    @display(description="From", ordering="from_at")
    def since(self, assignment: ChampionAssignment) -> str:
        return moment(assignment.from_at)

    @display(description="To", ordering="to_at")
    def until(self, assignment: ChampionAssignment) -> str:
        return moment(assignment.to_at) if assignment.to_at else "now"

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        actions = [("What served on a day", self.url("served"))]
        return [*actions, ("Roll back", self.url("rollback"))] if may_roll_back(request) else actions

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("rollback/", "rollback", partial(rollback_view, self)), ("served/", "served", self.served_view)]

    def served_view(self, request: HttpRequest) -> HttpResponseBase:
        """What served on a day: the champion, its forecasts, and what they said of that day."""
        context = served_page(request)
        status = 400 if context["problem"] else 200
        return self.render_page(request, "forecourt/served.html", title="What served on", status=status, **context)

    def page_context(self, request: HttpRequest, obj: ChampionAssignment) -> dict[str, Any]:
        target = target_of(request, obj.version) if obj.channel == Channel.LIVE else None
        return {"assignment": obj, "guard": obj.guard, "rollback_to": target}


@admin.register(GateReport, site=tenant_site)
class GateReportAdmin(ReadOnlyAdmin):
    """Judgements, eligible or not; they never change."""

    list_display = ["label", "verdict_badge", "against", "policy", "made"]
    list_filter = ["verdict"]
    search_fields = ["candidate__number", "candidate__spec__label", "sha256"]
    search_help_text = "Candidate or hash"
    date_hierarchy = "created_at"
    page_template = "forecourt/gate_report.html"
    empty_hint = "No candidate was judged yet. A training run ends with a judgement."

    def get_queryset(self, request: HttpRequest) -> QuerySet[GateReport]:
        reports: QuerySet[GateReport] = super().get_queryset(request)
        return reports.select_related("candidate__spec", "champion__spec", "policy")

    @display(description="Candidate", ordering="candidate__number")
    def label(self, report: GateReport) -> str:
        return str(report.candidate)

    @display(description="Verdict", ordering="verdict")
    def verdict_badge(self, report: GateReport) -> SafeString:
        return badge(report.verdict)

    @display(description="Against")
    def against(self, report: GateReport) -> str:
        return str(report.champion) if report.champion is not None else "Seasonal naive"

    @display(description="Judged", ordering="created_at")
    def made(self, report: GateReport) -> str:
        return moment(report.created_at)

    def page_context(self, request: HttpRequest, obj: GateReport) -> dict[str, Any]:
        asked = PromotionRequest.objects.filter(gate_report=obj).select_related("candidate")
        return {"requests": asked, **judgement(obj, request)}


@admin.register(HoldoutAccess, site=tenant_site)
class HoldoutAccessAdmin(ReadOnlyAdmin):
    """Every opening of a sealed holdout."""

    list_display = ["label", "opened", "by", "days", "reason"]
    search_fields = ["candidate__number", "opened_by_name", "reason"]
    search_help_text = "Candidate, person or reason"
    date_hierarchy = "opened_at"
    page_template = "forecourt/holdout_access.html"
    empty_hint = "No holdout was opened yet. The gate opens it once for each candidate."

    def get_queryset(self, request: HttpRequest) -> QuerySet[HoldoutAccess]:
        accesses: QuerySet[HoldoutAccess] = super().get_queryset(request)
        return accesses.select_related("candidate__spec")

    @display(description="Candidate", ordering="candidate__number")
    def label(self, access: HoldoutAccess) -> str:
        return str(access.candidate)

    @display(description="Opened", ordering="opened_at")
    def opened(self, access: HoldoutAccess) -> str:
        return moment(access.opened_at)

    @display(description="By", ordering="opened_by_name")
    def by(self, access: HoldoutAccess) -> str:
        return access.opened_by_name

    @display(description="Holdout")
    def days(self, access: HoldoutAccess) -> str:
        return f"{day(access.holdout_start)} to {day(access.holdout_end)}"

    def page_context(self, request: HttpRequest, obj: HoldoutAccess) -> dict[str, Any]:
        others = HoldoutAccess.objects.filter(candidate=obj.candidate).exclude(pk=obj.pk)
        return {
            "access": obj,
            "others": others,
            "run_known": obj.run_id is not None and Run.objects.filter(pk=obj.run_id).exists(),
        }
