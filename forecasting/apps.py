"""Forecasting: series, registry, training, evaluation, promotion."""

from django.apps import AppConfig


class ForecastingConfig(AppConfig):
    name = "forecasting"
    verbose_name = "Forecasting"

    def ready(self) -> None:
        from forecasting import jobs  # noqa: F401  # registers the job kinds
        from forecasting.services.demand_sink import load_demand
        from integrations.registry import register_demand_sink

        register_demand_sink(load_demand)
