"""Incidents: what is wrong now, its runbook as a checklist, its timeline, and the way to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from integrations.incident_errors import UnknownTrigger
from integrations.incidents import Trigger, get_trigger
from integrations.models import Incident, IncidentEvent
from integrations.models.incident import IncidentState, Severity
from integrations.services import incidents as services
from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge
from tenants.roles import Role, roles_of

_SEVERITY_TONES = {Severity.SEV1: "bad", Severity.SEV2: "warn", Severity.SEV3: "info"}
_STATE_TONES = {IncidentState.OPEN: "bad", IncidentState.ACKNOWLEDGED: "warn", IncidentState.RESOLVED: "good"}
_SHOWN_EVENTS = 200


@admin.register(Incident, site=tenant_site)
class IncidentAdmin(ReadOnlyAdmin):
    """What went wrong."""

    list_display = ["label", "severity_badge", "state_badge", "what", "about", "opened", "seen"]
    list_filter = ["state", "severity", "trigger"]
    search_fields = ["subject", "summary", "trigger"]
    search_help_text = "Subject or words of the summary"
    date_hierarchy = "opened_at"
    page_template = "forecourt/incident.html"
    empty_hint = "Nothing went wrong so far. Sources, deliveries, models and the audit trail are watched every hour."

    @display(description="Incident", ordering="id")
    def label(self, incident: Incident) -> str:
        return str(incident)

    @display(description="Severity", ordering="severity")
    def severity_badge(self, incident: Incident) -> SafeString:
        return severity_badge(incident)

    @display(description="State", ordering="state")
    def state_badge(self, incident: Incident) -> SafeString:
        return state_badge(incident)

    @display(description="What", ordering="trigger")
    def what(self, incident: Incident) -> str:
        return title_of(incident)

    @display(description="About", ordering="subject")
    def about(self, incident: Incident) -> str:
        return incident.subject or "the tenant"

    @display(description="Opened", ordering="opened_at")
    def opened(self, incident: Incident) -> str:
        return ago(incident.opened_at)

    @display(description="Last seen", ordering="last_seen_at")
    def seen(self, incident: Incident) -> str:
        return ago(incident.last_seen_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        rows: QuerySet[Incident] = super().get_queryset(request)
        return rows

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/act/", "act", self.act_view)]

    def page_context(self, request: HttpRequest, obj: Incident) -> dict[str, Any]:
        trigger = trigger_of(obj)
        done = {event.data.get("step"): event for event in obj.events.filter(kind=IncidentEvent.Kind.STEP)}
        steps = trigger.steps if trigger is not None else ()
        on_duty = bool(roles_of(request.user) & {Role.TENANT_ADMIN, Role.ANALYST})
        return {
            "incident": obj,
            "title_words": title_of(obj),
            "meaning": trigger.meaning if trigger is not None else "",
            "severity": severity_badge(obj),
            "state": state_badge(obj),
            "steps": [{"step": step, "done": done.get(step.key)} for step in steps],
            "steps_done": sum(step.key in done for step in steps),
            "events": list(obj.events.order_by("-pk")[:_SHOWN_EVENTS]),
            "facts": [(name, value) for name, value in obj.facts.items() if not isinstance(value, dict | list)],
            "may_act": on_duty,
            "closes_itself": trigger is not None and trigger.closes_itself,
            "typed": request.session.pop(_typed_key(obj.pk), ""),
        }

    def act_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Acknowledge, tick a step, comment, look again, or resolve: by POST only."""
        incident: Incident = self.object_or_404(request, object_id)
        if request.method != "POST":
            return self.to_object(incident)
        text = request.POST.get("text", "")
        made = attempt(request, self._act(request, incident.pk, text), done=str)
        if made is None and text:
            request.session[_typed_key(incident.pk)] = text[:4000]  # what was typed is not lost with the refusal
        return self.to_object(incident)

    @staticmethod
    def _act(request: HttpRequest, pk: int, text: str) -> Callable[[], str]:
        actor: Any = request.user
        what, _, step = request.POST.get("act", "").partition(":")

        def acknowledge() -> str:
            services.acknowledge_incident(incident_id=pk, actor=actor, text=text)
            return "You look after it now."

        def tick() -> str:
            services.do_step(incident_id=pk, key=step, actor=actor, text=text)
            return "The step is ticked."

        def comment() -> str:
            services.comment_incident(incident_id=pk, actor=actor, text=text)
            return "Your comment stands in the timeline."

        def check() -> str:
            found = services.check_incident(incident_id=pk, actor=actor)
            return f"The cause is {'gone' if found.passed else 'still there'}: {found.text}"

        def resolve() -> str:
            services.resolve_incident(incident_id=pk, actor=actor, text=text)
            return "It is resolved: the check passes."

        acts = {"acknowledge": acknowledge, "step": tick, "check": check, "resolve": resolve}
        return acts.get(what, comment)


def trigger_of(incident: Incident) -> Trigger | None:
    """Its trigger, if that is still registered."""
    try:
        return get_trigger(incident.trigger)
    except UnknownTrigger:
        return None


def title_of(incident: Incident) -> str:
    """What people call this kind of incident."""
    trigger = trigger_of(incident)
    return trigger.title if trigger is not None else incident.trigger.replace("_", " ")


def severity_badge(incident: Incident) -> SafeString:
    """How bad it is."""
    return badge(incident.severity, incident.severity.upper(), _SEVERITY_TONES[Severity(incident.severity)])


def state_badge(incident: Incident) -> SafeString:
    """Where it stands."""
    return badge(incident.state, incident.get_state_display(), _STATE_TONES[IncidentState(incident.state)])


def _typed_key(pk: int) -> str:
    return f"incident-text-{pk}"
