"""The ledger: every background job and every decision, in each schema."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"
    verbose_name = "Ledger"

    def ready(self) -> None:
        from ledger import checks  # noqa: F401  # registers the system checks
