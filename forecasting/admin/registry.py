"""Model versions: the list with scores and trend, a version's page, its card, and two of them side by side."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter, display
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.views import ChangeList

from forecasting import selectors_registry
from forecasting.admin.export import csv_response
from forecasting.admin.registry_actions import VersionActions, may_train, may_verify
from forecasting.admin.registry_compare import compare_page
from forecasting.admin.review import judgement
from forecasting.admin.rollback import target_of
from forecasting.admin.scores import family_tables, score_tables, totals_made
from forecasting.admin.sparkline import sparkline
from forecasting.models import ChampionAssignment, Channel, ModelVersion, RequestState
from forecasting.models.registry import TrainingMode
from forecasting.selectors_shadow import shadows_of_version
from forecasting.services.model_card import model_card
from forecasting.services.model_card_text import card_markdown
from forecasting.services.promotion_evidence import PROMOTABLE
from ledger.admin.base import View
from ledger.models import Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import UNKNOWN, badge, day, moment, num, pct, signed_pct, words


class StageFilter(SimpleListFilter):
    """Where a version stands with service."""

    title = "service"
    parameter_name = "service"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "Champion now"), ("past", "Was champion"), ("never", "Never served")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = {
            "now": {"is_champion": True},
            "past": {"is_champion": False, "ever_served": True},
            "never": {"ever_served": False},
        }.get(str(self.value()))
        return queryset if chosen is None else queryset.filter(**chosen)


class VersionList(ChangeList):  # type: ignore[misc]  # the library has no type information
    """The list's page with the trend of each version on it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        trends = selectors_registry.trends_of([version.pk for version in self.result_list])
        for version in self.result_list:
            version.trend = trends.get(version.pk)


@admin.register(ModelVersion, site=tenant_site)
class ModelVersionAdmin(VersionActions):
    """Every trained version."""

    list_display = [
        "label", "role", "spec_label", "backtest_scores", "holdout_scores", "cost", "realised", "trend", "as_of_day",
        "asked_by",
    ]  # fmt: skip
    list_filter = [StageFilter, "status", "mode"]
    search_fields = ["number", "spec__label", "spec__sha256", "created_by_name"]
    search_help_text = "Number, spec or person"
    date_hierarchy = "created_at"
    show_full_result_count = False
    page_template = "forecourt/version.html"
    empty_hint = "No model was trained yet. Load data, then an analyst presses “Retrain now”."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        versions: QuerySet[ModelVersion] = super().get_queryset(request)
        name = request.resolver_match.url_name if request.resolver_match else ""
        if name in ("forecasting_modelversion_changelist", "forecasting_modelversion_export"):
            return selectors_registry.listed_versions(versions.exclude(mode=TrainingMode.DRILL))  # damaged on purpose
        serves = ChampionAssignment.objects.filter(version=OuterRef("pk"), to_at__isnull=True, channel=Channel.LIVE)
        return versions.select_related("spec").annotate(is_champion=Exists(serves))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return VersionList

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        chosen = f"?{request.GET.urlencode()}" if request.GET else ""
        actions = [("Export CSV", self.url("export") + chosen), ("Compare two", self.url("compare"))]
        return [*actions, ("Retrain now", self.url("retrain"))] if may_train(request) else actions

    @display(description="Version", ordering="number")
    def label(self, version: ModelVersion) -> str:
        return version.label

    @display(description="Stage", ordering="status")
    def role(self, version: Any) -> SafeString:
        if version.is_champion:
            return format_html("{} since {}", badge("champion"), day(version.champion_since))
        if version.ever_served:
            return format_html("{} was champion", badge(version.status))
        return badge(version.status)

    @display(description="Spec", ordering="spec__label")
    def spec_label(self, version: ModelVersion) -> str:
        return words(version.spec.label)

    @display(description="Backtest WAPE", ordering="backtest_wape")
    def backtest_scores(self, version: Any) -> SafeString:
        return _scores(version.backtest_wape, version.backtest_wrmsse, version.backtest_coverage)

    @display(description="Holdout WAPE", ordering="holdout_wape")
    def holdout_scores(self, version: Any) -> SafeString:
        return _scores(version.holdout_wape, version.holdout_wrmsse, version.holdout_coverage)

    @display(description="Cost against champion (holdout)", ordering="cost_change")
    def cost(self, version: Any) -> str:
        return signed_pct(version.cost_change)

    @display(description="Realised WAPE", ordering="realised_wape")
    def realised(self, version: Any) -> str:
        return pct(version.realised_wape)

    @display(description="WAPE by week")
    def trend(self, version: Any) -> SafeString | str:
        found: selectors_registry.Trend | None = getattr(version, "trend", None)
        if found is None:
            return UNKNOWN
        told = ", ".join(pct(value) for value in found.values)
        drawn = sparkline(found.values, f"{version.label}: {found.basis} WAPE by {found.what}: {told}")
        return format_html('<span class="fc-trend">{} <small>{}</small></span>', drawn, found.basis)

    @display(description="Data until", ordering="as_of")
    def as_of_day(self, version: ModelVersion) -> str:
        return day(version.as_of)

    @display(description="Made by", ordering="created_by_name")
    def asked_by(self, version: ModelVersion) -> SafeString:
        return format_html("{}<br><small>{}</small>", words(version.mode), version.created_by_name)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("retrain/", "retrain", self.retrain_view),
            ("export/", "export", self.export_view),
            ("compare/", "compare", self.compare_view),
            ("<path:object_id>/judge/", "judge", self.judge_view),
            ("<path:object_id>/request/", "request", self.request_view),
            ("<path:object_id>/verify/", "verify", self.verify_view),
            ("<path:object_id>/card/", "card", self.card_view),
        ]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        reports = list(obj.gate_reports.select_related("policy", "champion")[:5])
        requests = list(obj.promotion_requests.select_related("champion")[:10])
        served = obj.accuracy.filter(forecast_set__published_at__isnull=False)  # what was in shadow stands apart
        may_change = may_train(request) and not obj.is_champion and obj.status in PROMOTABLE
        return {
            "version": obj,
            "card": model_card(obj),
            "timeline": selectors_registry.timeline_of(obj),
            "backtest_tables": score_tables(obj.backtest),
            "holdout_tables": score_tables(obj.evaluation),
            "families": family_tables(obj.backtest),
            "totals_made": totals_made(obj.spec.body, obj.backtest),
            "artifacts": obj.artifacts.all(),
            "windows": [
                ("Judged fit (up to the sealed holdout)", obj.evaluation_window),
                ("Serving fit", obj.serving_window),
            ],
            "newest": judgement(reports[0], request) if reports else None,
            "requests": requests,
            "accuracy": list(served.select_related("forecast_set")[:10]),
            "assignments": obj.assignments.all()[:10],
            "sets": obj.forecast_sets.all()[:10],
            "run_known": Run.objects.filter(pk=obj.run_id).exists(),
            "can_judge": may_change,
            "can_request": may_change and not any(one.state == RequestState.PENDING for one in requests),
            "can_verify": may_verify(request),
            "is_champion": obj.is_champion,
            "shadows": shadows_of_version(obj),
            "rollback_to": target_of(request, obj),
        }

    def card_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The model card as a file: Markdown, or JSON with ``?format=json``."""
        version = self.object_or_404(request, object_id)
        card = model_card(version)
        if request.GET.get("format") == "json":
            text, kind, end = json.dumps(card, indent=1, sort_keys=True, default=str), "application/json", "json"
        else:
            text, kind, end = card_markdown(card), "text/markdown; charset=utf-8", "md"
        headers = {"Content-Disposition": f'attachment; filename="model_card_{version.label}.{end}"'}
        return HttpResponse(text, content_type=kind, headers=headers)

    def compare_view(self, request: HttpRequest) -> HttpResponseBase:
        """Any two versions side by side; a form chooses them."""
        context = compare_page(request)
        status = 404 if context["problem"] else 200
        return self.render_page(
            request, "forecourt/compare.html", title="Compare two versions", status=status, **context
        )

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is filtered, as CSV."""
        if not self.has_view_permission(request):
            return self.changelist_view(request)
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            messages.error(request, "The filters in that address cannot be used; nothing was exported.")
            return HttpResponseRedirect(self.url("changelist"))
        return csv_response("model_versions.csv", _EXPORT, rows)


def _scores(wape: float | None, wrmsse: float | None, coverage: float | None) -> SafeString:
    """WAPE, and below it what it does not tell."""
    if wape is None:
        return format_html("{}", UNKNOWN)
    error = num(wrmsse, 3) if wrmsse is not None else UNKNOWN
    return format_html("{}<br><small>wRMSSE {}, in band {}</small>", pct(wape), error, pct(coverage))


_EXPORT = (
    ("version", lambda v: v.number),
    ("status", lambda v: v.status),
    ("is_champion", lambda v: v.is_champion),
    ("champion_since", lambda v: moment(v.champion_since) if v.champion_since else ""),
    ("was_champion", lambda v: v.ever_served and not v.is_champion),
    ("spec", lambda v: v.spec.label),
    ("spec_sha256", lambda v: v.spec.sha256),
    ("backtest_wape", lambda v: v.backtest_wape),
    ("backtest_wrmsse", lambda v: v.backtest_wrmsse),
    ("backtest_coverage80", lambda v: v.backtest_coverage),
    ("holdout_wape", lambda v: v.holdout_wape),
    ("holdout_wrmsse", lambda v: v.holdout_wrmsse),
    ("holdout_coverage80", lambda v: v.holdout_coverage),
    ("holdout_cost_change", lambda v: v.cost_change),
    ("realised_wape", lambda v: v.realised_wape),
    ("data_until", lambda v: v.as_of),
    ("mode", lambda v: v.mode),
    ("asked_for_by", lambda v: v.created_by_name),
    ("trained_at", lambda v: v.created_at.isoformat()),
)
