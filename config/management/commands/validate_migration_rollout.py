"""``manage.py validate_migration_rollout``: schemas that are really behind, noticed and brought forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.staging.rollout import as_markdown, validate_rollout
from forecasting.management.commands._shared import check_target, domain_errors, write_json, written_whole

KEPT = settings.BASE_DIR / "docs" / "productization_artifacts"
_NAME = "migration_rollout_validation"


class Command(BaseCommand):
    help = (
        "Put two schemas of its own one migration back, migrate the fleet, and check tables, catalogue, data and audit "
        "trails. Writes the evidence. Exit 1: a check failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, default=KEPT, help="folder of the evidence")

    def handle(self, *args: Any, **options: Any) -> None:
        as_json, as_text = (check_target(options["out"] / f"{_NAME}.{ending}") for ending in ("json", "md"))
        with domain_errors():
            report = validate_rollout(say=self.stdout.write)
        write_json(as_json, report)
        with written_whole(as_text) as temporary:
            temporary.write_text(as_markdown(report), encoding="utf-8")
        self.stdout.write(f"{report['verdict']}: {as_text}")
        if report["verdict"] != "passed":
            failed = [f"{one['name']} ({one['detail']})" for one in report["checks"] if not one["passed"]]
            raise CommandError("; ".join(failed), returncode=1)
