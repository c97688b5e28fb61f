"""Forecasts of the levels above the series, stored as paths beside those of the series."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from forecasting.models.forecast import ForecastSet


class Level(models.TextChoices):
    """What a node stands for."""

    TOTAL = "total", "Total"
    STORE = "store", "Store"
    CATEGORY = "category", "Category"


class ForecastNodePath(models.Model):
    """The forecast of the total, a store or a category: each element of yhat is the sum of its members' paths.

    Element k of each array is the k-th step after the origin, in units, never < 0. The bounds are of the sum itself.
    """

    id = models.BigAutoField(primary_key=True)
    forecast_set = models.ForeignKey(ForecastSet, on_delete=models.CASCADE, related_name="node_paths")
    level = models.CharField(max_length=8, choices=Level)
    key = models.CharField(
        max_length=120, blank=True, help_text="Store or category; empty for the total and for series without one."
    )
    members = models.PositiveIntegerField(help_text="Series that it is the sum of.")
    start_date = models.DateField()
    step_days = models.PositiveSmallIntegerField(default=1)
    yhat = ArrayField(models.FloatField())
    lo80 = ArrayField(models.FloatField())
    hi80 = ArrayField(models.FloatField())
    lo95 = ArrayField(models.FloatField())
    hi95 = ArrayField(models.FloatField())

    class Meta:
        verbose_name = "forecast of a total"
        verbose_name_plural = "totals"
        constraints = [
            models.UniqueConstraint(fields=["forecast_set", "level", "key"], name="forecasting_path_per_node")
        ]

    def __str__(self) -> str:
        return f"{self.get_level_display()} {self.name}".strip()

    @property
    def name(self) -> str:
        """The key for people."""
        if self.level == Level.TOTAL:
            return ""
        return self.key or f"without a {self.level}"
