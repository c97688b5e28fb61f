"""Time-travel replays: what was asked, how far it is, each day as it was known then, and what people decided in it.

Nothing here is of the live channel, and nothing of the live channel points here.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class ReplayState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waits for a decision"
    FINISHED = "finished", "Finished"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


REPLAY_TRANSITIONS: dict[str, frozenset[str]] = {
    ReplayState.QUEUED: frozenset({ReplayState.RUNNING, ReplayState.FAILED, ReplayState.CANCELLED}),
    ReplayState.RUNNING: frozenset(
        {ReplayState.RUNNING, ReplayState.WAITING, ReplayState.FINISHED, ReplayState.FAILED, ReplayState.CANCELLED,
         ReplayState.QUEUED}  # a person was quicker than the run's pause
    ),
    # It is running again where its worker died after it had asked, and the run is retried.
    ReplayState.WAITING: frozenset({ReplayState.QUEUED, ReplayState.CANCELLED, ReplayState.RUNNING}),
    ReplayState.FAILED: frozenset({ReplayState.QUEUED, ReplayState.RUNNING}),
    ReplayState.CANCELLED: frozenset({ReplayState.QUEUED}),
    ReplayState.FINISHED: frozenset(),
}  # fmt: skip
RESUMABLE = frozenset({ReplayState.FAILED, ReplayState.CANCELLED})


class Replay(models.Model):
    """One walk through past days. Its own models and checkpoints lie in a folder named by ``token``."""

    token = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    state = models.CharField(max_length=10, choices=ReplayState, default=ReplayState.QUEUED)
    config = models.JSONField(help_text="What was asked, with the policy of that moment.")
    recorded = models.JSONField(default=list, blank=True, help_text="Decisions taken earlier, where those decide.")
    first_day = models.DateField()
    last_day = models.DateField()
    fingerprint = models.CharField(max_length=64, blank=True, help_text="Of the demand that it walks through.")
    run_id = models.UUIDField(null=True, blank=True, help_text="The run that worked on it last.")
    step = models.IntegerField(default=-2, help_text="The last day that is done: -1 is the eve.")
    steps = models.PositiveIntegerField()
    sentence = models.TextField(blank=True, help_text="What came of it, in words.")
    summary = models.JSONField(default=dict, blank=True)
    files = models.JSONField(default=list, blank=True, help_text="Kept files: name, path, sha256, bytes.")
    error = models.TextField(blank=True)
    reason = models.TextField(blank=True, help_text="Why it was started.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, default="system")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"replay {self.pk}: {self.first_day} to {self.last_day}"

    @property
    def days_done(self) -> int:
        """Steps that are done, without the eve."""
        return max(self.step + 1, 0)


class ReplayDay(models.Model):
    """A day of a replay: what came, what was known, what was decided. The same as its line in the daily log."""

    replay = models.ForeignKey(Replay, on_delete=models.CASCADE, related_name="days")
    step = models.IntegerField()
    day = models.DateField()
    line = models.JSONField()

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["replay", "step"], name="forecasting_replay_day_once")]

    def __str__(self) -> str:
        return f"{self.day} of replay {self.replay_id}"


class ReplayQuestion(models.TextChoices):
    PROMOTION = "promotion", "Promotion"
    ORDERS = "orders", "Orders"


class ReplayDecisionState(models.TextChoices):
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    EDITED = "edited", "Approved with changes"
    REJECTED = "rejected", "Rejected"
    LAPSED = "lapsed", "Lapsed"


class OrderCode(models.TextChoices):
    """What a decision on proposed orders rests on most."""

    AS_PROPOSED = "as_proposed", "The proposal is right"
    NO_DEMAND = "no_demand", "It does not sell any more"
    ABOVE_HISTORY = "above_history", "Far more than ever sold"
    BELOW_HISTORY = "below_history", "Far less than always sold"
    KNOWN_EVENT = "known_event", "Something is known that the data do not show"
    OTHER = "other", "Something else"


DECIDED = (ReplayDecisionState.APPROVED, ReplayDecisionState.EDITED, ReplayDecisionState.REJECTED)


class ReplayDecision(models.Model):
    """A question of a replay to a person, bound to the hash of what they are shown, and the answer."""

    replay = models.ForeignKey(Replay, on_delete=models.PROTECT, related_name="decisions")
    key = models.CharField(max_length=40, help_text="Kind and day: names the question within its replay.")
    kind = models.CharField(max_length=10, choices=ReplayQuestion)
    day = models.DateField(help_text="The day that the clock stands at.")
    question = models.JSONField()
    question_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=ReplayDecisionState, default=ReplayDecisionState.PENDING)
    code = models.CharField(max_length=20, blank=True)
    reason = models.TextField(blank=True)
    edits = models.JSONField(default=dict, blank=True, help_text="Series -> units, where orders were changed.")
    asked_at = models.DateTimeField(auto_now_add=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_by_name = models.CharField(max_length=150)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-asked_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["replay", "key", "question_sha256"], name="forecasting_replay_question_once"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "edited", "rejected"])
                | (~Q(decided_by_name="") & ~Q(reason="") & ~Q(decided_by_name=models.F("asked_by_name"))),
                name="forecasting_replay_four_eyes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} on {self.day} in replay {self.replay_id}"
