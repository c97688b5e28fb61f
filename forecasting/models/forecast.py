"""Published forecasts, stored as paths: one row a run and series."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from forecasting.models.assignment import Channel
from forecasting.models.demand import Series
from forecasting.models.registry import ModelVersion


class ForecastSet(models.Model):
    """The forecasts of one version from one origin. The newest of the champion is what serves."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="forecast_sets")
    channel = models.CharField(max_length=12, choices=Channel, default=Channel.LIVE)
    origin_date = models.DateField(help_text="Last day known when it was made.")
    horizon = models.PositiveSmallIntegerField(help_text="Steps ahead, in the tenant's grain.")
    series_count = models.PositiveIntegerField(default=0)
    fit_age_days = models.PositiveIntegerField(
        default=0, help_text="Days between the newest fit's data and the origin."
    )
    run_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True, help_text="When it began to serve; empty: never did.")

    class Meta:
        ordering = ["-origin_date", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["version", "channel", "origin_date"], name="forecasting_set_per_origin")
        ]

    def __str__(self) -> str:
        return f"v{self.version.number} from {self.origin_date}"


class ForecastPath(models.Model):
    """The forecast of one series: element k of each array is the k-th step after the origin, in units, never < 0."""

    id = models.BigAutoField(primary_key=True)
    forecast_set = models.ForeignKey(ForecastSet, on_delete=models.CASCADE, related_name="paths")
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="forecast_paths")
    start_date = models.DateField()
    step_days = models.PositiveSmallIntegerField(default=1)
    family = models.CharField(max_length=40, help_text="The family that really made it.")
    flags = models.JSONField(default=list, blank=True, help_text="cold_start, fallback, declines.")
    yhat = ArrayField(models.FloatField())
    lo80 = ArrayField(models.FloatField())
    hi80 = ArrayField(models.FloatField())
    lo95 = ArrayField(models.FloatField())
    hi95 = ArrayField(models.FloatField())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["forecast_set", "series"], name="forecasting_path_per_series")]

    def __str__(self) -> str:
        return f"{self.series_id} from {self.start_date}"
