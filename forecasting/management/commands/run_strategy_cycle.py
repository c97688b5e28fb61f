"""``manage.py run_strategy_cycle``: is one model enough, or does a mixture pay?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandParser
from django_tenants.utils import tenant_context

from forecasting.management.commands._shared import (
    add_backtest_arguments,
    backtest_request,
    check_target,
    domain_errors,
    written_whole,
)
from forecasting.models import StrategyCycle
from forecasting.services.strategy import CHART_FILE, JSON_FILE, MARKDOWN_FILE, cycle_inline
from forecasting.services.strategy_report import HEADS, cell
from integrations.management.progress import Progress
from tenants.selectors import get_tenant

_SHOWN = ("total_cost", "wape", "stockout_miss_rate", "overstock_rate", "coverage80")
_WIDTH = 26


class Command(BaseCommand):
    help = (
        "Sweep the weights of every pair of families on rolling origins before the sealed holdout, and propose one "
        "model or a mixture. The sweep and the proposal are kept; nothing that serves changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_backtest_arguments(parser, "rolling origins, 2 or more")
        parser.add_argument(
            "--out",
            type=Path,
            metavar="DIR",
            help=f"also write {JSON_FILE}, {MARKDOWN_FILE} and {CHART_FILE} into this folder",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path | None = options["out"]
        if folder is not None:
            for name in (JSON_FILE, MARKDOWN_FILE, CHART_FILE):
                check_target(folder / name)
        progress = Progress(sys.stderr)
        with domain_errors(), tenant_context(get_tenant(options["schema"])):
            try:
                cycle = cycle_inline(**backtest_request(options), listener=progress if options["verbosity"] else None)
            finally:
                progress.close()
            self._print(cycle)  # first: what was found is told even where the files cannot be written
            if folder is not None:
                self._write(cycle, folder)

    def _print(self, cycle: StrategyCycle) -> None:
        report = cycle.report
        sweep, window = report["sweep"], report["window"]
        step = {"D": "days", "W": "weeks"}[sweep["grain"]]
        self.stdout.write(
            f"{sweep['series']} series, {len(sweep['origins'])} origins of {sweep['horizon']} {step} until "
            f"{window['train_end']}, {len(sweep['points'])} points; {window['holdout_start']} to "
            f"{window['holdout_end']} stay sealed."
        )
        points = {point["key"]: point for point in sweep["points"]}
        self._row("", [HEADS[name] for name in _SHOWN])
        for key in sweep["modes"]:
            figures = points[key]["figures"]
            self._row(key, [cell(figures[name], name, report["currency"]) for name in _SHOWN])
        self.stdout.write(cycle.sentence)
        decision = report["decision"]
        self.stdout.write(f"Proposed as cycle {cycle.pk}: {decision['mode']}, {decision['spec_label']}.")

    def _row(self, title: str, cells: list[str]) -> None:
        self.stdout.write(f"{title:<28}" + "".join(f" {text:>{_WIDTH}}" for text in cells))

    def _write(self, cycle: StrategyCycle, folder: Path) -> None:
        for file in cycle.files:
            with written_whole(folder / file["name"]) as temporary, default_storage.open(file["path"], "rb") as stored:
                temporary.write_bytes(stored.read())
