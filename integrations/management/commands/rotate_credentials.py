"""``manage.py rotate_credentials``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import schema_context

from integrations.services.connections import reencrypt_connections
from integrations.services.credentials import check_keys
from integrations.services.webhooks import reencrypt_webhooks
from ledger.errors import DomainError
from tenants.models import Tenant
from tenants.selectors import get_tenant


class Command(BaseCommand):
    help = "Encrypt every stored credential with the newest key of FORECOURT_CREDENTIALS_KEYS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema", nargs="?", help="only this tenant; without it, every tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            check_keys()
            only = options["schema"]
            tenants = [get_tenant(only)] if only else list(Tenant.objects.exclude(schema_name="public"))
        except DomainError as error:
            raise CommandError(str(error), returncode=getattr(error, "exit_status", 2)) from error
        lost = 0
        for tenant in tenants:
            with schema_context(tenant.schema_name):
                changed, problems = reencrypt_connections()
                webhooks, more = reencrypt_webhooks()
            problems |= more
            self.stdout.write(f"{tenant.schema_name}: {changed} connections and {webhooks} webhooks encrypted anew.")
            for name, problem in problems.items():
                self.stderr.write(f"{tenant.schema_name}: {name}: {problem}")
            lost += len(problems)
        if lost:
            raise CommandError(
                f"{lost} connections or webhooks could not be opened and stay as they were.", returncode=1
            )
