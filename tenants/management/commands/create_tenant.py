"""``manage.py create_tenant``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.errors import DomainError
from tenants.models import SchemaState, TenantStatus, TenantTier
from tenants.services.provisioning import create_tenant, ensure_platform


class Command(BaseCommand):
    help = "Create a tenant: its schema with every table, its host and its roles."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema", help="lower-case letters, digits and underscores")
        parser.add_argument("--name", required=True)
        parser.add_argument("--tier", choices=TenantTier.values, default=TenantTier.SMB)
        parser.add_argument(
            "--status", choices=[TenantStatus.TRIAL.value, TenantStatus.ACTIVE.value], default=TenantStatus.TRIAL
        )
        parser.add_argument("--time-zone", default="UTC")
        parser.add_argument("--currency", default="USD")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_platform()
        try:
            tenant = create_tenant(
                schema_name=options["schema"],
                name=options["name"],
                tier=options["tier"],
                status=options["status"],
                time_zone=options["time_zone"],
                currency=options["currency"],
            )
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        domain = tenant.domains.get(is_primary=True)
        self.stdout.write(f"Created {tenant.name} (schema {tenant.schema_name}) at http://{domain.domain}/admin/")
        state = SchemaState.objects.get(schema_name=tenant.schema_name)
        if state.made_reason:
            self.stdout.write(f"It was migrated, not cloned: {state.made_reason}")
