"""Accuracy from realised demand: what was forecast against what came."""

from __future__ import annotations

from django.db import models

from forecasting.models.forecast import ForecastSet
from forecasting.models.registry import ModelVersion


class AccuracyRecord(models.Model):
    """Scores of one published forecast set on the actuals that had come by ``actuals_until``. Undefined is null."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="accuracy")
    forecast_set = models.ForeignKey(ForecastSet, on_delete=models.CASCADE, related_name="accuracy")
    actuals_until = models.DateField()
    days = models.PositiveSmallIntegerField(help_text="Forecast days that had actuals.")
    rows = models.PositiveIntegerField(help_text="Series-days scored.")
    wape = models.FloatField(null=True, blank=True)
    wape_naive = models.FloatField(null=True, blank=True)
    bias = models.FloatField(null=True, blank=True)
    coverage80 = models.FloatField(null=True, blank=True)
    scores = models.JSONField(default=dict, help_text="Every score with n and reason; by week, class and store.")
    run_id = models.UUIDField(null=True, blank=True)
    computed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-actuals_until", "-computed_at"]
        constraints = [
            models.UniqueConstraint(fields=["forecast_set", "actuals_until"], name="forecasting_accuracy_once")
        ]

    def __str__(self) -> str:
        return f"v{self.version.number} until {self.actuals_until}"
