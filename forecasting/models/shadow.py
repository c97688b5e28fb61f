"""Challengers in shadow: what each and the champion forecast from the same origins, scored on the same days."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from forecasting.models.registry import ModelSpec, ModelVersion


class ShadowWinner(models.TextChoices):
    CHALLENGER = "challenger", "Challenger"
    CHAMPION = "champion", "Champion"
    TIE = "tie", "Tie"
    UNDECIDED = "undecided", "Not judged yet"


class ShadowStanding(models.Model):
    """One version in the shadow of one spec that served: what all judged windows come to. It grows as days come.

    The opponent is a spec, not a version: a refresh of the champion goes on where the fit before it ended.
    """

    challenger = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="shadow_standings")
    champion_spec = models.ForeignKey(ModelSpec, on_delete=models.PROTECT, related_name="shadowed_by")
    weeks = models.PositiveIntegerField(default=0, help_text="Windows that were judged.")
    won = models.PositiveIntegerField(default=0)
    lost = models.PositiveIntegerField(default=0)
    tied = models.PositiveIntegerField(default=0)
    first_day = models.DateField(null=True, blank=True)
    last_day = models.DateField(null=True, blank=True)
    scores = models.JSONField(default=dict, help_text="Side, then score with its n and, where undefined, the reason.")
    differences = models.JSONField(
        default=dict, help_text="Of total_cost and wape: relative change, 95% interval, p_lower."
    )
    sentence = models.CharField(max_length=240, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(fields=["challenger", "champion_spec"], name="forecasting_one_standing"),
            models.CheckConstraint(
                condition=Q(weeks=F("won") + F("lost") + F("tied")), name="forecasting_standing_adds_up"
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.challenger.number}: {self.sentence or 'in shadow'}"


class ShadowWindow(models.Model):
    """One week (four weeks of weekly demand) of a standing: both sides on the rows that both forecast.

    It is reckoned again when further days come, and when days of it are corrected.
    """

    standing = models.ForeignKey(ShadowStanding, on_delete=models.CASCADE, related_name="windows")
    start = models.DateField()
    end = models.DateField()
    complete = models.BooleanField(help_text="Whether its last day had come.")
    days = models.PositiveSmallIntegerField(help_text="Days with a known actual.")
    origins = models.PositiveSmallIntegerField()
    n_series = models.PositiveIntegerField(verbose_name="series")
    rows = models.PositiveIntegerField(help_text="Series, origins and days that both forecast.")
    paths = models.PositiveIntegerField(help_text="Orders whose protection interval ended in it.")
    scores = models.JSONField(help_text="Side, then score with its n and, where undefined, the reason.")
    confidence = models.CharField(max_length=12, help_text="Of the costs: measured, estimated or unavailable.")
    differences = models.JSONField(help_text="Paired bootstrap over series of total_cost and wape.")
    winner = models.CharField(max_length=12, choices=ShadowWinner)
    basis = models.CharField(max_length=12, help_text="What the winner goes by: total_cost, else wape.")
    reason = models.CharField(max_length=240, blank=True, help_text="Why it is not judged yet.")
    series_ids = ArrayField(models.BigIntegerField(), help_text="The arrays after it are per series, in this order.")
    actual = ArrayField(models.FloatField())
    champion_error = ArrayField(models.FloatField())
    challenger_error = ArrayField(models.FloatField())
    champion_cost = ArrayField(models.FloatField(null=True))
    challenger_cost = ArrayField(models.FloatField(null=True))
    sets = models.JSONField(default=list, help_text="Pairs of forecast sets: champion's, challenger's.")
    input_sha256 = models.CharField(max_length=64, help_text="Of the sets, the days' content and the policy.")
    run_id = models.UUIDField(null=True, blank=True)
    computed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-start"]
        constraints = [
            models.UniqueConstraint(fields=["standing", "start"], name="forecasting_shadow_window_once"),
            models.CheckConstraint(condition=Q(end__gte=F("start")), name="forecasting_shadow_window_order"),
            models.CheckConstraint(condition=Q(rows__gt=0, days__gt=0), name="forecasting_shadow_window_rows"),
            models.CheckConstraint(
                condition=Q(complete=True) | Q(winner="undecided"), name="forecasting_shadow_judged_whole"
            ),
            models.CheckConstraint(
                condition=Q(winner__in=["challenger", "champion", "tie", "undecided"]),
                name="forecasting_shadow_winner_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"
