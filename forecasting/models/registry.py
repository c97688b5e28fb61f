"""The model registry: what is trained (spec), each fit of it (version), and its files (artifacts)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class ModelSpec(models.Model):
    """What is trained: families, hyper-parameters, weights, horizon. Immutable; found by its content's hash."""

    label = models.CharField(max_length=160)
    body = models.JSONField()
    sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.label


class TrainingMode(models.TextChoices):
    SEARCH = "search", "Search for a spec"
    REFRESH = "refresh", "Refresh the champion's spec"
    DECIDED = "decided", "Train what was decided"
    DRILL = "drill", "Made for a drill, never to serve"


class VersionStatus(models.TextChoices):
    TRAINING = "training", "Training"
    CANDIDATE = "candidate", "Candidate"
    CHALLENGER = "challenger", "Challenger"
    RETIRED = "retired", "Retired"
    FAILED = "failed", "Failed"


VERSION_TRANSITIONS: dict[str, frozenset[str]] = {
    VersionStatus.TRAINING: frozenset({VersionStatus.CANDIDATE, VersionStatus.FAILED}),
    VersionStatus.CANDIDATE: frozenset({VersionStatus.CHALLENGER, VersionStatus.RETIRED, VersionStatus.FAILED}),
    VersionStatus.CHALLENGER: frozenset({VersionStatus.RETIRED}),
    VersionStatus.RETIRED: frozenset({VersionStatus.CHALLENGER}),
    VersionStatus.FAILED: frozenset(),
}


class ModelVersion(models.Model):
    """One fit of a spec. Champion is not a status: it is a pointer with a history of its own."""

    number = models.PositiveIntegerField(unique=True)
    spec = models.ForeignKey(ModelSpec, on_delete=models.PROTECT, related_name="versions")
    status = models.CharField(max_length=12, choices=VersionStatus, default=VersionStatus.TRAINING)
    mode = models.CharField(max_length=10, choices=TrainingMode)
    decision = models.ForeignKey(
        "forecasting.StrategyDecision",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="versions",
        help_text="Of a strategy cycle: the decision whose spec this is, exactly.",
    )
    run_id = models.UUIDField(unique=True, help_text="The run that trained it: one run makes one version.")
    as_of = models.DateField(help_text="Last day of data that the serving fit has seen.")
    evaluation_window = models.JSONField(help_text="TrainingWindow of the fit that was judged.")
    serving_window = models.JSONField(help_text="TrainingWindow of the refit that serves.")
    manifest = models.JSONField(default=dict, help_text="Features, lags, calibration, library versions, fingerprints.")
    backtest = models.JSONField(
        default=dict, help_text="Rolling-origin scores: overall, by week, class, store and family."
    )
    evaluation = models.JSONField(default=dict, help_text="Sealed-holdout scores and business scores of this spec.")
    notes = models.JSONField(default=list, blank=True, help_text="Declines and fallbacks, per family and reason.")
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(mode="decided", decision__isnull=False) | (~Q(mode="decided") & Q(decision__isnull=True)),
                name="forecasting_version_decision",
            ),
            models.CheckConstraint(
                condition=~Q(mode=TrainingMode.DRILL) | Q(status=VersionStatus.RETIRED),
                name="forecasting_drill_is_no_candidate",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number} {self.spec.label}" + (" (drill)" if self.mode == TrainingMode.DRILL else "")

    @property
    def label(self) -> str:
        return f"v{self.number}"


class ModelArtifact(models.Model):
    """One file of a version, in its library's native format, with the hash that loading verifies."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="artifacts")
    role = models.CharField(max_length=12, choices=[("evaluation", "Evaluation fit"), ("serving", "Serving fit")])
    name = models.CharField(max_length=160)
    path = models.CharField(max_length=400, help_text="Name in the tenant's artifact storage.")
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()

    class Meta:
        ordering = ["version", "role", "name"]
        constraints = [models.UniqueConstraint(fields=["version", "role", "name"], name="forecasting_artifact_name")]

    def __str__(self) -> str:
        return f"{self.role}/{self.name}"
