"""Integrations: sources, data contracts, ingest, tokens."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        from integrations import jobs  # noqa: F401  # importing registers the kinds of jobs
