"""``/api/v1/gate-reports/`` and ``/api/v1/gate-policy/``: judgements, and what candidates are judged by."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forecasting.api.moments import read_moment
from forecasting.models import GatePolicy, GateReport
from forecasting.models.gate import Verdict
from ledger.api import paging
from ledger.api.base import ConditionalView, page_of
from ledger.api.errors import NotHere
from ledger.api.params import Param, Query, one_of, page_size, whole_number

_NUMBER = whole_number(1, 2**31 - 1)


class GateResultSerializer(serializers.Serializer[Any]):
    """One gate: what it compared and what came of it."""

    name = serializers.CharField()
    scope = serializers.CharField(help_text="ds, business, evidence, operations or refresh.")
    champion = serializers.JSONField(allow_null=True)
    candidate = serializers.JSONField(allow_null=True)
    threshold = serializers.JSONField(allow_null=True)
    passed = serializers.BooleanField()
    missing = serializers.BooleanField(default=False, help_text="Whether it failed because an input was missing.")
    reason = serializers.CharField()


class GateReportSerializer(serializers.Serializer[GateReport]):
    """A judgement as lists show it."""

    id = serializers.IntegerField()
    candidate = serializers.IntegerField(source="candidate.number")
    champion = serializers.IntegerField(
        source="champion.number", allow_null=True, default=None, help_text="Null: judged against seasonal naive."
    )
    policy = serializers.IntegerField(source="policy.version")
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    sentence = serializers.CharField(source="said", allow_null=True)
    run = serializers.UUIDField(source="run_id")
    sha256 = serializers.CharField(help_text="Of verdict, gates and evidence; a report never changes.")
    created_at = serializers.DateTimeField()


class GateReportDetailSerializer(GateReportSerializer):
    """A judgement with its gates and its evidence."""

    gates = GateResultSerializer(many=True, source="results")
    evidence = serializers.DictField()


class GateReportPageSerializer(serializers.Serializer[GateReport]):
    """A page of judgements, newest first."""

    next = serializers.URLField(allow_null=True)
    results = GateReportSerializer(many=True)


class GatePolicySerializer(serializers.Serializer[GatePolicy]):
    """A version of the thresholds."""

    version = serializers.IntegerField()
    in_force = serializers.BooleanField(source="is_active")
    sha256 = serializers.CharField()
    reason = serializers.CharField(help_text="Why it replaced the one before.")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by_name")
    body = serializers.DictField(help_text="Thresholds, cost assumptions, readiness, refresh guard.")


def _reports() -> QuerySet[Any]:
    big = [f"{side}__{name}" for side in ("candidate", "champion")
           for name in ("manifest", "backtest", "evaluation", "notes")]  # fmt: skip
    rows = GateReport.objects.select_related("candidate", "champion", "policy").defer(*big, "policy__body")
    return rows.annotate(said=KeyTextTransform("sentence", "evidence"))


class GateReportListView(ConditionalView):
    """Judgements of this tenant, newest first."""

    query = Query(
        Param("candidate", "Only judgements of this version.", _NUMBER, openapi_type=OpenApiTypes.INT),
        Param("verdict", "Only this verdict.", one_of(lambda: Verdict.values), enum=lambda: Verdict.values),
        page_size(default=50, most=200),
        paging.CURSOR,
    )

    @extend_schema(
        operation_id="gate_reports_list",
        tags=["promotion"],
        parameters=query.openapi(),
        responses=GateReportPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """List judgements, newest first."""
        rows = _reports().defer("evidence", "results").order_by("-created_at", "-id")
        if self.params["candidate"] is not None:
            rows = rows.filter(candidate__number=self.params["candidate"])
        if self.params["verdict"]:
            rows = rows.filter(verdict=self.params["verdict"])
        if self.params["cursor"]:
            at, pk = paging.decode(self.params["cursor"], readers=(read_moment, paging.integer), filters=self.filters())
            rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=pk))
        return page_of(self, request, rows, key=("created_at", "id"), serializer=GateReportSerializer)


class GateReportDetailView(ConditionalView):
    """One judgement."""

    @extend_schema(
        operation_id="gate_reports_retrieve",
        tags=["promotion"],
        responses={(200, "application/json"): GateReportDetailSerializer},
    )
    def get(self, request: Request, report_id: int) -> Response:
        """Show a judgement with every gate and its evidence."""
        found = _reports().filter(pk=report_id).first()
        if found is None:
            raise NotHere(f"There is no gate report {report_id} in this tenant. /api/v1/gate-reports/ lists them.")
        return Response(GateReportDetailSerializer(found).data)


class GatePolicyView(ConditionalView):
    """The policy."""

    query = Query(
        Param("version", "An earlier version. Default: the one in force.", _NUMBER, openapi_type=OpenApiTypes.INT)
    )

    @extend_schema(
        operation_id="gate_policy_retrieve",
        tags=["promotion"],
        parameters=query.openapi(),
        responses={(200, "application/json"): GatePolicySerializer},
    )
    def get(self, request: Request) -> Response:
        """Show what candidates are judged by: the gate policy in force, or an earlier version of it."""
        number = self.params["version"]
        rows = GatePolicy.objects.filter(version=number) if number else GatePolicy.objects.filter(is_active=True)
        found = rows.first()
        if found is None:
            known = ", ".join(map(str, GatePolicy.objects.values_list("version", flat=True)[:8]))
            there = f"Versions: {known}." if known else "None was kept yet: the first judgement keeps the defaults."
            raise NotHere(f"There is no gate policy {f'v{number}' if number else 'in force'} in this tenant. {there}")
        return Response(GatePolicySerializer(found).data)
