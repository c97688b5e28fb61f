"""``manage.py simulate_incident``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.simulation.jobs import TITLES
from config.staging.worker import OwnWorker
from ledger.errors import DomainError
from ledger.presence import worker_is_present


class Command(BaseCommand):
    help = "Really cause an incident on a demo tenant, wait until the system finds it, walk its runbook, verify."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scenario", choices=[*TITLES, "all"])
        parser.add_argument("schema", help="a demo tenant")
        parser.add_argument(
            "--out", type=Path, default=settings.BASE_DIR / "docs" / "productization_artifacts", help="for the evidence"
        )
        parser.add_argument("--files", type=Path, help="folder of the tenant's own source files")
        parser.add_argument("--patience", type=float, default=180.0, help="seconds to wait for each thing to happen")
        parser.add_argument("--yes-really", action="store_true", help="also where the tenant is no demo tenant")
        parser.add_argument("--put-back", action="store_true", help="only put back what a killed simulation left")

    def handle(self, *args: Any, **options: Any) -> None:
        from config.simulation.run import put_back, require_allowed

        try:
            require_allowed(options["schema"], sure=options["yes_really"])
            if options["put_back"]:
                told = put_back(options["schema"])
                self.stdout.write("; ".join(told).capitalize() if told else "Nothing is left to put back.")
                return
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        worker = None
        if not worker_is_present():
            worker = OwnWorker(Path(settings.DATA_DIR) / "simulations" / "worker.log")
            worker.start()
        try:
            names = list(TITLES) if options["scenario"] == "all" else [options["scenario"]]
            failed = [name for name in names if not self._one(name, options)]
        finally:
            if worker is not None:
                worker.stop()
        if failed:
            raise CommandError(f"Not passed: {', '.join(failed)}.", returncode=1)

    def _one(self, name: str, options: dict[str, Any]) -> bool:
        from config.simulation.report import evidence_text
        from config.simulation.run import simulate

        self.stdout.write(f"{TITLES[name]} ({name})")
        try:
            evidence = simulate(
                scenario=name,
                schema_name=options["schema"],
                files=options["files"],
                patience=options["patience"],
                say=lambda text: self.stdout.write(f"  {text}"),
                sure=options["yes_really"],
            )
        except DomainError as error:
            self.stderr.write(f"  {error}")
            return False
        out: Path = options["out"]
        out.mkdir(parents=True, exist_ok=True)
        (out / f"incident_{name}.json").write_text(json.dumps(evidence, indent=2) + "\n", encoding="utf-8")
        (out / f"incident_{name}.md").write_text(evidence_text(evidence), encoding="utf-8")
        word = "passed" if evidence["passed"] else "FAILED"
        self.stdout.write(
            f"  {word}: detected after {evidence['seconds_to_detect']:g} s, "
            f"recovered {evidence['seconds_to_recover']:g} s later; evidence in {out}"
        )
        return bool(evidence["passed"])
