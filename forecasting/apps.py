"""Forecasting: series, registry, training, evaluation, promotion."""

import os

from django.apps import AppConfig


class ForecastingConfig(AppConfig):
    name = "forecasting"
    verbose_name = "Forecasting"

    def ready(self) -> None:
        # LightGBM's threads would spin while they wait for each other: on a busy machine a fit of 4 s then takes 55 s.
        # The models are the same either way. Read when the library is first loaded, so it has to be said before.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from forecasting import jobs  # noqa: F401  # registers the job kinds
        from forecasting.services import alarms
        from forecasting.services.demand_sink import load_demand
        from forecasting.services.notice_mails import write_notice
        from forecasting.webhook_events import register
        from integrations.registry import register_demand_sink
        from tenants.models import MailKind
        from tenants.services.mail_texts import register_writer

        register()
        register_writer(MailKind.NOTICE, write_notice)
        register_demand_sink(load_demand)
        alarms.register()
        from forecasting.schedules import register

        register()
