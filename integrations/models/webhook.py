"""Where a tenant wants to hear of decisions: endpoints, what happened, and what became of each delivery."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone


class EndpointState(models.TextChoices):
    ACTIVE = "active", "Active"
    OFF = "off", "Switched off"
    DISABLED = "disabled", "Disabled after failures"


ENDPOINT_TRANSITIONS: dict[str, frozenset[str]] = {
    EndpointState.ACTIVE: frozenset({EndpointState.OFF, EndpointState.DISABLED}),
    EndpointState.OFF: frozenset({EndpointState.ACTIVE}),
    EndpointState.DISABLED: frozenset({EndpointState.ACTIVE, EndpointState.OFF}),
}


class SendState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


SEND_TRANSITIONS: dict[str, frozenset[str]] = {
    SendState.WAITING: frozenset({SendState.DELIVERED, SendState.FAILED}),
    SendState.DELIVERED: frozenset({SendState.WAITING}),  # sent again
    SendState.FAILED: frozenset({SendState.WAITING}),
}


class WebhookEndpoint(models.Model):
    """An address that is told of events. The sealed fields hold ciphertext only (``services.credentials``)."""

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False, help_text="What its secrets are bound to.")
    name = models.CharField(max_length=80)
    url = models.CharField(max_length=500)
    events = models.JSONField(default=list, help_text="Names of the events that it is told of.")
    state = models.CharField(max_length=10, choices=EndpointState, default=EndpointState.ACTIVE)
    state_reason = models.CharField(max_length=300, blank=True)
    sealed_secret = models.TextField(editable=False)
    sealed_previous = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, help_text="Until when the former secret signs, too.")
    failures = models.PositiveIntegerField(default=0, help_text="Failed attempts since the last success.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by_name = models.CharField(max_length=150, default="system", editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["name"], name="integrations_webhook_name"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in EndpointState]), name="integrations_webhook_state_known"
            ),
            models.CheckConstraint(condition=~Q(sealed_secret=""), name="integrations_webhook_signs"),
            models.CheckConstraint(
                condition=Q(sealed_previous="", previous_until__isnull=True)
                | (~Q(sealed_previous="") & Q(previous_until__isnull=False)),
                name="integrations_webhook_overlap_ends",
            ),
        ]

    def __str__(self) -> str:
        return self.name  # not the address: it may hold a token


class WebhookEvent(models.Model):
    """Something that happened, as it is sent: written in the transaction in which it happened, never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    type = models.CharField(max_length=60)
    body = models.TextField(help_text="The JSON text that is sent and signed.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.type} {str(self.pk)[:8]}"


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    event = models.ForeignKey(WebhookEvent, on_delete=models.PROTECT, related_name="deliveries")
    state = models.CharField(max_length=10, choices=SendState, default=SendState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Since it was sent, or sent again by a person.")
    next_attempt_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="integrations_webhook_once"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in SendState]), name="integrations_webhook_send_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="delivered") | Q(delivered_at__isnull=False), name="integrations_webhook_sent_when"
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="integrations_webhook_due")
        ]

    def __str__(self) -> str:
        return f"{self.event.type} to {self.endpoint.name}"


class WebhookAttempt(models.Model):
    """One attempt, with the beginning of what the endpoint answered."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    seconds = models.FloatField()
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status; empty where none came.")
    answer = models.TextField(blank=True, help_text="The beginning of the answer's body.")
    problem = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.delivery_id}: {self.status or 'no answer'}"
