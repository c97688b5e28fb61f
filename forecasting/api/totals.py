"""``/api/v1/forecasts/totals/``: the total, stores and categories, adding up with the series' forecasts."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from forecasting.api.forecasts import IF_NONE_MATCH, PAGED, ForecastListView, PageHeadSerializer, page_responses
from forecasting.api.rows import Page, RowFormat
from forecasting.api.sets import ServedSet
from forecasting.api.total_rows import COLUMNS, TotalFilter, total_page
from forecasting.models import ForecastNodePath, Level
from ledger.api.errors import InvalidQuery
from ledger.api.params import Param, Query, one_of


def _levels() -> list[str]:
    return [str(value) for value in Level.values]


class TotalRowSerializer(serializers.Serializer[Any]):
    """The total, one store or one category on one day, in units."""

    level = serializers.CharField(help_text="total, store or category.")
    key = serializers.CharField(help_text="Store or category; empty for the total, and for series without a category.")
    series = serializers.IntegerField(help_text="Number of series that it is the sum of.")
    origin_date = serializers.DateField(help_text="Last day known when it was made.")
    target_date = serializers.DateField(help_text="The day (or the first day of the week) that it speaks of.")
    horizon = serializers.IntegerField(help_text="Steps after the origin, from 1.")
    yhat = serializers.FloatField(help_text="Expected demand: the sum of the series' yhat.")
    lo80 = serializers.FloatField(help_text="Bounds are of the sum itself, not sums of bounds.")
    hi80 = serializers.FloatField()
    lo95 = serializers.FloatField()
    hi95 = serializers.FloatField()
    model_version = serializers.IntegerField()


class TotalPageSerializer(PageHeadSerializer):
    """A page of rows of one forecast set, by level, key and horizon."""

    results = TotalRowSerializer(many=True)


class ForecastTotalsView(ForecastListView):
    """Rows of the levels above the series, of one forecast set."""

    columns = COLUMNS
    file = "totals"
    query = Query(
        Param("level", "Only this level: `total`, `store` or `category`.", one_of(_levels), enum=_levels),
        Param("key", "Only this store or category; with `level`, may be repeated.", many=True),
        *PAGED,
    )

    @extend_schema(
        operation_id="forecasts_totals",
        tags=["forecasts"],
        parameters=[*query.openapi(), IF_NONE_MATCH],
        responses=page_responses(TotalPageSerializer, COLUMNS),
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List forecasts of the total, the stores and the categories: by default the champion's newest published."""
        if self.params["key"] and self.params["level"] not in {Level.STORE, Level.CATEGORY}:
            message = "key names a store or a category: say which by level=store or level=category."
            raise InvalidQuery([{"parameter": "key", "message": message}])
        return super().get(request)

    def page(self, served: ServedSet, after: tuple[int, int] | None, row_format: RowFormat) -> Page:
        chosen = TotalFilter(
            level=self.params["level"],
            keys=tuple(self.params["key"]),
            first=self.params["from"],
            last=self.params["to"],
            after=after,
        )
        return total_page(
            forecast_set_id=served.found.pk,
            version=served.version,
            origin=served.found.origin_date,
            chosen=chosen,
            size=self.params["page_size"],
            row_format=row_format,
        )

    def why_empty(self, served: ServedSet) -> str:
        levels = ForecastNodePath.objects.filter(forecast_set=served.found).values_list("level", flat=True)
        there = sorted(set(levels), key=_levels().index)
        if not there:
            return "This set was stored without totals: its version kept no errors to make their intervals from."
        if self.params["level"] is not None and self.params["level"] not in there:
            return f"No series of this set has a {self.params['level']}. There is: {', '.join(there)}."
        return super().why_empty(served)
