"""Files as they came in through one of the doors, in the order of their receipt, and what became of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from integrations.models.batch import IngestBatch
from integrations.models.source import Contract, Source


class Via(models.TextChoices):
    """The door that files came through."""

    UPLOAD = "upload", "Upload form"
    API = "api", "API"
    SFTP = "sftp", "SFTP"
    COMMAND = "command", "Command"
    ONBOARDING = "onboarding", "Onboarding"
    REPLAY = "replay", "Mended rows"


class DeliveryState(models.TextChoices):
    RECEIVED = "received", "Received"
    HELD = "held", "Held"
    LOADED = "loaded", "Loaded"
    REFUSED = "refused", "Refused"
    DISCARDED = "discarded", "Discarded"


DELIVERY_TRANSITIONS: dict[str, frozenset[str]] = {
    DeliveryState.RECEIVED: frozenset(
        {DeliveryState.HELD, DeliveryState.LOADED, DeliveryState.REFUSED, DeliveryState.DISCARDED}
    ),
    DeliveryState.HELD: frozenset({DeliveryState.RECEIVED, DeliveryState.DISCARDED}),
    # A person may resume the run of a refused delivery, for instance after the source was mended.
    DeliveryState.REFUSED: frozenset({DeliveryState.HELD, DeliveryState.LOADED, DeliveryState.DISCARDED}),
    DeliveryState.LOADED: frozenset(),
    DeliveryState.DISCARDED: frozenset(),
}


class Delivery(models.Model):
    """One or more files of a source that belong together. Its number is its place in the source's order."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="deliveries")
    via = models.CharField(max_length=12, choices=Via)
    state = models.CharField(max_length=12, choices=DeliveryState, default=DeliveryState.RECEIVED)
    idempotency_key = models.CharField(
        max_length=200, blank=True, help_text="The same key never makes a second delivery of the source."
    )
    content_sha256 = models.CharField(max_length=64, help_text="SHA-256 over the files' roles and hashes.")
    contract = models.ForeignKey(
        Contract,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="deliveries",
        help_text="The version to read it under; empty: the one in force when it is read.",
    )
    replaces = models.ForeignKey(
        IngestBatch,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="replays",
        help_text="The batch whose mended rows it brings.",
    )
    run_id = models.UUIDField(null=True, blank=True, help_text="The run that reads it.")
    batch = models.ForeignKey(IngestBatch, null=True, blank=True, on_delete=models.PROTECT, related_name="deliveries")
    repeated = models.BooleanField(default=False, help_text="These very files had been loaded before.")
    problem = models.TextField(blank=True, help_text="Why it is held, refused or discarded.")
    received_at = models.DateTimeField(auto_now_add=True)
    received_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    received_by_name = models.CharField(max_length=150, default="system")

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="integrations_delivery_once_per_key",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["received", "held", "loaded", "refused", "discarded"]),
                name="integrations_delivery_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="loaded") | Q(batch__isnull=False), name="integrations_delivery_loaded_as_batch"
            ),
            models.CheckConstraint(
                condition=Q(via="replay", replaces__isnull=False) | (~Q(via="replay") & Q(replaces__isnull=True)),
                name="integrations_delivery_replay_of_batch",
            ),
        ]
        indexes = [models.Index(fields=["source", "state"], name="integrations_delivery_idx")]

    def __str__(self) -> str:
        return f"{self.source.name} delivery {self.pk}"


class DeliveryFile(models.Model):
    """One received file: what it is called, what it is for, and where the tenant's storage has its bytes.

    ``path`` is empty where the bytes were never stored (a command reads them in place) or were dropped since.
    """

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="files")
    role = models.CharField(max_length=20)
    name = models.CharField(max_length=255)
    path = models.CharField(max_length=500, blank=True)
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()
    dropped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["delivery", "role", "name"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "name"], name="integrations_delivery_file_once"),
            models.CheckConstraint(
                condition=Q(dropped_at__isnull=True) | Q(path=""), name="integrations_delivery_file_dropped"
            ),
        ]

    def __str__(self) -> str:
        return self.name
