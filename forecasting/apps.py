"""Forecasting: series, registry, training, evaluation, promotion."""

from django.apps import AppConfig


class ForecastingConfig(AppConfig):
    name = "forecasting"
    verbose_name = "Forecasting"
