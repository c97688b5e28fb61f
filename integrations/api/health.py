"""``/api/v1/sync-health/``: how fresh each source is, and ``/api/v1/incidents/``: what is wrong now."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from integrations.models import Incident
from integrations.models.incident import LIVE_INCIDENTS, IncidentState, Severity
from integrations.sync_health import Health, sync_health

_MOST = 500


class SyncHealthSerializer(serializers.Serializer[Any]):
    """One source against the service level of its contract."""

    source = serializers.CharField()  # type: ignore[assignment]  # a field's name, not the base class's option
    health = serializers.ChoiceField(choices=[health.value for health in Health])
    age_hours = serializers.FloatField(allow_null=True, help_text="Since the last load; null where there was none.")
    max_age_hours = serializers.FloatField(help_text="What the contract promises.")
    last_sync_at = serializers.DateTimeField(allow_null=True)
    data_until = serializers.DateField(allow_null=True)
    failures_in_a_row = serializers.IntegerField(help_text="Newest deliveries that were refused.")
    message = serializers.CharField()


class SyncHealthListSerializer(serializers.Serializer[Any]):
    """Every source, by name."""

    results = SyncHealthSerializer(many=True)


class SyncHealthView(APIView):
    """Whether each source's sales come in as its contract promises."""

    @extend_schema(operation_id="sync_health", responses=SyncHealthListSerializer)
    def get(self, request: Request) -> Response:
        return Response({"results": [found.to_json() for found in sync_health()]})


class IncidentSerializer(serializers.Serializer[Incident]):
    """An incident that is not resolved."""

    id = serializers.IntegerField()
    trigger = serializers.CharField()
    subject = serializers.CharField()
    severity = serializers.ChoiceField(choices=[value.value for value in Severity])
    state = serializers.ChoiceField(choices=[value.value for value in IncidentState])
    summary = serializers.CharField()
    occurrences = serializers.IntegerField()
    opened_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    acknowledged_by = serializers.CharField(source="acknowledged_by_name")


class IncidentListSerializer(serializers.Serializer[Any]):
    """What is wrong now, the worst first."""

    results = IncidentSerializer(many=True)


class IncidentsView(APIView):
    """What is wrong now, the worst first."""

    @extend_schema(operation_id="incidents", responses=IncidentListSerializer)
    def get(self, request: Request) -> Response:
        live = Incident.objects.filter(state__in=LIVE_INCIDENTS).order_by("severity", "opened_at")[:_MOST]
        return Response({"results": [IncidentSerializer(incident).data for incident in live]})
