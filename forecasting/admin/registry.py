"""Model versions: the list, a version's page, "Retrain now" and "Request promotion"."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from forecasting import selectors
from forecasting.admin.review import judgement
from forecasting.engine.families import FAMILY_NAMES
from forecasting.models import ChampionAssignment, Channel, ModelVersion, RequestState, VersionStatus
from forecasting.models.registry import TrainingMode
from forecasting.services.chain import start_chain
from forecasting.services.promotion import request_promotion
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.models import Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import UNKNOWN, badge, day, pct, words
from tenants.roles import Role, roles_of

SCORES = ("wape", "bias", "wrmsse", "coverage80", "winkler80", "fva")
_SCORE_NAMES = {
    "wape": "Error (WAPE)", "bias": "Bias", "wrmsse": "wRMSSE", "coverage80": "Inside the 80% band",
    "winkler80": "Winkler 80", "fva": "Value over naive",
}  # fmt: skip
_SHARES = ("wape", "bias", "coverage80", "fva")


class RetrainForm(PlainForm):
    """What to train."""

    mode = forms.ChoiceField(
        choices=[
            (TrainingMode.SEARCH, "Search: compare the families and propose the best; a reviewer decides"),
            (TrainingMode.REFRESH, "Refresh: fit the champion’s own spec on newer data; the guard decides"),
        ],
        initial=TrainingMode.SEARCH,
        widget=forms.RadioSelect,
        label="What to do",
    )
    families = forms.MultipleChoiceField(
        choices=[(name, words(name)) for name in FAMILY_NAMES],
        initial=list(FAMILY_NAMES),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Families to compare (search only)",
        help_text="None chosen means all of them.",
    )
    as_of = forms.DateField(
        required=False,
        label="As of",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Last day of data to learn from. Empty: the newest.",
    )
    horizon = forms.IntegerField(
        required=False, min_value=1, max_value=366, label="Horizon", help_text="Steps ahead. Empty: the default."
    )
    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Why now? It is kept with the run, and with the request that may come of it.",
        error_messages={"required": "Say why you retrain now."},
    )


@admin.register(ModelVersion, site=tenant_site)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Every trained version."""

    list_display = ["label", "role", "spec_label", "wape", "coverage", "as_of_day", "mode_label", "asked_by"]
    list_filter = ["status", "mode"]
    search_fields = ["number", "spec__label", "spec__sha256", "created_by_name"]
    search_help_text = "Number, spec or person"
    date_hierarchy = "created_at"
    page_template = "forecourt/version.html"
    empty_hint = "No model was trained yet. Load data, then an analyst presses “Retrain now”."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        serves = ChampionAssignment.objects.filter(version=OuterRef("pk"), to_at__isnull=True, channel=Channel.LIVE)
        versions: QuerySet[ModelVersion] = super().get_queryset(request)
        return versions.select_related("spec").annotate(is_champion=Exists(serves))

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Retrain now", self.url("retrain"))] if _may_train(request) else []

    @display(description="Version", ordering="number")
    def label(self, version: ModelVersion) -> str:
        return version.label

    @display(description="Status", ordering="status")
    def role(self, version: Any) -> SafeString:
        if version.is_champion:
            return format_html("{} {}", badge("champion"), badge(version.status))
        return badge(version.status)

    @display(description="Spec", ordering="spec__label")
    def spec_label(self, version: ModelVersion) -> str:
        return words(version.spec.label)

    @display(description="Backtest WAPE")
    def wape(self, version: ModelVersion) -> str:
        return pct(score_of(version.backtest, "wape"))

    @display(description="Inside 80% band")
    def coverage(self, version: ModelVersion) -> str:
        return pct(score_of(version.backtest, "coverage80"))

    @display(description="Data until", ordering="as_of")
    def as_of_day(self, version: ModelVersion) -> str:
        return day(version.as_of)

    @display(description="How", ordering="mode")
    def mode_label(self, version: ModelVersion) -> str:
        return words(version.mode)

    @display(description="Asked for by", ordering="created_by_name")
    def asked_by(self, version: ModelVersion) -> str:
        return version.created_by_name

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("retrain/", "retrain", self.retrain_view),
            ("<path:object_id>/request/", "request", self.request_view),
        ]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        reports = list(obj.gate_reports.select_related("policy", "champion")[:5])
        requests = list(obj.promotion_requests.select_related("champion")[:10])
        realised = list(obj.accuracy.select_related("forecast_set")[:10])
        return {
            "version": obj,
            "backtest_tables": score_tables(obj.backtest),
            "families": _families(obj.backtest),
            "artifacts": obj.artifacts.all(),
            "windows": [
                ("Judged fit (up to the sealed holdout)", obj.evaluation_window),
                ("Serving fit", obj.serving_window),
            ],
            "reports": reports,
            "newest": judgement(reports[0], request) if reports else None,
            "requests": requests,
            "accuracy": realised,
            "assignments": obj.assignments.all()[:10],
            "sets": obj.forecast_sets.all()[:10],
            "run_known": Run.objects.filter(pk=obj.run_id).exists(),
            "can_request": _may_train(request)
            and not obj.is_champion
            and obj.status in (VersionStatus.CANDIDATE, VersionStatus.CHALLENGER)
            and not any(one.state == RequestState.PENDING for one in requests),
            "is_champion": obj.is_champion,
        }

    def retrain_view(self, request: HttpRequest) -> HttpResponseBase:
        """Start the chain: GET shows the form, POST queues it."""
        if not _may_train(request):
            raise PermissionDenied
        form = RetrainForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            chosen = form.cleaned_data
            searching = chosen["mode"] == TrainingMode.SEARCH
            families = chosen["families"] if searching and 0 < len(chosen["families"]) < len(FAMILY_NAMES) else None
            try:
                run = start_chain(
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                    mode=chosen["mode"],
                    as_of=chosen["as_of"],
                    horizon=chosen["horizon"],
                    families=families,
                    reason=chosen["reason"],
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Queued. This page shows how far it is; you can close it at any time.")
                return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        newest = selectors.newest_day()
        champion = selectors.current_champion()
        lines = [f"Data goes until {day(newest)}."] if newest else ["There is no data yet: load some first."]
        lines.append(
            f"Champion: {champion.version}." if champion else "There is no champion yet, so a refresh is not possible."
        )
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Retrain now",
            form=form,
            lead="Train, forecast, measure, judge, and ask for approval where the gates allow it, one after the other.",
            lines=lines,
            submit="Start",
            back=self.url("changelist"),
        )

    def request_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for promotion: GET asks for the reason, POST does it."""
        version = self.object_or_404(request, object_id)
        if not _may_train(request):
            raise PermissionDenied
        form = ReasonForm(request.POST or None, help_text="The reviewer reads it first.")
        if request.method == "POST" and form.is_valid():
            try:
                made = request_promotion(candidate=version, actor=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Asked. A reviewer other than you decides; you see here what comes of it.")
                return HttpResponseRedirect(reverse("admin:forecasting_promotionrequest_change", args=[made.pk]))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Request promotion of {version.label}",
            obj=version,
            form=form,
            lead=f"You ask that {version} become champion.",
            lines=[
                "It must have passed every gate against today’s champion, under today’s policy. Somebody else decides."
            ],
            submit="Request promotion",
            back=self.url("change", version.pk),
        )


def _may_train(request: HttpRequest) -> bool:
    return bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN})


def _scores(report: Any) -> dict[str, Any]:
    """The score set of a stored backtest, whether it stands alone or beside more."""
    if not isinstance(report, dict):
        return {}
    inner = report.get("scores")
    return inner if isinstance(inner, dict) and "overall" in inner else report


def score_of(report: Any, name: str) -> float | None:
    """An overall score of a stored backtest; None where it is not known."""
    score = _scores(report).get("overall", {}).get(name)
    value = score.get("value") if isinstance(score, dict) else None
    return float(value) if isinstance(value, int | float) else None


def score_tables(report: Any) -> list[dict[str, Any]]:
    """Scores overall, by week ahead and by demand class, and by store where there are few."""
    scores = _scores(report)
    groups: list[tuple[str, dict[str, Any]]] = [("Overall", {"All": scores.get("overall", {})})]
    for key, title in (("by_week", "By week ahead"), ("by_class", "By demand class"), ("by_store", "By store")):
        groups.append((title, dict(list(scores.get(key, {}).items())[:25])))
    tables = []
    for title, rows in groups:
        cells = [
            {"name": _row_name(title, name), "cells": [_cell(row, score) for score in SCORES]}
            for name, row in rows.items()
        ]
        if any(row["cells"] for row in cells) and scores:
            tables.append({"title": title, "heads": [_SCORE_NAMES[name] for name in SCORES], "rows": cells})
    return tables


def _row_name(title: str, name: str) -> str:
    if title == "By week ahead":
        return f"Week {name}"
    return name if title == "By store" else words(name)


def _cell(scores: Any, name: str) -> dict[str, Any]:
    score = scores.get(name, {}) if isinstance(scores, dict) else {}
    value = score.get("value")
    if not isinstance(value, int | float):
        return {"text": UNKNOWN, "title": score.get("reason") or "not computed"}
    text = pct(value) if name in _SHARES else f"{value:,.3f}"
    return {"text": text, "title": f"n = {score.get('n', '?')}"}


def _families(report: Any) -> list[dict[str, Any]]:
    """The families' scores with the rows behind each: one that declined series was scored on the others only."""
    by_family = report.get("by_family", {}) if isinstance(report, dict) else {}
    if not by_family:
        return []
    counts = {name: int(scores.get("wape", {}).get("n") or 0) for name, scores in by_family.items()}
    rows = [
        {
            "name": words(name),
            "cells": [{"text": f"{counts[name]:,}", "title": "forecasts scored"}]
            + [_cell(scores, score) for score in SCORES],
        }
        for name, scores in by_family.items()
    ]
    heads = ["Forecasts", *(_SCORE_NAMES[name] for name in SCORES)]
    return [{"heads": heads, "rows": rows, "uneven": len(set(counts.values())) > 1}]
