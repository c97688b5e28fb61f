"""``/api/v1/forecasts/``: what is served, in bulk and for one series."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.utils.http import http_date, quote_etag
from django.views.decorators.gzip import gzip_page
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import renderers, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forecasting.api.rows import COLUMNS, Page, RowFilter, RowFormat, forecast_page
from forecasting.api.sets import CHAMPION, ServedSet, find_set, read_version, target_days
from forecasting.models import ForecastPath
from forecasting.selectors import path_points
from ledger.api import paging
from ledger.api.base import StrictView
from ledger.api.errors import InvalidQuery, NotHere
from ledger.api.params import Param, Query, day, page_size

VERSION = Param("version", "`champion`, or the number of a version.", read_version, default=CHAMPION)
ORIGIN = Param(
    "origin",
    "Only the forecasts made from this day (the last day known then). Default: the newest.",
    day,
    openapi_type=OpenApiTypes.DATE,
)

IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="ETag to compare."
)


class CsvRenderer(renderers.BaseRenderer):
    """Makes ``?format=csv`` and ``Accept: text/csv`` known; the text itself comes from the query."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return data


class ForecastRowSerializer(serializers.Serializer[Any]):
    """One series on one day, in units."""

    store_id = serializers.CharField()
    product_id = serializers.CharField()
    origin_date = serializers.DateField(help_text="Last day known when it was made.")
    target_date = serializers.DateField(help_text="The day (or the first day of the week) that it speaks of.")
    horizon = serializers.IntegerField(help_text="Steps after the origin, from 1.")
    yhat = serializers.FloatField(help_text="Expected demand.")
    lo80 = serializers.FloatField()
    hi80 = serializers.FloatField()
    lo95 = serializers.FloatField()
    hi95 = serializers.FloatField()
    family = serializers.CharField(help_text="The model family that really made it.")
    model_version = serializers.IntegerField()


class PageHeadSerializer(serializers.Serializer[Any]):
    """What stands above the rows of a page."""

    model_version = serializers.IntegerField()
    is_champion = serializers.BooleanField()
    origin_date = serializers.DateField()
    horizon = serializers.IntegerField()
    published_at = serializers.DateTimeField(allow_null=True)
    message = serializers.CharField(allow_null=True, help_text="Says why where no row fits the filters.")
    next = serializers.URLField(allow_null=True)


class ForecastPageSerializer(PageHeadSerializer):
    """A page of rows of one forecast set, by series and horizon. All pages of one walk are of the same set."""

    results = ForecastRowSerializer(many=True)


class ForecastPointSerializer(serializers.Serializer[Any]):
    """One step of a path."""

    target_date = serializers.DateField(source="day")
    horizon = serializers.IntegerField()
    yhat = serializers.FloatField()
    lo80 = serializers.FloatField()
    hi80 = serializers.FloatField()
    lo95 = serializers.FloatField()
    hi95 = serializers.FloatField()


class ForecastSeriesSerializer(serializers.Serializer[Any]):
    """The forecast of one series with what is known of it."""

    series = serializers.IntegerField(source="series_id")
    store_id = serializers.CharField(source="series.store_id")
    product_id = serializers.CharField(source="series.product_id")
    category = serializers.CharField(source="series.category")
    first_day = serializers.DateField(source="series.first_day", allow_null=True, help_text="First day of demand.")
    last_day = serializers.DateField(source="series.last_day", allow_null=True, help_text="Last day of demand.")
    model_version = serializers.IntegerField(source="forecast_set.version.number")
    is_champion = serializers.BooleanField()
    origin_date = serializers.DateField(source="forecast_set.origin_date")
    published_at = serializers.DateTimeField(source="forecast_set.published_at", allow_null=True)
    step_days = serializers.IntegerField()
    family = serializers.CharField()
    flags = serializers.ListField(
        child=serializers.CharField(), help_text="What to know, e.g. cold_start, declined:prophet, capped (docs/api.md)"
    )
    path = ForecastPointSerializer(many=True)


PAGED = (
    Param("from", "First target date, included.", day, openapi_type=OpenApiTypes.DATE),
    Param("to", "Last target date, included.", day, openapi_type=OpenApiTypes.DATE),
    VERSION,
    ORIGIN,
    page_size(default=1_000, most=10_000),
    paging.CURSOR,
    Param("format", "`json` or `csv`; the Accept header does the same.", enum=lambda: ["json", "csv"]),
)
"""What every list of forecast rows can be asked."""


def page_responses(serializer: type[serializers.Serializer[Any]], columns: tuple[str, ...]) -> dict[Any, Any]:
    """What a list of forecast rows answers, for the OpenAPI document."""
    return {
        (200, "application/json"): serializer,
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description=f"Columns: {', '.join(columns)}."),
        304: OpenApiResponse(description="Nothing changed since the ETag or date that was sent."),
    }


@method_decorator(gzip_page, name="dispatch")
class ForecastListView(StrictView):
    """Rows of one forecast set."""

    renderer_classes = (renderers.JSONRenderer, CsvRenderer)
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    file: ClassVar[str] = "forecasts"
    query = Query(
        Param("store", "Only this store; may be repeated.", many=True),
        Param("product", "Only this product; may be repeated.", many=True),
        *PAGED,
    )

    @extend_schema(
        operation_id="forecasts_list",
        tags=["forecasts"],
        parameters=[*query.openapi(), IF_NONE_MATCH],
        responses=page_responses(ForecastPageSerializer, COLUMNS),
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List forecasts in bulk: by default the champion's newest published ones."""
        first, last = self.params["from"], self.params["to"]
        if first and last and first > last:
            message = f"from ({first}) is after to ({last}); swap them."
            raise InvalidQuery([{"parameter": "from", "message": message}])
        served, after = self._start()
        etag = _etag(served, request.get_full_path(), str(request.accepted_renderer.format))
        modified = int(served.since.timestamp())
        answer = get_conditional_response(request._request, etag=etag, last_modified=modified)
        if answer is None:
            answer = self._answer(request, served, after)
        answer.headers["ETag"] = etag
        answer.headers.setdefault("Last-Modified", http_date(modified))
        return answer

    def _start(self) -> tuple[ServedSet, tuple[int, int] | None]:
        """The set to read and where to go on. A walk stays with the set that it began with, whoever is champion now."""
        served = None
        after = None
        if self.params["cursor"]:
            number, origin, series, horizon = paging.decode(
                self.params["cursor"],
                readers=(paging.integer, date.fromisoformat, paging.integer, paging.integer),
                filters=self.filters(),
            )
            served, after = find_set(version=number, origin=origin), (series, horizon)
        return served or find_set(version=self.params["version"], origin=self.params["origin"]), after

    def page(self, served: ServedSet, after: tuple[int, int] | None, row_format: RowFormat) -> Page:
        """The rows that the parameters choose, after a key."""
        chosen = RowFilter(
            stores=tuple(self.params["store"]),
            products=tuple(self.params["product"]),
            first=self.params["from"],
            last=self.params["to"],
            after=after,
        )
        return forecast_page(
            forecast_set_id=served.found.pk,
            version=served.version,
            origin=served.found.origin_date,
            chosen=chosen,
            size=self.params["page_size"],
            row_format=row_format,
        )

    def why_empty(self, served: ServedSet) -> str:
        """Why a page holds no row."""
        first, last = target_days(served.found)
        return (
            f"No forecast fits these filters. This set holds {served.found.series_count} series on "
            f"{served.found.horizon} steps from {first}"
            + (f" (to {last} where a step is a day)." if last > first else ".")
        )

    def _answer(self, request: Request, served: ServedSet, after: tuple[int, int] | None) -> HttpResponse:
        row_format = RowFormat(request.accepted_renderer.format)
        page = self.page(served, after, row_format)
        cursor = None
        if page.more_after is not None:
            key = [served.version, served.found.origin_date.isoformat(), *page.more_after]
            cursor = paging.encode(key, filters=self.filters())
        following = paging.next_url(request, cursor)
        if row_format is RowFormat.CSV:
            answer = _csv(page, self.columns)
            answer.headers["Content-Disposition"] = (
                f'inline; filename="{self.file}-v{served.version}-{served.found.origin_date}.csv"'
            )
        else:
            message = None if page.rows else self.why_empty(served)
            answer = HttpResponse(_json(page, served, following, message), content_type="application/json")
        if following:
            answer.headers["Link"] = f'<{following}>; rel="next"'
        return answer


class ForecastDetailView(StrictView):
    """The path of one series."""

    query = Query(VERSION, ORIGIN)

    @extend_schema(
        operation_id="forecasts_retrieve",
        tags=["forecasts"],
        parameters=query.openapi(),
        responses={
            (200, "application/json"): ForecastSeriesSerializer,
            304: OpenApiResponse(description="Nothing changed since the ETag or date that was sent."),
        },
    )
    def get(self, request: Request, series: int) -> HttpResponseBase:
        """Show the forecast path of one series, with its intervals and what made it."""
        served = find_set(version=self.params["version"], origin=self.params["origin"])
        etag = _etag(served, request.get_full_path(), "json")
        modified = int(served.since.timestamp())
        answer: HttpResponseBase | None = get_conditional_response(request._request, etag=etag, last_modified=modified)
        if answer is None:
            answer = Response(ForecastSeriesSerializer(path_of(served, series)).data)
        answer.headers["ETag"] = etag
        answer.headers.setdefault("Last-Modified", http_date(modified))
        return answer


def path_of(served: ServedSet, series: int) -> ForecastPath:
    """The path of a series in a set, with what the serializer shows of it; NotHere where the set has none."""
    path = ForecastPath.objects.select_related("series").filter(forecast_set=served.found, series_id=series).first()
    if path is None:
        raise NotHere(
            f"Version {served.version} has no forecast of a series {series} from {served.found.origin_date}. "
            "/api/v1/forecasts/ lists what it has."
        )
    path.forecast_set = served.found
    path.is_champion = served.is_champion  # type: ignore[attr-defined]  # read by the serializer
    path.path = path_points(path)  # type: ignore[attr-defined]  # read by the serializer
    return path


def _json(page: Page, served: ServedSet, following: str | None, message: str | None) -> str:
    found = served.found
    head = {
        "model_version": served.version,
        "is_champion": served.is_champion,
        "origin_date": found.origin_date.isoformat(),
        "horizon": found.horizon,
        "published_at": timezone.localtime(found.published_at).isoformat() if found.published_at else None,
        "message": message,
        "next": following,
    }
    return f'{json.dumps(head)[:-1]}, "results": [{page.text}]}}'


def _csv(page: Page, columns: tuple[str, ...]) -> HttpResponse:
    lines = ",".join(columns) + "\r\n" + (page.text + "\r\n" if page.rows else "")
    return HttpResponse(lines, content_type="text/csv; charset=utf-8; header=present")


def _etag(served: ServedSet, address: str, row_format: str) -> str:
    """A set's rows are never rewritten, so its key and publication, with the address, name the answer's bytes."""
    found = served.found
    facts = (found.pk, found.created_at, found.published_at, served.since, served.is_champion, address, row_format)
    return quote_etag(hashlib.sha256(repr(facts).encode()).hexdigest()[:32])
