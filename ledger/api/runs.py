"""``/api/v1/runs/``: background jobs, their state and how far they are."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ledger.api import paging
from ledger.api.base import ConditionalView, page_of
from ledger.api.errors import NotHere
from ledger.api.params import Param, Query, one_of, page_size
from ledger.jobs import all_kinds, job_title
from ledger.models import Run, RunState


def _kinds() -> list[str]:
    return [kind.kind for kind in all_kinds()]


class ProgressSerializer(serializers.Serializer[Run]):
    """How far a run is, in units of its own."""

    done = serializers.IntegerField(source="progress_done")
    total = serializers.IntegerField(source="progress_total", help_text="0 where it is not known.")
    percent = serializers.IntegerField(source="progress_percent", allow_null=True)
    message = serializers.CharField(source="progress_message")


class RunSerializer(serializers.Serializer[Run]):
    """A run as lists show it."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    title = serializers.SerializerMethodField()
    scope = serializers.CharField()
    state = serializers.ChoiceField(choices=RunState.choices)
    progress = ProgressSerializer(source="*")
    attempt = serializers.IntegerField()
    parent = serializers.UUIDField(  # type: ignore[assignment]  # the public name; the framework's own is unused here
        source="parent_id", allow_null=True
    )
    requested_by = serializers.CharField(source="requested_by_name")
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error_code = serializers.CharField()

    def get_title(self, run: Run) -> str:
        return job_title(run.kind)


class RunDetailSerializer(RunSerializer):
    """A run with what went in, what came out and what went wrong."""

    correlation_id = serializers.UUIDField()
    max_attempts = serializers.IntegerField()
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    inputs = serializers.DictField(source="shown_inputs")
    outputs = serializers.DictField()
    error = serializers.CharField()
    children = serializers.ListField(child=serializers.UUIDField(), source="child_ids")


class RunPageSerializer(serializers.Serializer[Run]):
    """A page of runs, newest first."""

    next = serializers.URLField(allow_null=True)
    results = RunSerializer(many=True)


class RunListView(ConditionalView):
    """Runs of this tenant, newest first."""

    query = Query(
        Param("kind", "Only this kind of job.", one_of(_kinds)),
        Param("state", "Only runs in this state.", one_of(lambda: RunState.values), enum=lambda: RunState.values),
        page_size(default=50, most=500),
        paging.CURSOR,
    )

    @extend_schema(operation_id="runs_list", tags=["runs"], parameters=query.openapi(), responses=RunPageSerializer)
    def get(self, request: Request) -> Response:
        """List background jobs, newest first."""
        rows: QuerySet[Run] = Run.objects.order_by("-queued_at", "-id")
        if self.params["kind"]:
            rows = rows.filter(kind=self.params["kind"])
        if self.params["state"]:
            rows = rows.filter(state=self.params["state"])
        if self.params["cursor"]:
            queued_at, run_id = paging.decode(
                self.params["cursor"], readers=(_moment, uuid.UUID), filters=self.filters()
            )
            rows = rows.filter(Q(queued_at__lt=queued_at) | Q(queued_at=queued_at, id__lt=run_id))
        rows = rows.defer("inputs", "outputs", "artifacts", "attempts_log", "error")
        return page_of(self, request, rows, key=("queued_at", "id"), serializer=RunSerializer)


class RunDetailView(ConditionalView):
    """One run."""

    @extend_schema(
        operation_id="runs_retrieve", tags=["runs"], responses={(200, "application/json"): RunDetailSerializer}
    )
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """Show one background job with its progress, inputs, outputs and error."""
        run: Any = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise NotHere(f"There is no run {run_id} in this tenant. /api/v1/runs/ lists those that exist.")
        run.child_ids = list(Run.objects.filter(parent_id=run_id).order_by("queued_at").values_list("pk", flat=True))
        return Response(RunDetailSerializer(run).data)


def _moment(text: Any) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment
