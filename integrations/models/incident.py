"""Something that went wrong and has to be looked after until its own check passes again."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class Severity(models.TextChoices):
    SEV1 = "sev1", "Severity 1: forecasts are wrong or missing"
    SEV2 = "sev2", "Severity 2: they soon will be"
    SEV3 = "sev3", "Severity 3: somebody should look"


class IncidentState(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"


INCIDENT_TRANSITIONS: dict[str, frozenset[str]] = {
    IncidentState.OPEN: frozenset({IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED}),
    IncidentState.ACKNOWLEDGED: frozenset({IncidentState.RESOLVED}),
    IncidentState.RESOLVED: frozenset(),
}
LIVE_INCIDENTS = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)


class Incident(models.Model):
    """One cause on one subject. While it lives, the same cause again is a line in its timeline."""

    trigger = models.CharField(max_length=60, help_text="Registered kind, such as stale_source.")
    subject = models.CharField(max_length=120, blank=True, help_text="What it is about: a source, a version.")
    severity = models.CharField(max_length=4, choices=Severity)
    state = models.CharField(max_length=12, choices=IncidentState, default=IncidentState.OPEN)
    summary = models.CharField(max_length=400)
    facts = models.JSONField(default=dict, blank=True)
    occurrences = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    acknowledged_by_name = models.CharField(max_length=150, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    resolved_by_name = models.CharField(max_length=150, blank=True)
    resolution = models.TextField(blank=True)

    class Meta:
        ordering = ["-opened_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["trigger", "subject"],
                condition=Q(state__in=["open", "acknowledged"]),
                name="integrations_one_live_incident",
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False) & ~Q(resolution="")
                | Q(state__in=["open", "acknowledged"], resolved_at__isnull=True),
                name="integrations_incident_resolved_wholly",
            ),
        ]

    def __str__(self) -> str:
        return f"Incident {self.pk}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_INCIDENTS


class IncidentEvent(models.Model):
    """One line of an incident's timeline. A database trigger refuses any change."""

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        SEEN = "seen", "Seen again"
        RAISED = "raised", "Severity raised"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        STEP = "step", "Step of the runbook done"
        COMMENT = "comment", "Comment"
        CHECK = "check", "Checked"
        RESOLVED = "resolved", "Resolved"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=12, choices=Kind)
    at = models.DateTimeField(auto_now_add=True)
    actor_name = models.CharField(max_length=150, default="system")
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.text[:60]}"
