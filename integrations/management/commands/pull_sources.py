"""``manage.py pull_sources``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import schema_context

from integrations.management.progress import Progress
from integrations.models import Delivery, SftpConnection, Source
from integrations.services.connections import KIND
from ledger.errors import DomainError
from ledger.execution import execute, run_inline
from ledger.models import Run
from ledger.services.leftovers import IN_PROCESS, end_leftovers
from tenants.selectors import get_tenant


class Command(BaseCommand):
    help = "Take what lies ready on the SFTP servers of a tenant's sources, and load it, in this process."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema", help="the tenant's schema")
        parser.add_argument("--source", metavar="NAME", help="only this source")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = get_tenant(options["schema"])
        except DomainError as error:
            raise CommandError(str(error), returncode=getattr(error, "exit_status", 2)) from error
        with schema_context(tenant.schema_name):
            connections = self._connections(options["source"])
        failed = 0
        for connection in connections:
            with schema_context(tenant.schema_name):
                failed += not self._pull(tenant.schema_name, connection)
        if failed:
            raise CommandError(f"{failed} of {len(connections)} sources had trouble; see above.", returncode=1)

    def _connections(self, name: str | None) -> list[SftpConnection]:
        found = SftpConnection.objects.select_related("source").order_by("source__name")
        if name is None:
            enabled = list(found.filter(enabled=True))
            if not enabled:
                self.stdout.write("No source has an SFTP connection that is switched on. Nothing to do.")
            return enabled
        if not Source.objects.filter(name=name).exists():
            raise CommandError(f"There is no source {name!r} in this tenant.", returncode=2)
        chosen = list(found.filter(source__name=name))
        if not chosen:
            raise CommandError(f"Source {name!r} has no SFTP connection. Add one on the source's page.", returncode=2)
        return chosen

    def _pull(self, schema_name: str, connection: SftpConnection) -> bool:
        name = connection.source.name
        progress = Progress(self.stdout)
        try:
            end_leftovers(kind=KIND, scope=name)
            run = run_inline(
                kind=KIND, scope=name, inputs={"connection": connection.pk, IN_PROCESS: True}, listener=progress
            )
        except DomainError as error:
            self.stderr.write(f"{name}: {error}")
            return False
        finally:
            progress.close()
        if run.outputs is None or "taken" not in run.outputs:
            self.stderr.write(f"{name}: the pull is {run.get_state_display().lower()}.")
            return False
        self._tell(name, run)
        deliveries = run.outputs["deliveries"]
        return all([self._load(schema_name, name, number) for number in deliveries])

    def _tell(self, name: str, run: Run) -> None:
        taken = run.outputs["taken"]
        count = "1 file" if len(taken) == 1 else f"{len(taken)} files"
        self.stdout.write(f"{name}: {count} taken{': ' + ', '.join(taken) if taken else ''}.")
        for left in run.outputs["left"]:
            self.stdout.write(f"  left {left['name']}: {left['why']}")

    def _load(self, schema_name: str, name: str, number: int) -> bool:
        """Read the delivery here, unless a worker was faster."""
        with schema_context(schema_name):
            delivery = Delivery.objects.get(pk=number)
        execute(schema_name, str(delivery.run_id))  # it leaves on the public schema
        with schema_context(schema_name):
            delivery.refresh_from_db()
            told = f"{name}: delivery {number} is {delivery.get_state_display().lower()}"
            self.stdout.write(f"{told}. {delivery.problem}".strip() if delivery.problem else f"{told}.")
            return delivery.state not in ("refused", "discarded")
