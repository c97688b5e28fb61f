"""Integrations: sources, data contracts, ingest, tokens."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        from integrations import checks, jobs  # noqa: F401  # importing registers the checks and the kinds of jobs
        from integrations.services import watching

        watching.register()
