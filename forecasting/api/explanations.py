"""``/api/v1/forecasts/{series}/explanation/``: why a served forecast is what it is."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forecasting.api.forecasts import ORIGIN, VERSION, path_of
from forecasting.api.sets import find_set
from forecasting.services.explaining import ForecastReasons, explain_point, point_of
from integrations.api.throttling import TokenRateThrottle
from ledger.api.base import ConditionalView
from ledger.api.errors import NotHere
from ledger.api.params import Param, Query, day


class ContributionSerializer(serializers.Serializer[Any]):
    """What one feature of a model did."""

    feature = serializers.CharField(help_text="Its name in the model.")
    label = serializers.CharField(  # type: ignore[assignment]  # the public name; the framework's own is unused here
        help_text="Its name in words."
    )
    value = serializers.CharField(help_text="What it was on that day, in words.")
    effect = serializers.FloatField(help_text="In the member's scale.")


class ContributionGroupSerializer(serializers.Serializer[Any]):
    """Features that belong together; its effect is their sum."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the public name; the framework's own is unused here
    effect = serializers.FloatField()
    contributions = ContributionSerializer(many=True)


class ExplanationMemberSerializer(serializers.Serializer[Any]):
    """One family's part in the forecast, with its own reasons."""

    family = serializers.CharField()
    weight = serializers.FloatField(help_text="Its share in the forecast; the shares of all members sum to 1.")
    yhat = serializers.FloatField(help_text="What this family forecast, in units.")
    scale = serializers.ChoiceField(
        choices=["factor", "units"],
        allow_null=True,
        help_text="factor: raw = base × exp(sum of effects); units: raw = base + sum of effects; null: a mean of past "
        "days, which has nothing to take apart.",
    )
    base = serializers.FloatField(allow_null=True, help_text="Where it starts before any reason, in units.")
    raw = serializers.FloatField(allow_null=True, help_text="The model's own answer, before limits, in units.")
    note = serializers.CharField(help_text="Where yhat is not raw, or there is nothing to take apart: why.")
    groups = ContributionGroupSerializer(many=True, help_text="The strongest first.")


class DeclinedFamilySerializer(serializers.Serializer[Any]):
    """A family that was chosen for the series' kind of demand and made no forecast of it."""

    family = serializers.CharField()
    reason = serializers.CharField()


class ForecastExplanationSerializer(serializers.Serializer[ForecastReasons]):
    """One forecast value and its reasons."""

    series = serializers.IntegerField(source="path.series_id")
    store_id = serializers.CharField(source="path.series.store_id")
    product_id = serializers.CharField(source="path.series.product_id")
    model_version = serializers.IntegerField(source="path.forecast_set.version.number")
    is_champion = serializers.BooleanField(source="path.is_champion")
    origin_date = serializers.DateField(source="path.forecast_set.origin_date")
    target_date = serializers.DateField(source="point.day")
    horizon = serializers.IntegerField(source="point.horizon")
    yhat = serializers.FloatField(source="point.yhat", help_text="The stored forecast, which the reasons add up to.")
    explained = serializers.SerializerMethodField(
        help_text="Whether the model, asked again, gives the stored forecast; only then are there reasons."
    )
    why_not = serializers.CharField(help_text="Why it cannot be explained; empty where it is.")
    note = serializers.SerializerMethodField(help_text="Where the members together are not the forecast: why.")
    members = serializers.SerializerMethodField()
    declined = serializers.SerializerMethodField(help_text="Families that were chosen for it and declined, and why.")

    def get_explained(self, reasons: ForecastReasons) -> bool:
        return reasons.explanation is not None

    def get_note(self, reasons: ForecastReasons) -> str:
        return reasons.explanation.note if reasons.explanation is not None else ""

    @extend_schema_field(ExplanationMemberSerializer(many=True))
    def get_members(self, reasons: ForecastReasons) -> Any:
        members = reasons.explanation.members if reasons.explanation is not None else ()
        return ExplanationMemberSerializer(members, many=True).data

    @extend_schema_field(DeclinedFamilySerializer(many=True))
    def get_declined(self, reasons: ForecastReasons) -> Any:
        found = reasons.explanation.declined if reasons.explanation is not None else ()
        return [{"family": family, "reason": reason} for family, reason in found]


class ExplanationRateThrottle(TokenRateThrottle):
    """Rate ``explanation`` of the settings: an answer loads a model and asks it again, a tenth of a second of work."""

    scope = "explanation"


class ForecastExplanationView(ConditionalView):
    """The reasons of one forecast value."""

    throttle_classes = (TokenRateThrottle, ExplanationRateThrottle)
    query = Query(
        VERSION,
        ORIGIN,
        Param(
            "target_date",
            "The day (or the first day of the week) that is explained. Default: the first that was forecast.",
            day,
            openapi_type=OpenApiTypes.DATE,
        ),
    )

    @extend_schema(
        operation_id="forecasts_explanation_retrieve",
        tags=["forecasts"],
        parameters=query.openapi(),
        responses={(200, "application/json"): ForecastExplanationSerializer},
    )
    def get(self, request: Request, series: int) -> Response:
        """Explain one forecast: each family's weight, and what moved it, from the model that made it."""
        served = find_set(version=self.params["version"], origin=self.params["origin"])
        path = path_of(served, series)
        point = point_of(path, self.params["target_date"])
        if point is None:
            raise NotHere(
                f"The forecast of series {series} from {served.found.origin_date} has no step on "
                f"{self.params['target_date']}. /api/v1/forecasts/{series}/ lists its days."
            )
        return Response(ForecastExplanationSerializer(explain_point(path, point)).data)
