"""``manage.py dry_runs``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.demo.dry_runs import differing, dry_runs
from integrations.demo.write import write_demo_files

KEPT = settings.BASE_DIR / "docs" / "productization_artifacts"


class Command(BaseCommand):
    help = "Judge the three demo tenants' files without a tenant, and write what an onboarding would be judged by."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, default=KEPT, help="folder of the packages, one folder a tenant")
        parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where a file differs")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        with tempfile.TemporaryDirectory(prefix="forecourt-dry-runs-") as folder:
            data, fresh = Path(folder) / "data", Path(folder) / "out"
            write_demo_files(data)
            runs = list(dry_runs(data=data, out=fresh if options["check"] else out))
            for run in runs:
                self.stdout.write(
                    f"{run.tenant}: {run.verdict}, {run.rows_read:,} rows read, {run.rows_rejected:,} rejected"
                )
            wrong = differing(runs, kept=out) if options["check"] else []
        if wrong:
            names = ", ".join(str(path.relative_to(out)) for path in wrong)
            raise CommandError(f"Not what the data gives: {names}. Write them again with: manage.py dry_runs")
        failed = [run.tenant for run in runs if run.verdict != "passed"]
        if failed:
            raise CommandError(f"Refused: {', '.join(failed)}; the report beside the data says why.")
