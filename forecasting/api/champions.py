"""``/api/v1/champions/`` and ``/api/v1/served/``: who served when, and what was forecast for a day."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from forecasting import selectors_served
from forecasting.api.moments import read_moment
from forecasting.models import ChampionAssignment, Channel
from forecasting.models.assignment import AssignmentKind
from forecasting.selectors_served import DayForecast, DayState, ServedDay, ServicePeriod
from ledger.api import paging
from ledger.api.base import ConditionalView, page_of
from ledger.api.params import Param, Query, day, one_of, page_size

DAY_STATES = [(state.value, state.value) for state in DayState]
_BIG = ("version__manifest", "version__backtest", "version__evaluation", "version__notes")


class ChampionSerializer(serializers.Serializer[ChampionAssignment]):
    """A version's time as champion. A row is only ever closed, never changed."""

    id = serializers.IntegerField()
    version = serializers.IntegerField(source="version.number")
    spec = serializers.CharField(source="version.spec.label")
    kind = serializers.ChoiceField(choices=AssignmentKind.choices)
    assigned_by = serializers.CharField(source="assigned_by_name")
    request = serializers.IntegerField(source="request_id", allow_null=True, help_text="The request behind it.")
    reason = serializers.CharField()
    effective_on = serializers.DateField(help_text="Business day from which it counts.")
    from_at = serializers.DateTimeField()
    to_at = serializers.DateTimeField(allow_null=True, help_text="Null: it serves now.")


class ChampionPageSerializer(serializers.Serializer[ChampionAssignment]):
    """A page of assignments, newest first."""

    next = serializers.URLField(allow_null=True)
    results = ChampionSerializer(many=True)


class ServedSetSerializer(serializers.Serializer[Any]):
    """The forecasts that were in service."""

    id = serializers.IntegerField()
    origin_date = serializers.DateField(help_text="Last day known when they were made.")
    horizon = serializers.IntegerField()
    series = serializers.IntegerField(source="series_count")
    published_at = serializers.DateTimeField()


class ServicePeriodSerializer(serializers.Serializer[ServicePeriod]):
    """One champion with one forecast set, and when it served."""

    champion = ChampionSerializer(source="assignment")
    approved_by = serializers.SerializerMethodField(help_text="Of a refresh: who approved its spec.")
    forecast_set = ServedSetSerializer(allow_null=True, help_text="Null: it had no forecasts yet.")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="Null: it still does.")

    def get_approved_by(self, period: ServicePeriod) -> str:
        return selectors_served.approver_of(period.assignment)


class DayForecastSerializer(serializers.Serializer[DayForecast]):
    """What had been forecast for the day."""

    model_version = serializers.IntegerField(source="forecast_set.version.number")
    origin_date = serializers.DateField(source="forecast_set.origin_date")
    published_at = serializers.DateTimeField(source="forecast_set.published_at")
    target_date = serializers.DateField(help_text="The day, or in weekly grain the last day of its week.")
    horizon = serializers.IntegerField(source="step", help_text="Steps after the origin, from 1.")
    served = serializers.BooleanField(help_text="Whether it was in service on that day.")
    known_then = serializers.BooleanField(help_text="Whether it had been published by the end of that day.")
    series = serializers.IntegerField(source="forecast_set.series_count")
    total = serializers.SerializerMethodField(help_text="All series together, in units; null without stored totals.")
    rows_url = serializers.SerializerMethodField(help_text="Every series' forecast of that day, as it was published.")

    @extend_schema_field(serializers.DictField(child=serializers.FloatField(), allow_null=True))
    def get_total(self, made: DayForecast) -> dict[str, float | None] | None:
        if made.total is None:
            return None
        return {name: made.total_value(name) for name in ("yhat", "lo80", "hi80", "lo95", "hi95")}

    @extend_schema_field(OpenApiTypes.URI)
    def get_rows_url(self, made: DayForecast) -> str:
        url: str = self.context["request"].build_absolute_uri(reverse("api-forecasts"))
        asked = {"version": made.forecast_set.version.number, "origin": made.forecast_set.origin_date,
                 "from": made.target_date, "to": made.target_date}  # fmt: skip
        for name, value in asked.items():
            url = replace_query_param(url, name, str(value))
        return url


class ServedDaySerializer(serializers.Serializer[ServedDay]):
    """What served on a day."""

    on = serializers.DateField(source="day")
    time_zone = serializers.CharField(source="zone", help_text="The day runs from midnight to midnight here.")
    state = serializers.ChoiceField(choices=DAY_STATES)
    message = serializers.CharField()
    periods = ServicePeriodSerializer(many=True, help_text="In the order of the clock; the last ended the day.")
    forecast = DayForecastSerializer(allow_null=True, help_text="Null: no published forecast speaks of the day.")


class ChampionListView(ConditionalView):
    """Champions of this tenant, newest first."""

    query = Query(
        Param(
            "on", "Only those who served at some time of this day, in the tenant's time zone.", day,
            openapi_type=OpenApiTypes.DATE,
        ),
        Param("kind", "Only this kind.", one_of(lambda: AssignmentKind.values), enum=lambda: AssignmentKind.values),
        page_size(default=50, most=200),
        paging.CURSOR,
    )  # fmt: skip

    @extend_schema(
        operation_id="champions_list", tags=["promotion"], parameters=query.openapi(), responses=ChampionPageSerializer
    )
    def get(self, request: Request) -> Response:
        """List who was champion, newest first, or who was on a day."""
        rows: QuerySet[ChampionAssignment] = (
            selectors_served.assignments_on(self.params["on"])
            if self.params["on"]
            else ChampionAssignment.objects.filter(channel=Channel.LIVE).select_related("version__spec")
        )
        if self.params["kind"]:
            rows = rows.filter(kind=self.params["kind"])
        if self.params["cursor"]:
            at, pk = paging.decode(self.params["cursor"], readers=(read_moment, paging.integer), filters=self.filters())
            rows = rows.filter(Q(from_at__lt=at) | Q(from_at=at, id__lt=pk))
        rows = rows.defer(*_BIG).order_by("-from_at", "-id")
        return page_of(self, request, rows, key=("from_at", "id"), serializer=ChampionSerializer)


class ServedView(ConditionalView):
    """What served on a day."""

    query = Query(
        Param("on", "The day, in the tenant's time zone. Default: today.", day, openapi_type=OpenApiTypes.DATE)
    )

    @extend_schema(
        operation_id="served_retrieve",
        tags=["promotion"],
        parameters=query.openapi(),
        responses={(200, "application/json"): ServedDaySerializer},
    )
    def get(self, request: Request) -> Response:
        """Show who served on a day, with which forecasts, and what was forecast for it."""
        answer = selectors_served.served_on(self.params["on"] or timezone.localdate())
        return Response(ServedDaySerializer(answer, context={"request": request}).data)
