"""What a promotion is judged by, and the judgement."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from forecasting.models.registry import ModelVersion


class GatePolicy(models.Model):
    """One version of the tenant's thresholds. A change is a new version; requests keep the one they were judged by."""

    version = models.PositiveIntegerField(unique=True)
    body = models.JSONField()
    sha256 = models.CharField(max_length=64)
    is_active = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["-version"]
        verbose_name_plural = "gate policies"
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="forecasting_one_active_policy"
            )
        ]

    def __str__(self) -> str:
        return f"policy v{self.version}"


class HoldoutAccess(models.Model):
    """One opening of a sealed holdout. Append-only; a second one for the same candidate needs a reason and is shown."""

    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="holdout_accesses")
    run_id = models.UUIDField()
    holdout_start = models.DateField()
    holdout_end = models.DateField()
    reason = models.TextField(blank=True)
    opened_at = models.DateTimeField(auto_now_add=True)
    opened_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["-opened_at"]
        verbose_name_plural = "holdout accesses"

    def __str__(self) -> str:
        return f"v{self.candidate.number} {self.holdout_start} to {self.holdout_end}"


class Verdict(models.TextChoices):
    ELIGIBLE = "eligible", "Eligible"
    BLOCKED = "blocked", "Blocked"
    INSUFFICIENT = "insufficient_evidence", "Insufficient evidence"


class GateReport(models.Model):
    """The judgement of one candidate against one champion (none: seasonal naive) under one policy. Immutable."""

    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="gate_reports")
    champion = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="gate_reports_as_champion"
    )
    policy = models.ForeignKey(GatePolicy, on_delete=models.PROTECT, related_name="reports")
    run_id = models.UUIDField(unique=True)
    verdict = models.CharField(max_length=24, choices=Verdict)
    results = models.JSONField(
        help_text="One entry per gate: name, scope, champion, candidate, threshold, passed, reason."
    )
    evidence = models.JSONField(default=dict, help_text="Scores of both sides, by week and store, and the bootstrap.")
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"v{self.candidate.number}: {self.get_verdict_display()}"
