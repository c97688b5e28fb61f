"""Demand as it was: one series a store and product, one row a series and day.

The tables of days have no foreign key to the series: PostgreSQL would check it row by row, at twice the cost of the
load. Triggers check it once a statement instead, and refuse to delete or renumber a series that still has days.
"""

from __future__ import annotations

from django.db import models


class Series(models.Model):
    """Demand of one product in one store."""

    store_id = models.CharField(max_length=120)
    product_id = models.CharField(max_length=120)
    category = models.CharField(max_length=120, blank=True, default="", db_default="")
    store_attributes = models.JSONField(default=dict, blank=True, db_default={})
    product_attributes = models.JSONField(default=dict, blank=True, db_default={})
    first_day = models.DateField(null=True, blank=True)
    last_day = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ["store_id", "product_id"]
        verbose_name_plural = "series"
        constraints = [models.UniqueConstraint(fields=["store_id", "product_id"], name="forecasting_series_key")]

    def __str__(self) -> str:
        return f"{self.store_id} · {self.product_id}"


class Demand(models.Model):
    """Gross sales of one series on one day, in units. Loaded by COPY and one set-based upsert, never row by row."""

    pk = models.CompositePrimaryKey("series_id", "date")
    series = models.ForeignKey(
        Series, on_delete=models.CASCADE, related_name="demand", db_index=False, db_constraint=False
    )
    date = models.DateField()
    quantity = models.FloatField()
    returned_quantity = models.FloatField(default=0, db_default=0)
    unit_price = models.FloatField(null=True, blank=True)
    unit_cost = models.FloatField(null=True, blank=True)
    on_hand_qty = models.FloatField(null=True, blank=True)
    on_order_qty = models.FloatField(null=True, blank=True)
    is_promotional = models.FloatField(null=True, blank=True, help_text="0 to 1: share of the day on promotion.")
    is_holiday = models.FloatField(null=True, blank=True)
    extra = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="Further regressors of the contract, by name."
    )
    stocked_out = models.BooleanField(
        default=False, db_default=False, help_text="Censored: sales were capped by stock."
    )
    batch_id = models.BigIntegerField(help_text="Ingest batch that last wrote this day.")

    class Meta:
        verbose_name_plural = "demand"
        indexes = [models.Index(fields=["date"], name="forecasting_demand_date")]

    def __str__(self) -> str:
        return f"{self.series_id} {self.date}: {self.quantity}"


class KnownFuture(models.Model):
    """Regressors that are known ahead (planned promotions, prices), by series and day; may run past the last sale."""

    pk = models.CompositePrimaryKey("series_id", "date")
    series = models.ForeignKey(
        Series, on_delete=models.CASCADE, related_name="known_future", db_index=False, db_constraint=False
    )
    date = models.DateField()
    values = models.JSONField(default=dict)
    batch_id = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "known future"

    def __str__(self) -> str:
        return f"{self.series_id} {self.date}"
