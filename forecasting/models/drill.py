"""Rollback drills: what was damaged, how fast it was noticed, how fast and how exactly it was put right."""

from __future__ import annotations

from django.db import models

from forecasting.models.registry import ModelVersion


class DrillOutcome(models.TextChoices):
    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    STOPPED = "stopped", "Stopped"


class RollbackDrill(models.Model):
    """The record of one ended drill. Append-only: neither changed nor deleted, whoever writes."""

    run_id = models.UUIDField(unique=True, help_text="The first run of the drill: one drill makes one record.")
    outcome = models.CharField(max_length=8, choices=DrillOutcome)
    sentence = models.TextField(help_text="What came of it, in words.")
    reference = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="The version that served on the drill channel and was put back.",
    )  # fmt: skip
    damaged = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="The version that was damaged on purpose.",
    )  # fmt: skip
    origin_date = models.DateField(null=True, blank=True, help_text="Last day known when the drill began.")
    days_to_detect = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Days of actuals it took.")
    seconds_to_detect = models.FloatField(null=True, blank=True, help_text="From the damaged promotion to the alarm.")
    seconds_to_restore = models.FloatField(null=True, blank=True, help_text="From the call to the restored forecasts.")
    bit_identical = models.BooleanField(null=True, help_text="Whether the reloaded artifact forecast the same bits.")
    report = models.JSONField(default=dict, help_text="Plan, steps with their runs, days, hashes, checks.")
    report_sha256 = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    asked_by_name = models.CharField(max_length=150, default="system")
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-finished_at", "-pk"]
        verbose_name = "rollback drill"

    def __str__(self) -> str:
        return f"drill {self.pk} ({self.get_outcome_display().lower()})"
