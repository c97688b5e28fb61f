"""``manage.py validate_dispatch``: one job to every tenant through the real queue and a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.staging.fan_out import as_markdown, validate_fan_out
from forecasting.management.commands._shared import check_target, domain_errors, write_json, written_whole
from forecasting.services.chain import ACCURACY

KEPT = settings.BASE_DIR / "docs" / "productization_artifacts"
_NAME = "dispatch_fan_out"


class Command(BaseCommand):
    help = (
        "Dispatch one job to every serving tenant, twice, and let a worker do it (started and stopped here where none "
        "runs). Writes the evidence. Exit 1: a check failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", default=ACCURACY, help=f"job to dispatch (default: {ACCURACY})")
        parser.add_argument("--out", type=Path, default=KEPT, help="folder of the evidence")
        parser.add_argument("--timeout", type=float, default=600, help="seconds that it may take")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        as_json, as_text = (check_target(out / f"{_NAME}.{ending}") for ending in ("json", "md"))
        with domain_errors():
            report = validate_fan_out(kind=options["kind"], timeout=options["timeout"], say=self.stdout.write)
        write_json(as_json, report)
        with written_whole(as_text) as temporary:
            temporary.write_text(as_markdown(report), encoding="utf-8")
        self.stdout.write(f"{report['verdict']}: {as_text}")
        if report["verdict"] != "passed":
            failed = [f"{one['name']} ({one['detail']})" for one in report["checks"] if not one["passed"]]
            raise CommandError("; ".join(failed), returncode=1)
