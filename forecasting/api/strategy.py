"""``/api/v1/strategy/``: is one model enough, or a mixture? The newest cycle, its sweep and what was decided."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.models.strategy import DecisionKind, StrategyMeasure
from forecasting.services.strategy_decisions import standing_decision
from ledger.api.base import ConditionalView
from ledger.api.errors import NotHere


class StrategyDecisionSerializer(serializers.Serializer[StrategyDecision]):
    """A decision on a cycle. It changes nothing of what serves."""

    kind = serializers.ChoiceField(
        choices=DecisionKind.choices, help_text="proposed by the cycle; accepted by a person, or chosen instead."
    )
    point = serializers.CharField(help_text="Key of the point of the sweep.")
    mode = serializers.CharField(help_text="single_<family> or ensemble.")
    spec_label = serializers.CharField()
    spec_sha256 = serializers.CharField()
    reason = serializers.CharField()
    decided_by = serializers.CharField(source="decided_by_name")
    decided_at = serializers.DateTimeField(source="created_at")


class StrategyFigureSerializer(serializers.Serializer[Any]):
    """A score or cost with its central 95% interval over series; null, never 0, where it is not known."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField(help_text="Rows or paths behind it.")
    reason = serializers.CharField(allow_null=True, help_text="Why the value, or else the interval, is null.")
    confidence = serializers.CharField(allow_null=True, help_text="Of orders and costs: measured or estimated.")


class StrategyPointSerializer(serializers.Serializer[Any]):
    """Weights that were tried, and what they came to."""

    key = serializers.CharField()
    kind = serializers.ChoiceField(choices=["single", "pair", "fitted"])
    spec = serializers.CharField(source="label")
    weights = serializers.DictField(
        child=serializers.DictField(child=serializers.FloatField()), help_text="Demand class, or *, to family to share."
    )
    why_not = serializers.CharField(help_text="Why it may not be proposed; empty where it may.")
    figures = serializers.DictField(child=StrategyFigureSerializer(), help_text="Every score and cost by name.")


class StrategySerializer(serializers.Serializer[StrategyCycle]):
    """The newest cycle."""

    cycle = serializers.IntegerField(source="pk")
    run = serializers.UUIDField(source="run_id", help_text="The run that made it.")
    as_of = serializers.DateField(help_text="Last day of data, the sealed holdout included.")
    horizon = serializers.IntegerField(help_text="Steps ahead.")
    origins = serializers.ListField(source="report.sweep.origins", child=serializers.DateField())
    fingerprint = serializers.CharField(help_text="SHA-256 of the data that it saw.")
    measure = serializers.ChoiceField(choices=StrategyMeasure.choices, help_text="What the recommendation goes by.")
    sentence = serializers.CharField(help_text="The recommendation in words.")
    currency = serializers.CharField(source="report.currency")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by_name")
    decision = serializers.SerializerMethodField(help_text="What stands: a person's last word, else the proposal.")
    decisions = StrategyDecisionSerializer(many=True, help_text="All of them, newest first.", source="decisions.all")
    points = StrategyPointSerializer(many=True, source="report.sweep.points", help_text="The whole sweep.")

    @extend_schema_field(StrategyDecisionSerializer)
    def get_decision(self, cycle: StrategyCycle) -> Any:
        return StrategyDecisionSerializer(standing_decision(cycle)).data


class StrategyView(ConditionalView):
    """The newest cycle."""

    @extend_schema(
        operation_id="strategy_retrieve", tags=["models"], responses={(200, "application/json"): StrategySerializer}
    )
    def get(self, request: Request) -> Response:
        """Show the newest strategy cycle: the sweep with every score and cost, the proposal, and what was decided."""
        cycle = StrategyCycle.objects.prefetch_related("decisions").first()
        if cycle is None:
            raise NotHere(
                "No strategy cycle was run yet. An analyst starts one on the page “Strategy”, or: manage.py "
                "run_strategy_cycle SCHEMA."
            )
        return Response(StrategySerializer(cycle).data)
