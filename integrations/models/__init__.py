"""Tables of the tenant's integrations."""

from integrations.models.batch import BatchFile, IngestBatch, RejectedRow
from integrations.models.connection import PulledFile, SftpConnection
from integrations.models.delivery import Delivery, DeliveryFile
from integrations.models.draft import DraftFile, OnboardingDraft
from integrations.models.drift import DriftItem
from integrations.models.incident import Incident, IncidentEvent
from integrations.models.source import Contract, Source
from integrations.models.token import ApiToken

__all__ = [
    "ApiToken",
    "BatchFile",
    "Contract",
    "Delivery",
    "DeliveryFile",
    "DraftFile",
    "DriftItem",
    "Incident",
    "IncidentEvent",
    "IngestBatch",
    "OnboardingDraft",
    "PulledFile",
    "RejectedRow",
    "SftpConnection",
    "Source",
]
