"""Strategy cycles: start one, see its sweep, decide, train what was decided."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from forecasting import selectors
from forecasting.admin.strategy_view import FITTED, page_of, point_name
from forecasting.engine.families import FAMILY_NAMES
from forecasting.errors_strategy import DecidedMeanwhile
from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.models.strategy import DecisionKind
from forecasting.services.strategy import CHART_FILE, JSON_FILE, MARKDOWN_FILE, start_strategy_cycle
from forecasting.services.strategy_decisions import decide_strategy, standing_decision, train_decided
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.models import Run
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, day, moment, words
from tenants.roles import Role, roles_of

_FILES = {
    "json": (JSON_FILE, "application/json"),
    "md": (MARKDOWN_FILE, "text/markdown"),
    "svg": (CHART_FILE, "image/svg+xml"),
}
_QUEUED = "Queued. This page shows how far it is; you can close it at any time."


class StartForm(PlainForm):
    """What a cycle compares."""

    families = forms.MultipleChoiceField(
        choices=[(name, words(name)) for name in FAMILY_NAMES],
        initial=list(FAMILY_NAMES),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Families to compare",
        help_text="None chosen means all of them. Seasonal naive, the floor, is always among them.",
    )
    origins = forms.IntegerField(
        required=False,
        min_value=2,
        max_value=52,
        label="Origins",
        help_text="How many past days to forecast from. Empty: 4. More take longer and tell more.",
    )
    horizon = forms.IntegerField(
        required=False, min_value=1, max_value=366, label="Horizon", help_text="Steps ahead. Empty: the default."
    )
    as_of = forms.DateField(
        required=False,
        label="As of",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Last day of data to use. Empty: the newest. Its last 28 days stay sealed.",
    )


class SeenForm(ReasonForm):
    """A reason, and the decision that stood when the person looked."""

    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def told(self, error: DomainError) -> None:
        """Show what the domain refused; a newer decision is known from now on."""
        self.add_error(None, str(error))
        if isinstance(error, DecidedMeanwhile):
            self.data = {**dict(self.data.items()), "seen": error.standing}


class DecideForm(SeenForm):
    """Which point of the sweep, and why."""

    point = forms.ChoiceField(label="Decision")
    field_order = ["point", "reason"]

    def __init__(self, *args: Any, cycle: StrategyCycle, **kwargs: Any) -> None:
        super().__init__(*args, help_text="Kept with the decision and shown beside the sweep.", **kwargs)
        self.fields["point"].choices = _choices(cycle)  # type: ignore[attr-defined]  # a ChoiceField


@admin.register(StrategyCycle, site=tenant_site)
class StrategyCycleAdmin(ReadOnlyAdmin):
    """Every strategy cycle."""

    list_display = ["label", "proposed", "decided", "measure_label", "asked_by", "made"]
    list_filter = ["measure"]
    search_fields = ["sentence", "created_by_name", "decisions__spec_label", "decisions__reason"]
    search_help_text = "Words of the proposal, person or reason"
    date_hierarchy = "created_at"
    page_template = "forecourt/strategy.html"
    empty_hint = (
        "A strategy cycle answers whether one model is enough or a mixture pays. Load data; then an analyst presses "
        "“Run a strategy cycle”."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[StrategyCycle]:
        cycles: QuerySet[StrategyCycle] = super().get_queryset(request).prefetch_related("decisions")
        if request.resolver_match and request.resolver_match.url_name == "forecasting_strategycycle_changelist":
            return cycles.defer("report", "window", "files")
        return cycles

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Run a strategy cycle", self.url("start"))] if _may_act(request) else []

    @display(description="Cycle", ordering="as_of")
    def label(self, cycle: StrategyCycle) -> str:
        return f"{cycle.pk}: data until {day(cycle.as_of)}"

    @display(description="Proposed")
    def proposed(self, cycle: StrategyCycle) -> str:
        return words(_of_kind(cycle, DecisionKind.PROPOSED)[0].spec_label)

    @display(description="Decision")
    def decided(self, cycle: StrategyCycle) -> SafeString:
        standing = standing_decision(cycle)
        return badge("open", "Waits for a decision") if standing.kind == DecisionKind.PROPOSED else _badge(standing)

    @display(description="Goes by", ordering="measure")
    def measure_label(self, cycle: StrategyCycle) -> str:
        return cycle.get_measure_display()

    @display(description="Asked for by", ordering="created_by_name")
    def asked_by(self, cycle: StrategyCycle) -> str:
        return cycle.created_by_name

    @display(description="Made", ordering="created_at")
    def made(self, cycle: StrategyCycle) -> str:
        return moment(cycle.created_at)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("start/", "start", self.start_view),
            ("<path:object_id>/decide/", "decide", self.decide_view),
            ("<path:object_id>/train/", "train", self.train_view),
            ("<path:object_id>/download/", "download", self.download_view),
        ]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        standing = standing_decision(obj)
        points = {point["key"]: point for point in obj.report["sweep"]["points"]}
        newest = StrategyCycle.objects.defer("report").first()
        return {
            "cycle": obj,
            "report": obj.report,
            "standing": standing,
            "standing_name": point_name(points[standing.point]),
            "open": standing.kind == DecisionKind.PROPOSED,
            "decisions": [(one, point_name(points[one.point])) for one in obj.decisions.all()],
            "newer": newest if newest is not None and newest.pk != obj.pk else None,
            "files": [(kind, file) for kind, (name, _) in _FILES.items() for file in obj.files if file["name"] == name],
            "run_known": Run.objects.filter(pk=obj.run_id).exists(),
            "may_act": _may_act(request),
            **page_of(obj.report, request.GET.get("pair", ""), request.GET.get("measure", "")),
        }

    def start_view(self, request: HttpRequest) -> HttpResponseBase:
        """Start a cycle: GET shows the form, POST queues it."""
        if not _may_act(request):
            raise PermissionDenied
        form = StartForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            chosen = form.cleaned_data
            try:
                run = start_strategy_cycle(
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                    as_of=chosen["as_of"],
                    horizon=chosen["horizon"],
                    origins=chosen["origins"],
                    families=chosen["families"] or None,
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _QUEUED)
                return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        newest = selectors.newest_day()
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Run a strategy cycle",
            form=form,
            lead="Is one model enough, or does a mixture pay? Every family, every pair of them in steps of a tenth, "
            "and fitted mixtures are judged on past days: errors, stockouts, stock left over and what they cost.",
            lines=[
                f"Data goes until {day(newest)}." if newest else "There is no data yet: load some first.",
                "It proposes, and changes nothing that serves. The sealed holdout stays sealed.",
            ],
            submit="Start",
            back=self.url("changelist"),
        )

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Accept the proposal or choose another point: GET shows the form, POST records the decision."""
        cycle: StrategyCycle = self.object_or_404(request, object_id)
        if not _may_act(request):
            raise PermissionDenied
        standing = standing_decision(cycle)
        form = DecideForm(request.POST or None, cycle=cycle, initial={"point": standing.point, "seen": standing.pk})
        if request.method == "POST" and form.is_valid():
            chosen = form.cleaned_data
            try:
                decision = decide_strategy(
                    cycle_id=cycle.pk,
                    point=chosen["point"],
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                    reason=chosen["reason"],
                    seen=chosen["seen"],
                )
            except DomainError as error:
                form.told(error)
            else:
                messages.success(
                    request,
                    f"Recorded: {decision.spec_label}. Nothing that serves has changed; train it to go on.",
                )
                return self.to_object(cycle)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Decide on the strategy",
            obj=cycle,
            form=form,
            lead=cycle.sentence,
            lines=[
                "The decision is kept with the sweep. It serves only after training, gates and a reviewer’s approval."
            ],
            submit="Record the decision",
            back=self.url("change", cycle.pk),
        )

    def train_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Train exactly the spec of the standing decision: GET asks for the reason, POST queues the chain."""
        cycle: StrategyCycle = self.object_or_404(request, object_id)
        if not _may_act(request):
            raise PermissionDenied
        standing = standing_decision(cycle)
        form = SeenForm(
            request.POST or None,
            initial={"seen": standing.pk},
            help_text="Why now? Kept with the run, and with the request that may come.",
        )
        if request.method == "POST" and form.is_valid():
            try:
                run = train_decided(cycle_id=cycle.pk, actor=request.user, **form.cleaned_data)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.told(error)
            else:
                messages.success(request, _QUEUED)
                return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Train what was decided",
            obj=cycle,
            form=form,
            lead=f"Exactly what was decided: {words(standing.spec_label)}.",
            lines=[
                "Its families, weights and parameters stay as they are. The models learn from the newest data and "
                f"forecast {cycle.horizon} steps ahead.",
                "The gates judge the version on its own sealed holdout, and a reviewer decides.",
            ],
            submit="Start",
            back=self.url("change", cycle.pk),
        )

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """One of the cycle's files (``?file=json``, ``md`` or ``svg``), if it is still what was kept."""
        cycle: StrategyCycle = self.object_or_404(request, object_id)
        name, content_type = _FILES.get(request.GET.get("file", "json"), _FILES["json"])
        kept = next((file for file in cycle.files if file["name"] == name), None)
        if kept is None or not default_storage.exists(kept["path"]):
            raise Http404(f"{name} of cycle {cycle.pk} is not there.")
        with default_storage.open(kept["path"], "rb") as stored:
            content = stored.read()
        if hashlib.sha256(content).hexdigest() != kept["sha256"]:
            messages.error(
                request, f"{name} is not what was kept (its hash differs), so it is not handed out. Run a cycle again."
            )
            return self.to_object(cycle)
        return HttpResponse(
            content,
            content_type=f"{content_type}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
        )


def _may_act(request: HttpRequest) -> bool:
    return bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN})


def _of_kind(cycle: StrategyCycle, kind: str) -> list[StrategyDecision]:
    return [one for one in cycle.decisions.all() if one.kind == kind]


def _badge(decision: StrategyDecision) -> SafeString:
    tone = {"accepted": "good", "chosen": "info", "proposed": "plain"}[decision.kind]
    return badge(decision.kind, f"{decision.get_kind_display()}: {words(decision.mode)}", tone)


def _choices(cycle: StrategyCycle) -> list[Any]:
    """The proposal first, then the modes, then every pair's points."""
    report = cycle.report
    points = {point["key"]: point for point in report["sweep"]["points"]}
    proposal = report["recommendation"]["key"]
    rest = [key for key, one in points.items() if one["kind"] != "pair" and key != proposal]
    groups: list[Any] = [
        ("Proposed", [(proposal, f"Accept: {_choice(points[proposal])}")]),
        ("One model, or fitted weights", [(key, _choice(points[key])) for key in rest]),
    ]
    for pair in report["sweep"]["pairs"]:
        title = f"{words(pair['one'])} with {pair['other'].replace('_', ' ')}"
        groups.append((title, [(key, _choice(points[key])) for key in pair["points"][1:-1]]))
    return groups


def _choice(point: dict[str, Any]) -> str:
    prefix = f"{FITTED[point['key']]}: " if point["key"] in FITTED else ""
    return prefix + point_name(point)
