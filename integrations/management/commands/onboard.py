"""``manage.py onboard``."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import schema_context

from integrations.errors import ContractUnusable
from integrations.management import reporting
from integrations.management.progress import Progress
from integrations.services.contracts import check_tenant
from integrations.services.files import match_files
from integrations.services.onboarding import OnboardResult, onboard
from ledger.errors import DomainError
from tenants.selectors import get_tenant


class Command(BaseCommand):
    help = "Judge a tenant's files under a data contract and load them: wholly, or not at all."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema", help="the tenant's schema")
        parser.add_argument("--contract", type=Path, required=True, help="the contract, YAML or JSON")
        parser.add_argument(
            "--data", type=Path, required=True, help="the transactions file, or a folder with the contract's files"
        )
        parser.add_argument("--dry-run", action="store_true", help="judge only; write nothing to the database")
        parser.add_argument(
            "--as-of",
            type=date.fromisoformat,
            metavar="DATE",
            help="with --dry-run: measure future and history from this day (YYYY-MM-DD) instead of today",
        )
        parser.add_argument(
            "--confirm-breaking",
            action="store_true",
            help="agree to what the contract breaks of the active version; without it, the list is shown",
        )
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the report here, whatever the verdict")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path | None = options["json"]
        started = time.perf_counter()
        try:
            reporting.check_writable(out)
            result = self._onboard(options)
        except ContractUnusable as refused:
            if out is not None:
                reporting.write_json(out, reporting.contract_report(refused))
            raise CommandError(str(refused), returncode=refused.exit_status) from refused
        except DomainError as error:
            raise CommandError(str(error), returncode=getattr(error, "exit_status", 2)) from error
        report = result.as_dict()
        if out is not None:
            reporting.write_json(out, report)
        self.stdout.write(reporting.render(report))
        if not result.passed:
            raise CommandError(f"{reporting.refusal(report)} Nothing was loaded.", returncode=1)
        self.stdout.write(self.style.SUCCESS(_closing(result, time.perf_counter() - started)))

    def _onboard(self, options: dict[str, Any]) -> OnboardResult:
        if options["as_of"] and not options["dry_run"]:
            raise CommandError("--as-of is for --dry-run: what is loaded is judged as of today.", returncode=2)
        tenant = get_tenant(options["schema"])
        contract = reporting.read_contract(options["contract"])
        check_tenant(contract=contract, schema_name=tenant.schema_name)
        files = match_files(contract=contract, data=options["data"], max_bytes=settings.UPLOAD_MAX_BYTES)
        progress = Progress(self.stdout)
        try:
            with schema_context(tenant.schema_name):
                return onboard(
                    contract=contract,
                    files=files,
                    actor=None,
                    dry_run=options["dry_run"],
                    as_of=options["as_of"],
                    listener=progress,
                    confirm_breaking=options["confirm_breaking"],
                )
        finally:
            progress.close()


def _closing(result: OnboardResult, seconds: float) -> str:
    facts = result.as_dict()
    if result.repeated:
        return f"These very files were loaded before, as batch {facts['batch']}; nothing had to be done."
    if facts["dry_run"]:
        return "Verdict passed. Dry run: nothing was loaded."
    read = sum(found["rows_read"] for found in facts["files"])
    return (
        f"Verdict passed. Batch {facts['batch']}: {facts['days_written']:,} days of {facts['series']:,} series "
        f"({facts['first_day']} to {facts['last_day']}) from {read:,} rows in {seconds:.1f} s."
    )
