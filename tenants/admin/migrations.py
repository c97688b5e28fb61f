"""The board of the fleet's schemas, and what came of each migration of the fleet, for the platform's staff."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.forms import PlainForm
from ledger.sites import platform_site
from ledger.templatetags.forecourt import ago, badge, moment
from tenants.fleet_state import Fleet
from tenants.migration_state import target
from tenants.models import (
    Rollout,
    RolloutEntry,
    RolloutOutcome,
    RolloutState,
    SchemaStanding,
    SchemaState,
    SchemaTemplate,
    Tenant,
)
from tenants.services.fleet_migration import look_again
from tenants.services.templates import why_unfit

_STANDING = {
    SchemaStanding.AT_TARGET: "ok",
    SchemaStanding.BEHIND: "info",
    SchemaStanding.AHEAD: "warn",
    SchemaStanding.MISSING: "bad",
    SchemaStanding.HALF_MIGRATED: "bad",
    SchemaStanding.DRIFTED: "bad",
}
_OUTCOME = {RolloutOutcome.MIGRATED: "ok", RolloutOutcome.FAILED: "bad", RolloutOutcome.UNTOUCHED: "warn"}
_STATE = {
    RolloutState.RUNNING: "info",
    RolloutState.SUCCEEDED: "ok",
    RolloutState.INCOMPLETE: "warn",
    RolloutState.STOPPED: "bad",
    RolloutState.INTERRUPTED: "bad",
}
_SHOWN = 1000


def _standing(value: str) -> SafeString:
    return badge(value, SchemaStanding(value).label, _STANDING[SchemaStanding(value)])


@admin.register(SchemaState, site=platform_site)
class SchemaStateAdmin(ReadOnlyAdmin):
    """Where each tenant's schema stood when it was last looked at."""

    list_display = ["schema_name", "stands", "at", "why", "how_made", "looked"]
    list_filter = ["standing", "made"]
    search_fields = ["schema_name", "reason"]
    search_help_text = "Schema, or words of the reason"
    page_template = "forecourt/schema_state.html"
    empty_hint = "No schema was looked at yet. Look at every schema now, or run manage.py migrate_fleet."

    @display(description="Stands", ordering="standing")
    def stands(self, state: SchemaState) -> SafeString:
        return _standing(state.standing)

    @display(description="Migrations", ordering="migrations")
    def at(self, state: SchemaState) -> str:
        return f"{state.migrations} of {len(target().names)}"

    @display(description="Why")
    def why(self, state: SchemaState) -> str:
        return state.reason[:200] or "–"

    @display(description="Made", ordering="made")
    def how_made(self, state: SchemaState) -> str:
        return state.get_made_display() if state.made else "–"

    @display(description="Looked at", ordering="checked_at")
    def looked(self, state: SchemaState) -> str:
        return ago(state.checked_at)

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        last = Rollout.objects.first()
        actions = []
        if last is not None and request.user.has_perm("tenants.view_rollout"):
            words = f"{last}: {last.get_state_display().lower()}"
            actions.append((words, reverse("admin:tenants_rollout_change", args=[last.pk])))
        if request.user.has_perm("tenants.change_tenant"):
            actions.append(("Look at every schema now", self.url("look")))
        return actions

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("look/", "look", self.look_view)]

    def look_view(self, request: HttpRequest) -> HttpResponseBase:
        """GET says what it does, POST looks at every schema."""
        if not request.user.has_perm("tenants.change_tenant"):
            raise PermissionDenied
        if request.method == "POST":

            def act() -> Fleet:
                return look_again(actor=request.user)  # type: ignore[arg-type]  # logged in here

            attempt(request, act, done=lambda fleet: f"{len(fleet.views)} schemas were looked at.")
            return HttpResponseRedirect(self.url("changelist"))
        template = SchemaTemplate.objects.filter(pk=1).first()
        unfit = (template.problem if template is not None else "") or why_unfit()
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Look at every schema",
            form=PlainForm(),
            lead="Compares the migrations and tables of every tenant's schema with what this code needs; changes none.",
            lines=[f"New tenants are migrated, not cloned: {unfit}" if unfit else "New tenants are cloned."],
            submit="Look now",
            back=self.url("changelist"),
        )

    def page_context(self, request: HttpRequest, obj: SchemaState) -> dict[str, Any]:
        return {
            "state": obj,
            "standing": _standing(obj.standing),
            "target": len(target().names),
            "tenant_row": Tenant.objects.filter(schema_name=obj.schema_name).first(),
            "entries": [
                {"entry": entry, "outcome": _outcome(entry)}
                for entry in RolloutEntry.objects.filter(schema_name=obj.schema_name).order_by("-at")[:20]
            ],
        }


@admin.register(Rollout, site=platform_site)
class RolloutAdmin(ReadOnlyAdmin):
    """Migrations of the fleet."""

    list_display = ["label", "came_to", "asked", "migrated", "failed", "untouched", "left", "at_target"]
    list_filter = ["state"]
    search_fields = ["requested_by_name", "worker"]
    search_help_text = "Person or process"
    page_template = "forecourt/rollout.html"
    empty_hint = "The fleet was not migrated yet. manage.py migrate_fleet does it."

    @display(description="Rollout", ordering="pk")
    def label(self, rollout: Rollout) -> str:
        return str(rollout)

    @display(description="State", ordering="state")
    def came_to(self, rollout: Rollout) -> SafeString:
        return badge(rollout.state, rollout.get_state_display(), _STATE[RolloutState(rollout.state)])

    @display(description="When", ordering="started_at")
    def asked(self, rollout: Rollout) -> str:
        return moment(rollout.started_at)

    def page_context(self, request: HttpRequest, obj: Rollout) -> dict[str, Any]:
        order = {RolloutOutcome.FAILED: 0, RolloutOutcome.UNTOUCHED: 1, RolloutOutcome.MIGRATED: 2}
        entries = sorted(obj.entries.all()[:_SHOWN], key=lambda entry: order[RolloutOutcome(entry.outcome)])
        return {
            "rollout": obj,
            "state": self.came_to(obj),
            "rows": [
                {"entry": entry, "outcome": _outcome(entry), "stood": _standing(entry.standing)} for entry in entries
            ],
        }


def _outcome(entry: RolloutEntry) -> SafeString:
    return badge(entry.outcome, entry.get_outcome_display(), _OUTCOME[RolloutOutcome(entry.outcome)])
