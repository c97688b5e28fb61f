"""The audit chain, to read."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest

from ledger.admin.base import ReadOnlyAdmin
from ledger.models import AuditEvent
from ledger.sites import platform_site, tenant_site
from ledger.templatetags.forecourt import event_words, moment


@admin.register(AuditEvent, site=tenant_site)
@admin.register(AuditEvent, site=platform_site)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who did what, in the order of the chain."""

    list_display = ["sequence", "when", "what", "who", "subject"]
    list_display_links = ["sequence", "what"]
    list_filter = ["event", "subject_type"]
    search_fields = ["event", "actor_name", "subject_label", "subject_id"]
    search_help_text = "Event, person or object"
    date_hierarchy = "at"
    ordering = ["-sequence"]
    page_template = "forecourt/audit_event.html"
    empty_hint = "Nothing has been recorded in this period. Every change made here, by anyone, leaves an event."

    @display(description="When", ordering="at")
    def when(self, event: AuditEvent) -> str:
        return moment(event.at)

    @display(description="Event", ordering="event")
    def what(self, event: AuditEvent) -> str:
        return event_words(event.event)

    @display(description="Who", ordering="actor_name")
    def who(self, event: AuditEvent) -> str:
        return event.actor_name

    @display(description="About")
    def subject(self, event: AuditEvent) -> str:
        return event.subject_label or "–"

    def page_context(self, request: HttpRequest, obj: AuditEvent) -> dict[str, Any]:
        return {
            "event": obj,
            "data": json.dumps(obj.data, indent=2, ensure_ascii=False, sort_keys=True),
            "related": AuditEvent.objects.filter(correlation_id=obj.correlation_id).exclude(pk=obj.pk)[:50]
            if obj.correlation_id
            else [],
        }
