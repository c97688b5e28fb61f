"""A request to make a candidate champion, and a person's decision."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from forecasting.models.assignment import Channel
from forecasting.models.gate import GateReport
from forecasting.models.registry import ModelVersion


class RequestState(models.TextChoices):
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    LAPSED = "lapsed", "Lapsed"
    WITHDRAWN = "withdrawn", "Withdrawn"


class DecisionCode(models.TextChoices):
    """What a decision rests on most, for the log and for counting; the reason itself is text."""

    LOWER_COST = "lower_cost", "Lower cost at an acceptable risk"
    BETTER_FORECAST = "better_forecast", "Better forecast at the same cost"
    FIRST_CHAMPION = "first_champion", "Good enough as a first champion"
    WEAK_EVIDENCE = "weak_evidence", "The evidence is too weak"
    RISK = "risk", "The risk is too high for some stores or products"
    TIMING = "timing", "The wrong moment (season, promotion, stock-taking)"
    DATA_DOUBT = "data_doubt", "The data that it was judged on is in doubt"
    OTHER = "other", "Something else"


APPROVAL_CODES = (
    DecisionCode.LOWER_COST,
    DecisionCode.BETTER_FORECAST,
    DecisionCode.FIRST_CHAMPION,
    DecisionCode.OTHER,
)
REJECTION_CODES = (
    DecisionCode.WEAK_EVIDENCE,
    DecisionCode.RISK,
    DecisionCode.TIMING,
    DecisionCode.DATA_DOUBT,
    DecisionCode.OTHER,
)

PROMOTION_TRANSITIONS: dict[str, frozenset[str]] = {
    RequestState.PENDING: frozenset(
        {RequestState.APPROVED, RequestState.REJECTED, RequestState.LAPSED, RequestState.WITHDRAWN}
    ),
    RequestState.APPROVED: frozenset(),
    RequestState.REJECTED: frozenset(),
    RequestState.LAPSED: frozenset(),
    RequestState.WITHDRAWN: frozenset(),
}


class PromotionRequest(models.Model):
    """Bound to the hash of what was judged. It lapses when any of that changes, or after the policy's days."""

    channel = models.CharField(max_length=12, choices=Channel, default=Channel.LIVE)
    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotion_requests")
    champion = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="promotion_requests_against"
    )
    gate_report = models.ForeignKey(GateReport, on_delete=models.PROTECT, related_name="promotion_requests")
    evidence_hash = models.CharField(
        max_length=64, help_text="SHA-256 of candidate, champion, policy and gate results."
    )
    state = models.CharField(max_length=12, choices=RequestState, default=RequestState.PENDING)
    reason = models.TextField(help_text="Why the requester asks.")
    shadow = models.JSONField(
        default=dict,
        blank=True,
        help_text="What was cited of its time in the champion's shadow.",
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    requested_by_name = models.CharField(max_length=150)
    requested_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)
    decision_code = models.CharField(max_length=20, choices=DecisionCode, blank=True)

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel"], condition=Q(state="pending"), name="forecasting_one_pending_request"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "rejected"])
                | (~Q(decided_by_name="") & ~Q(decision_reason="") & ~Q(decided_by_name=models.F("requested_by_name"))),
                name="forecasting_four_eyes",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.candidate.number} for {self.channel} ({self.get_state_display().lower()})"
