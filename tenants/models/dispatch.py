"""One job for many tenants: what was asked, and what came of it in each."""

from __future__ import annotations

from django.db import models


class Dispatch(models.Model):
    """A fan-out of one kind of job. A schedule's slot is one dispatch, filled as it becomes due in each time zone."""

    kind = models.CharField(max_length=80)
    schedule = models.CharField(max_length=60, blank=True, help_text="Declared schedule; empty: a person asked.")
    slot = models.CharField(max_length=40, blank=True)
    inputs = models.JSONField(default=dict, blank=True)
    requested_by_name = models.CharField(max_length=150, default="system")
    requested_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-requested_at", "-pk"]
        verbose_name_plural = "dispatches"
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "slot"], condition=~models.Q(schedule=""), name="tenants_dispatch_slot"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {(self.schedule and f'({self.schedule} {self.slot})') or f'#{self.pk}'}"


class EntryOutcome(models.TextChoices):
    QUEUED = "queued", "Queued"
    LIVE = "live", "Was under way already"
    NOTHING = "nothing", "Nothing to do"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Could not be queued"


class DispatchEntry(models.Model):
    """One tenant of a dispatch. No foreign key leaves the schema: the run is named by its id."""

    dispatch = models.ForeignKey(Dispatch, on_delete=models.CASCADE, related_name="entries")
    schema_name = models.CharField(max_length=63)
    outcome = models.CharField(max_length=8, choices=EntryOutcome)
    run_id = models.UUIDField(null=True, blank=True)
    reason = models.CharField(max_length=400, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dispatch", "schema_name"]
        verbose_name_plural = "dispatch entries"
        constraints = [models.UniqueConstraint(fields=["dispatch", "schema_name"], name="tenants_dispatch_tenant_once")]

    def __str__(self) -> str:
        return f"{self.schema_name}: {self.get_outcome_display()}"
