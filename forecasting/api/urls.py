"""URLs of the forecasting API, under ``/api/v1/``."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from forecasting.api.champions import ChampionListView, ServedView
from forecasting.api.explanations import ForecastExplanationView
from forecasting.api.forecasts import ForecastDetailView, ForecastListView
from forecasting.api.gates import GatePolicyView, GateReportDetailView, GateReportListView
from forecasting.api.models import ModelDetailView, ModelListView
from forecasting.api.promotions import (
    ApproveView,
    PromotionDetailView,
    PromotionListView,
    RejectView,
    WithdrawView,
)
from forecasting.api.strategy import StrategyView
from forecasting.api.totals import ForecastTotalsView


class KeyConverter(IntConverter):
    """A number of at most 18 digits, so that it always fits a database key."""

    regex = "[0-9]{1,18}"


register_converter(KeyConverter, "key")

urlpatterns = [
    path("forecasts/", ForecastListView.as_view(), name="api-forecasts"),
    path("forecasts/totals/", ForecastTotalsView.as_view(), name="api-totals"),
    path("forecasts/<key:series>/", ForecastDetailView.as_view(), name="api-forecast"),
    path("forecasts/<key:series>/explanation/", ForecastExplanationView.as_view(), name="api-explanation"),
    path("models/", ModelListView.as_view(), name="api-models"),
    path("models/<key:version>/", ModelDetailView.as_view(), name="api-model"),
    path("promotion-requests/", PromotionListView.as_view(), name="api-promotions"),
    path("promotion-requests/<key:request_id>/", PromotionDetailView.as_view(), name="api-promotion"),
    path("promotion-requests/<key:request_id>/approve/", ApproveView.as_view(), name="api-approve"),
    path("promotion-requests/<key:request_id>/reject/", RejectView.as_view(), name="api-reject"),
    path("promotion-requests/<key:request_id>/withdraw/", WithdrawView.as_view(), name="api-withdraw"),
    path("champions/", ChampionListView.as_view(), name="api-champions"),
    path("served/", ServedView.as_view(), name="api-served"),
    path("gate-reports/", GateReportListView.as_view(), name="api-gate-reports"),
    path("gate-reports/<key:report_id>/", GateReportDetailView.as_view(), name="api-gate-report"),
    path("gate-policy/", GatePolicyView.as_view(), name="api-gate-policy"),
    path("strategy/", StrategyView.as_view(), name="api-strategy"),
]
