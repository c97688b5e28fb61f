"""Tables of the tenant's integrations."""

from integrations.models.batch import BatchFile, IngestBatch, RejectedRow
from integrations.models.connection import PulledFile, SftpConnection
from integrations.models.delivery import Delivery, DeliveryFile
from integrations.models.draft import DraftFile, OnboardingDraft
from integrations.models.drift import DriftItem
from integrations.models.incident import Incident, IncidentEvent
from integrations.models.source import Contract, Source
from integrations.models.token import ApiToken
from integrations.models.webhook import (
    EndpointState,
    SendState,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

__all__ = [
    "ApiToken",
    "BatchFile",
    "Contract",
    "Delivery",
    "DeliveryFile",
    "DraftFile",
    "DriftItem",
    "EndpointState",
    "Incident",
    "IncidentEvent",
    "IngestBatch",
    "OnboardingDraft",
    "PulledFile",
    "RejectedRow",
    "SendState",
    "SftpConnection",
    "Source",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
]
