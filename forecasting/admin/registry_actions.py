"""What is started from the registry's pages: "Retrain now", "Judge again", "Request promotion", "Verify now"."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from forecasting import selectors
from forecasting.engine.families import FAMILY_NAMES
from forecasting.models import HoldoutAccess
from forecasting.models.registry import TrainingMode
from forecasting.services.chain import start_chain, start_judgement
from forecasting.services.promotion import request_promotion
from forecasting.services.verifying import FileCheck, verify_artifacts
from ledger.admin.base import ReadOnlyAdmin
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.templatetags.forecourt import day, words
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


class VersionActions(ReadOnlyAdmin):
    """The views behind the buttons of a version's page and of the list."""

    def retrain_view(self, request: HttpRequest) -> HttpResponseBase:
        """Start the chain: GET shows the form, POST queues it."""
        if not may_train(request):
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
        if not may_train(request):
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
        if not may_train(request):
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

    def verify_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Read every file of a version again (POST) and say what was found; what is wrong is named file by file."""
        version = self.object_or_404(request, object_id)
        if not may_verify(request):
            raise PermissionDenied
        if request.method == "POST":
            checks = verify_artifacts(version=version, actor=request.user)  # type: ignore[arg-type]  # logged in here
            bad = [check for check in checks if not check.good]
            (messages.error if bad or not checks else messages.success)(request, _verified(checks))
            for check in bad[:20]:
                messages.error(request, f"{check.role}/{check.name}: {check.words}")
        return HttpResponseRedirect(self.url("change", version.pk) + "#files")


def _verified(checks: list[FileCheck]) -> str:
    bad = sum(not check.good for check in checks)
    if not checks:
        return "This version has no files, so there was nothing to verify."
    if bad:
        return (
            f"Verified: {bad} of {len(checks)} files are not what was registered. Such a version is not loaded: "
            "restore its files, or retrain."
        )
    size = sum(check.bytes for check in checks)
    return f"Verified: all {len(checks)} files, {size:,} bytes, are what was registered."


def may_train(request: HttpRequest) -> bool:
    """Whether this person may start work on models."""
    return bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN})


def may_verify(request: HttpRequest) -> bool:
    """Whether this person may have a version's files read again."""
    return bool(roles_of(request.user) & {Role.ANALYST, Role.REVIEWER, Role.TENANT_ADMIN})
