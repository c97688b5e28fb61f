"""Where a request stands, read from the database."""

from __future__ import annotations

from forecasting.models import PromotionRequest
from tenants.models import Heartbeat


def pending_on_the_heartbeat() -> int:
    return Heartbeat.objects.get(schema_name="alpha").pending_approvals


def state_of(request: PromotionRequest) -> str:
    return PromotionRequest.objects.get(pk=request.pk).state
