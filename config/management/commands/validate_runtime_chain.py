"""``manage.py validate_runtime_chain``: the chain through the real queue and worker, and through a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django_tenants.utils import tenant_context

from config.staging.chain import Pass, drive
from config.staging.evidence import compared, data_fingerprint, evidence_of, revision
from config.staging.report import as_markdown
from config.staging.worker import OwnWorker
from forecasting.management.commands._shared import check_target, domain_errors, written_whole
from forecasting.services.chain import ACCURACY, FORECAST, GATE, RETRAIN
from ledger.presence import worker_is_present
from tenants.selectors import get_tenant

KEPT = settings.BASE_DIR / "docs" / "productization_artifacts"
_NAME = "staging_runtime_chain_validation"
_STEPS = {kind.removeprefix("forecasting."): kind for kind in (RETRAIN, FORECAST, ACCURACY, GATE)}


class Command(BaseCommand):
    help = (
        "Run the chain of a staging tenant through the queue and a worker (started and stopped here where none runs), "
        "then again while the worker is killed. Writes the evidence. Exit 1: a check failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--out", type=Path, default=KEPT, help="folder of the evidence")
        parser.add_argument("--families", help="comma-separated; seasonal_naive is always compared (default: all)")
        parser.add_argument("--kill-in", choices=sorted(_STEPS), default="retrain", help="step that is killed")
        parser.add_argument("--timeout", type=float, default=1800, help="seconds that a pass may take")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        out.mkdir(parents=True, exist_ok=True)
        targets = [check_target(out / f"{_NAME}.{ending}") for ending in ("json", "md")]
        with domain_errors():
            tenant = get_tenant(options["schema"])
        with domain_errors(), tenant_context(tenant):
            report = self._validate(options)
        texts = (json.dumps(report, indent=2, sort_keys=True, allow_nan=False, default=str) + "\n", as_markdown(report))
        for target, text in zip(targets, texts, strict=True):
            with written_whole(target) as temporary:
                temporary.write_text(text, encoding="utf-8")
        self.stdout.write(f"{report['verdict']}: {targets[1]}")
        if report["verdict"] != "passed":
            checks = [check for one in (*report["passes"], report) for check in one["checks"] if not check["passed"]]
            said = "; ".join(f"{check['name']} ({check['detail']})" for check in checks) or report["not_done"]
            raise CommandError(said, returncode=1)

    def _validate(self, options: dict[str, Any]) -> dict[str, Any]:
        families = options["families"].split(",") if options["families"] else None
        given = {"families": families, "timeout": options["timeout"], "say": self._say}
        started, before, runs_on = timezone.now(), data_fingerprint(), revision()
        foreign = worker_is_present()
        worker = None if foreign else OwnWorker(settings.DATA_DIR / "staging-worker.log")
        passes: list[Pass] = []
        try:
            if worker is not None:
                worker.start()
            passes.append(drive("First pass", **given))
            if worker is not None:
                kill = _STEPS[options["kill_in"]]
                passes.append(drive("Second pass, with a kill", worker=worker, kill_in=kill, **given))
        finally:
            if worker is not None:
                worker.stop()
        told = [evidence_of(one) for one in passes]
        checks = compared(told, before, data_fingerprint())
        good = all(one["passed"] for one in told) and all(check["passed"] for check in checks)
        missing = "" if worker is not None else "the pass with a kill: a worker that is not ours runs. Stop it first."
        return {
            "tenant": options["schema"],
            "started_at": started.isoformat(),
            "ended_at": timezone.now().isoformat(),
            "revision": runs_on,
            "worker": "one that ran already" if foreign else "started and stopped by the validation",
            "settings": {
                "workers": settings.Q_CLUSTER["workers"],
                "heartbeat_seconds": settings.RUN_HEARTBEAT_SECONDS,
                "lost_after_seconds": settings.RUN_LOST_AFTER_SECONDS,
            },
            "data_fingerprint": before,
            "passes": told,
            "checks": checks,
            "not_done": missing,
            "verdict": ("failed" if not good else "passed") if not missing else "incomplete",
        }

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
