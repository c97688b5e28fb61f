"""Fleet migrations: what was asked, and what came of it in each tenant that was not at the newest migration already."""

from __future__ import annotations

from django.db import models


class RolloutState(models.TextChoices):
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    INCOMPLETE = "incomplete", "Ended with tenants left"
    STOPPED = "stopped", "Stopped"
    INTERRUPTED = "interrupted", "Interrupted"


class Rollout(models.Model):
    """One ``migrate_fleet``. Whoever holds the lock writes it; one that stands as running otherwise was interrupted."""

    target_key = models.CharField(max_length=64)
    target_migrations = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=RolloutState, default=RolloutState.RUNNING)
    reason = models.TextField(blank=True)
    follows = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    processes = models.PositiveSmallIntegerField()
    max_errors = models.PositiveIntegerField()
    canaries = models.JSONField(default=list)
    tenants = models.PositiveIntegerField(default=0)
    at_target = models.PositiveIntegerField(default=0, help_text="Skipped: they were there already.")
    migrated = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    untouched = models.PositiveIntegerField(default=0, help_text="Named and not touched: missing, half migrated, ….")
    left = models.PositiveIntegerField(default=0, help_text="Not reached when it ended.")
    worker = models.CharField(max_length=120, blank=True, help_text="Host and process.")
    requested_by_name = models.CharField(max_length=150, default="system")
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="running"), name="tenants_one_running_rollout"
            )
        ]

    def __str__(self) -> str:
        return f"Rollout {self.pk}"


class RolloutOutcome(models.TextChoices):
    MIGRATED = "migrated", "Migrated"
    FAILED = "failed", "Failed"
    UNTOUCHED = "untouched", "Not touched"


class RolloutEntry(models.Model):
    """One tenant of a rollout. By schema name: no key leaves a schema."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="entries")
    schema_name = models.CharField(max_length=63)
    canary = models.BooleanField(default=False)
    outcome = models.CharField(max_length=10, choices=RolloutOutcome)
    standing = models.CharField(max_length=14, help_text="Where it stood before.")
    before = models.PositiveIntegerField(default=0, help_text="Migrations before.")
    after = models.PositiveIntegerField(default=0, help_text="Migrations after.")
    seconds = models.FloatField(default=0)
    error = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["rollout", "at", "pk"]
        verbose_name_plural = "rollout entries"
        constraints = [models.UniqueConstraint(fields=["rollout", "schema_name"], name="tenants_rollout_tenant_once")]

    def __str__(self) -> str:
        return f"{self.schema_name}: {self.get_outcome_display()}"
