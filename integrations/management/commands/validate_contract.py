"""``manage.py validate_contract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.errors import ContractUnusable, IntegrationError
from integrations.management import reporting
from integrations.management.progress import Progress


class Command(BaseCommand):
    help = "Judge files under a data contract. Needs no tenant and no database, and writes nothing but --json."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("contract", type=Path, help="the contract, YAML or JSON")
        parser.add_argument("data", type=Path, help="the transactions file, or a folder with the contract's files")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the report here, whatever the verdict")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path | None = options["json"]
        try:
            reporting.check_writable(out)
            report = self._judge(options["contract"], options["data"])
        except ContractUnusable as refused:
            if out is not None:
                reporting.write_json(out, reporting.contract_report(refused))
            raise CommandError(str(refused), returncode=refused.exit_status) from refused
        except IntegrationError as error:
            raise CommandError(str(error), returncode=error.exit_status) from error
        if out is not None:
            reporting.write_json(out, report)
        self.stdout.write(reporting.render(report))
        if report["verdict"] != "passed":
            raise CommandError(reporting.refusal(report), returncode=1)
        self.stdout.write(self.style.SUCCESS("Verdict passed: these files can be loaded under this contract."))

    def _judge(self, contract_path: Path, data: Path) -> dict[str, Any]:
        from integrations.engine.report import report_json
        from integrations.services.files import match_files
        from integrations.services.ingest import read_files

        contract = reporting.read_contract(contract_path)
        files = match_files(contract=contract, data=data, max_bytes=settings.UPLOAD_MAX_BYTES)
        progress = Progress(self.stdout)
        try:
            return report_json(read_files(contract=contract, files=files, progress=progress))
        finally:
            progress.close()
