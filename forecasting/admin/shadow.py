"""Challengers in shadow: how each stands beside the champion, and the day's forecasts started by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from forecasting import selectors
from forecasting.models import ShadowStanding
from forecasting.selectors_shadow import shadow_view
from forecasting.services.shadow import start_shadow
from forecasting.services.shadow_facts import shadow_versions
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import UNKNOWN, badge, day, words
from tenants.roles import Role, roles_of


class ButtonForm(PlainForm):
    """Nothing to fill in, only the button."""


@admin.register(ShadowStanding, site=tenant_site)
class ShadowStandingAdmin(ReadOnlyAdmin):
    """How every version that forecast in the champion's shadow did there."""

    list_display = ["label", "status", "against", "weeks_text", "sentence_text", "until"]
    list_filter = ["challenger__status", "champion_spec"]
    search_fields = ["challenger__number", "challenger__spec__label", "champion_spec__label"]
    search_help_text = "Version or spec"
    page_template = "forecourt/shadow_standing.html"
    empty_hint = (
        "Nothing has stood in the champion’s shadow yet. Once there is a champion, every challenger and the newest "
        "candidates forecast beside it each day; they are compared as the days come."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ShadowStanding]:
        standings: QuerySet[ShadowStanding] = super().get_queryset(request)
        return standings.select_related("challenger__spec", "champion_spec")

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Forecast now", self.url("start"))] if _may_start(request) else []

    @display(description="Version", ordering="challenger__number")
    def label(self, standing: ShadowStanding) -> str:
        return f"{standing.challenger.label} {words(standing.challenger.spec.label)}"

    @display(description="Status", ordering="challenger__status")
    def status(self, standing: ShadowStanding) -> SafeString:
        return badge(standing.challenger.status)

    @display(description="In the shadow of", ordering="champion_spec__label")
    def against(self, standing: ShadowStanding) -> str:
        return words(standing.champion_spec.label)

    @display(description="Weeks won", ordering="won")
    def weeks_text(self, standing: ShadowStanding) -> str:
        return f"{standing.won} of {standing.weeks}" if standing.weeks else UNKNOWN

    @display(description="How it stands")
    def sentence_text(self, standing: ShadowStanding) -> str:
        return standing.sentence or UNKNOWN

    @display(description="Judged until", ordering="last_day")
    def until(self, standing: ShadowStanding) -> str:
        return day(standing.last_day)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("start/", "start", self.start_view)]

    def page_context(self, request: HttpRequest, obj: ShadowStanding) -> dict[str, Any]:
        return {"shadow": shadow_view(obj)}

    def start_view(self, request: HttpRequest) -> HttpResponseBase:
        """Forecast with champion and challengers now: GET says what will happen, POST queues it."""
        if not _may_start(request):
            raise PermissionDenied
        form = ButtonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                run = start_shadow(actor=request.user)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Queued. This page shows how far it is; you can close it at any time.")
                return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Forecast now",
            form=form,
            lead="Measure what has come, then forecast from the newest day: the champion, whose forecasts serve, and "
            "beside it, served to nobody, its challengers.",
            lines=_lines(),
            submit="Forecast now",
            back=self.url("changelist"),
        )


def _lines() -> list[str]:
    champion = selectors.current_champion()
    if champion is None:
        return ["There is no champion yet, so nothing has a shadow."]
    versions = ", ".join(one.label for one in shadow_versions(champion.version)) or "none"
    return [
        f"Data goes until {day(selectors.newest_day())}. Champion: {champion.version}. In its shadow: {versions}.",
        "It happens by itself every day; what is there already is not made again.",
    ]


def _may_start(request: HttpRequest) -> bool:
    return bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN})
