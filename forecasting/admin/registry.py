"""Model versions: the list, a version's page, "Retrain now", "Judge again" and "Request promotion"."""

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
from forecasting.admin.rollback import target_of
from forecasting.admin.scores import family_tables, score_of, score_tables
from forecasting.engine.families import FAMILY_NAMES
from forecasting.models import ChampionAssignment, Channel, HoldoutAccess, ModelVersion, RequestState
from forecasting.models.registry import TrainingMode
from forecasting.selectors_shadow import shadows_of_version
from forecasting.services.chain import start_chain, start_judgement
from forecasting.services.promotion import request_promotion
from forecasting.services.promotion_evidence import PROMOTABLE
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.models import Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, day, pct, words
from tenants.roles import Role, roles_of


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
            ("<path:object_id>/judge/", "judge", self.judge_view),
            ("<path:object_id>/request/", "request", self.request_view),
        ]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        reports = list(obj.gate_reports.select_related("policy", "champion")[:5])
        requests = list(obj.promotion_requests.select_related("champion")[:10])
        served = obj.accuracy.filter(forecast_set__published_at__isnull=False)  # what was in shadow stands apart
        realised = list(served.select_related("forecast_set")[:10])
        may_change = _may_train(request) and not obj.is_champion and obj.status in PROMOTABLE
        return {
            "version": obj,
            "backtest_tables": score_tables(obj.backtest),
            "families": family_tables(obj.backtest),
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
            "can_judge": may_change,
            "can_request": may_change and not any(one.state == RequestState.PENDING for one in requests),
            "is_champion": obj.is_champion,
            "shadows": shadows_of_version(obj),
            "rollback_to": target_of(request, obj),
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

    def judge_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Put a version before the gate alone: GET asks for the reason, POST queues it."""
        version = self.object_or_404(request, object_id)
        if not _may_train(request):
            raise PermissionDenied
        form = ReasonForm(
            request.POST or None,
            help_text="Why judge it (again)? Kept with the opening of the holdout, and with the request that may come.",
        )
        if request.method == "POST" and form.is_valid():
            try:
                run = start_judgement(actor=request.user, version=version, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Queued. This page shows how far it is; you can close it at any time.")
                return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        opened = HoldoutAccess.objects.filter(candidate=version).count()
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Judge {version.label} again",
            obj=version,
            form=form,
            lead=f"You put {version} before today’s gates. Where it passes, approval is asked for.",
            lines=[f"Times its sealed holdout was opened: {opened}. The reviewer sees every opening with its reason."],
            submit="Judge again",
            back=self.url("change", version.pk),
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
