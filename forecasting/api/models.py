"""``/api/v1/models/``: the registry, read-only."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTransform
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forecasting.models import ChampionAssignment, Channel, ModelVersion, VersionStatus
from forecasting.models.registry import TrainingMode
from ledger.api import paging
from ledger.api.base import ConditionalView, page_of
from ledger.api.errors import NotHere
from ledger.api.params import Param, Query, one_of, page_size


class ScoreSerializer(serializers.Serializer[Any]):
    """A score; ``value`` is null, never 0, where it is undefined, and ``reason`` says why."""

    value = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField(help_text="Rows behind it.")
    reason = serializers.CharField(allow_null=True)


class ScoresSerializer(serializers.Serializer[ModelVersion]):
    """Scores of a version's spec; null where they were not computed."""

    backtest = serializers.DictField(source="backtest_overall", child=ScoreSerializer(), allow_null=True)
    holdout = serializers.DictField(source="holdout_overall", child=ScoreSerializer(), allow_null=True)


class ModelSerializer(serializers.Serializer[ModelVersion]):
    """A version as lists show it."""

    version = serializers.IntegerField(source="number")
    status = serializers.ChoiceField(choices=VersionStatus.choices)
    is_champion = serializers.BooleanField()
    champion_since = serializers.DateTimeField(allow_null=True)
    spec = serializers.CharField(source="spec.label")
    spec_sha256 = serializers.CharField(source="spec.sha256")
    mode = serializers.ChoiceField(choices=TrainingMode.choices)
    decision = serializers.IntegerField(
        source="decision_id", allow_null=True, help_text="Decision of a strategy cycle that its spec is of; else null."
    )
    as_of = serializers.DateField(help_text="Last day of data that the serving fit has seen.")
    scores = ScoresSerializer(source="*", help_text="All series together, by name of the score.")
    run = serializers.UUIDField(source="run_id", help_text="The run that trained it.")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by_name")


class ModelDetailSerializer(ModelSerializer):
    """A version with its windows, its scores by week, class and store, and what was declined."""

    evaluation_window = serializers.DictField(help_text="Dates of the fit that was judged.")
    serving_window = serializers.DictField(help_text="Dates of the refit that serves.")
    backtest = serializers.DictField()
    evaluation = serializers.DictField(help_text="Scores on the sealed holdout, where it was opened.")
    notes = serializers.ListField()
    error = serializers.CharField()


class ModelPageSerializer(serializers.Serializer[ModelVersion]):
    """A page of versions, newest first."""

    next = serializers.URLField(allow_null=True)
    results = ModelSerializer(many=True)


class ModelListView(ConditionalView):
    """Versions of this tenant, newest first."""

    query = Query(
        Param(
            "status",
            "Only versions in this status.",
            one_of(lambda: VersionStatus.values),
            enum=lambda: VersionStatus.values,
        ),
        page_size(default=50, most=500),
        paging.CURSOR,
    )

    @extend_schema(
        operation_id="models_list", tags=["models"], parameters=query.openapi(), responses=ModelPageSerializer
    )
    def get(self, request: Request) -> Response:
        """List model versions, newest first."""
        rows = _versions().defer("manifest", "backtest", "evaluation", "notes", "error", "spec__body")
        if self.params["status"]:
            rows = rows.filter(status=self.params["status"])
        if self.params["cursor"]:
            [number] = paging.decode(self.params["cursor"], readers=(paging.integer,), filters=self.filters())
            rows = rows.filter(number__lt=number)
        return page_of(self, request, rows, key=("number",), serializer=ModelSerializer)


class ModelDetailView(ConditionalView):
    """One version."""

    @extend_schema(
        operation_id="models_retrieve", tags=["models"], responses={(200, "application/json"): ModelDetailSerializer}
    )
    def get(self, request: Request, version: int) -> Response:
        """Show one model version with its windows and scores."""
        found = _versions().filter(number=version).first()
        if found is None:
            raise NotHere(f"There is no version {version} in this tenant. /api/v1/models/ lists those that exist.")
        return Response(ModelDetailSerializer(found).data)


def _versions() -> QuerySet[Any]:
    """Versions with the facts that stand in other rows, in one query."""
    reigns = ChampionAssignment.objects.filter(channel=Channel.LIVE, to_at__isnull=True, version=OuterRef("pk"))
    return (
        ModelVersion.objects.select_related("spec")
        .annotate(
            is_champion=Exists(reigns),
            champion_since=Subquery(reigns.values("from_at")[:1]),
            backtest_overall=KeyTransform("overall", KeyTransform("scores", "backtest")),
            holdout_overall=KeyTransform("overall", KeyTransform("scores", "evaluation")),
        )
        .order_by("-number")
    )
