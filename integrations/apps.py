"""Integrations: sources, data contracts, ingest, tokens."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        from integrations import checks, jobs  # noqa: F401  # importing registers the checks and the kinds of jobs
        from integrations.services import watching, watching_runs
        from integrations.services.webhook_mail import write_disabled
        from tenants.models import MailKind
        from tenants.services.mail_texts import register_writer

        watching.register()
        watching_runs.register()
        register_writer(MailKind.WEBHOOK, write_disabled)
