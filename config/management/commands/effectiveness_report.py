"""``manage.py effectiveness_report``: docs/ML_EFFECTIVENESS_REPORT.md from the tenants' own runs and the benchmarks."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context

from config.revision import revision
from forecasting.management.commands._shared import check_target, domain_errors, written_whole
from forecasting.services.effectiveness import Effectiveness, collect
from forecasting.services.effectiveness_text import lasting, markdown
from integrations.management.progress import Progress
from tenants.selectors import get_tenant, serving_schemas

REPORT = settings.BASE_DIR / "docs" / "ML_EFFECTIVENESS_REPORT.md"
FIGURES = settings.BASE_DIR / "benchmarks" / "results.json"


class Command(BaseCommand):
    help = (
        "Write what the forecasts of these tenants are worth: each tenant's newest evaluation (made where there is "
        "none), its newest judgement and realised accuracy, and the figures of the benchmarks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenants", help="comma-separated schemas (default: every trial and active tenant)")
        parser.add_argument("--out", type=Path, default=REPORT, help="default: docs/ML_EFFECTIVENESS_REPORT.md")
        parser.add_argument("--figures", type=Path, default=FIGURES, help="default: benchmarks/results.json")
        parser.add_argument("--evaluate", action="store_true", help="evaluate every tenant anew")
        parser.add_argument(
            "--check", action="store_true", help="write nothing; end with 1 where the runs say other than the report"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"] if options["check"] else check_target(options["out"])
        evaluate = False if options["check"] else options["evaluate"] or None
        schemas = [name.strip() for name in (options["tenants"] or "").split(",") if name.strip()]
        with domain_errors():
            found = [self._collect(name, evaluate, options["verbosity"] > 0) for name in schemas or serving_schemas()]
        if not found:
            raise CommandError("There is no tenant to report on: name one, or run manage.py demo.", returncode=2)
        text = markdown(found, _figures(options["figures"]), _made())
        if not options["check"]:
            with written_whole(out) as temporary:
                temporary.write_text(text, encoding="utf-8")
            self.stdout.write(f"Wrote {out}")
        elif not out.exists() or lasting(out.read_text(encoding="utf-8")) != lasting(text):
            raise CommandError(
                f"{out} is not what the runs and benchmarks say now: run manage.py effectiveness_report", returncode=1
            )

    def _collect(self, schema: str, evaluate: bool | None, tell: bool) -> Effectiveness:
        progress = Progress(sys.stderr)
        try:
            with tenant_context(get_tenant(schema)):
                return collect(evaluate=evaluate, listener=progress if tell else None)
        finally:
            progress.close()


def _figures(path: Path) -> list[dict[str, Any]]:
    """The benchmark's figures; none where it was never run."""
    if not path.exists():
        return []
    try:
        figures: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} holds no figures; make it again with: make bench", returncode=2) from error
    return figures


def _made() -> list[str]:
    """When, and of which revision of the code."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [f"Made by `manage.py effectiveness_report` at {now}, revision {revision()}."]
