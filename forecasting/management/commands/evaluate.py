"""``manage.py evaluate``: all families and their ensemble side by side on rolling origins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django_tenants.utils import tenant_context

from forecasting.management.commands._shared import (
    add_backtest_arguments,
    backtest_request,
    check_target,
    domain_errors,
    write_json,
)
from forecasting.services.evaluating import evaluate_inline
from integrations.management.progress import Progress
from ledger.templatetags.forecourt import UNKNOWN
from tenants.selectors import get_tenant

_SCORES = ("wape", "bias", "mase", "scrps", "winkler80", "coverage80", "coverage95", "fva")
_HEADS = ("WAPE", "bias", "MASE", "sCRPS", "Winkler80", "in 80%", "in 95%", "FVA", "rows", "declined")
_GROUPS = {"class": ("by demand class", "by_class"), "week": ("by week ahead", "by_week")}
_WIDTH = 12


class Command(BaseCommand):
    help = (
        "Score every family and the ensemble on rolling origins before the sealed holdout, by demand class and by week "
        "ahead. Nothing is registered and the holdout stays sealed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_backtest_arguments(parser, "rolling origins")
        parser.add_argument(
            "--by",
            choices=sorted(_GROUPS),
            help="print every score by demand class, or by week ahead (default: WAPE and coverage by both)",
        )
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the whole table to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        target = check_target(options["json"]) if options["json"] else None
        progress = Progress(sys.stderr)
        try:
            with domain_errors(), tenant_context(get_tenant(options["schema"])):
                outcome = evaluate_inline(
                    **backtest_request(options), listener=progress if options["verbosity"] else None
                )
        finally:
            progress.close()
        self._print(outcome.report, options["by"])  # first: the table is told even where the file cannot be written
        if target is not None:
            write_json(target, {"tenant": options["schema"], "run": str(outcome.run.pk), **outcome.report})

    def _print(self, report: dict[str, Any], by: str | None) -> None:
        window, lines = report["window"], report["contenders"]
        step = {"D": "days", "W": "weeks"}[report["grain"]]
        self.stdout.write(
            f"{report['series']} series, {len(report['origins'])} origins of {report['horizon']} {step} until "
            f"{window['train_end']}; {window['holdout_start']} to {window['holdout_end']} stay sealed."
        )
        self._table("", _HEADS, [(line["name"], _overall(line)) for line in lines])
        for title, key in [_GROUPS[by]] if by else _GROUPS.values():
            found = {name for line in lines for name in line["scores"][key]}
            names = sorted(found, key=lambda name: (int(name) if name.isdecimal() else 0, name))
            for score in _SCORES if by else ("wape", "coverage80"):
                rows = [(line["name"], [_cell(line["scores"][key].get(n, {}), score) for n in names]) for line in lines]
                self._table(f"{_HEADS[_SCORES.index(score)]} {title}", names, rows)
        if by:
            self._coverage(lines[-1], "demand_class" if by == "class" else "week")
        for line in lines:
            for declined in line["declined"]["reasons"][:3]:
                self.stdout.write(f"{line['name']} declined {declined['series']} series: {declined['reason']}")
        self._ratios(report["against_best_single"])
        self.stdout.write(f"A search proposes {report['proposed']['spec']}: {report['proposed']['reason']}.")

    def _ratios(self, against: dict[str, Any]) -> None:
        """How the mixtures stand beside the best single family, which is known only afterwards."""
        if against["family"] is None:
            return
        told = {name: against[name]["value"] for name in ("chosen", "ensemble")}
        cells = [f"{name} {UNKNOWN if value is None else f'{value:.4f}'}" for name, value in told.items()]
        self.stdout.write(f"WAPE divided by that of the best single ({against['family']}): {', '.join(cells)}.")

    def _coverage(self, line: dict[str, Any], key: str) -> None:
        """How often the intervals of the choice hold, and the 95% band of that share over series."""
        other = {"demand_class": "week", "week": "demand_class"}[key]
        cells = [cell for cell in line["coverage"] if cell[other] == "*"]
        names = list(dict.fromkeys(cell[key] for cell in cells))
        rows = []
        for level in (80, 95):
            row = {cell[key]: cell for cell in cells if cell["level"] == level}
            rows.append((f"in {level}%", [_banded(row[name]) for name in names]))
        if rows and names:
            heads = ["all" if name == "*" else name for name in names]
            self._table(f"Coverage of {line['name']}", heads, rows, width=20)

    def _table(self, title: str, heads: Any, rows: list[tuple[str, list[str]]], width: int = _WIDTH) -> None:
        self.stdout.write("")
        for name, cells in [(title, list(heads)), *rows]:
            self.stdout.write(f"{name:<27}" + "".join(f" {cell:>{width}}" for cell in cells))


def _overall(line: dict[str, Any]) -> list[str]:
    scores = line["scores"]
    cells = [_cell(scores["overall"], name) for name in _SCORES]
    return [*cells, f"{scores['rows']:,}", f"{line['declined']['series']:,}"]


def _cell(scores: dict[str, Any], name: str) -> str:
    value = scores.get(name, {}).get("value")
    return UNKNOWN if value is None else f"{value:.3f}"


def _banded(cell: dict[str, Any]) -> str:
    if cell["share"] is None:
        return UNKNOWN
    band = "" if cell["low"] is None else f" ({cell['low']:.3f}-{cell['high']:.3f})"
    return f"{cell['share']:.3f}{band}"
