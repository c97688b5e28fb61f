"""``manage.py run_chain``: retrain, forecast, accuracy, gate and request, in this process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context
from tqdm import tqdm

from forecasting.management.commands._shared import check_target, day, domain_errors, write_json
from forecasting.models.gate import Verdict
from forecasting.services.chain import ChainOutcome, run_chain_inline
from forecasting.services.strategy_decisions import decided_in
from ledger.jobs import job_title
from tenants.selectors import get_tenant

_EVERY_PERCENT = 10
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"


class _Progress:
    """A bar per step on a terminal; elsewhere a line every 10%."""

    def __init__(self, out: TextIO, quiet: bool) -> None:
        self.out, self.quiet = out, quiet
        self.kind = ""
        self.said = -1
        self.bar: Any = None

    def __call__(self, kind: str, done: int, total: int, message: str) -> None:
        if self.quiet:
            return
        if kind != self.kind:
            self.close()
            self.kind, self.said = kind, -1
        title = job_title(kind)
        if self.out.isatty():
            if self.bar is None:
                # A terminal that does not say its size (0 by 0) gets the usual one; tqdm would draw nothing in it.
                width, height = shutil.get_terminal_size()
                self.bar = tqdm(
                    total=total or None, desc=title, file=self.out, ncols=width, nrows=height, bar_format=_BAR
                )
            self.bar.total = total or None
            self.bar.n = done
            self.bar.set_postfix_str(message)
            return
        percent = int(100 * done / total) if total else 0
        if percent // _EVERY_PERCENT > self.said // _EVERY_PERCENT or self.said < 0:
            self.said = percent
            self.out.write(f"{title} {percent:3d}%  {message}\n")
            self.out.flush()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.n = self.bar.total or self.bar.n
            self.bar.refresh()
            self.bar.close()
            self.bar = None


class Command(BaseCommand):
    help = (
        "Train a candidate, forecast, measure accuracy, judge it and ask for its promotion. Exit 1: the gate said no."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--as-of", type=day, help="last day of data to use (default: the newest)")
        parser.add_argument("--horizon", type=int, help="steps ahead (default: 14 days, or 4 weeks)")
        parser.add_argument("--families", help="comma-separated; seasonal_naive is always compared (default: all)")
        parser.add_argument("--mode", choices=["search", "refresh"], help="default: search")
        parser.add_argument(
            "--decided",
            type=int,
            metavar="CYCLE",
            help="train exactly what was decided in that strategy cycle (before anybody decided: what it proposed)",
        )
        parser.add_argument("--reason", default="", help="reason of the promotion request")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the outcome to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        target = check_target(options["json"]) if options["json"] else None
        progress = _Progress(sys.stderr, quiet=options["verbosity"] == 0)
        families = options["families"].split(",") if options["families"] is not None else None
        try:
            with domain_errors(), tenant_context(get_tenant(options["schema"])):
                cycle = options["decided"]
                outcome = run_chain_inline(
                    decision=None if cycle is None else decided_in(cycle).pk,
                    mode=options["mode"],
                    as_of=options["as_of"],
                    horizon=options["horizon"],
                    families=families,
                    reason=options["reason"],
                    listener=progress,
                )
        finally:
            progress.close()
        self._report(outcome)  # first: what the chain came to is told even where the file cannot be written
        if target is not None:
            write_json(target, {"tenant": options["schema"], **outcome.to_json()})
        if outcome.refused:
            raise CommandError(outcome.request_reason, returncode=1)

    def _report(self, outcome: ChainOutcome) -> None:
        scores = outcome.scores
        parts = [
            f"v{outcome.version} {outcome.spec}",
            f"verdict {outcome.verdict or 'none'}",
            f"WAPE {_number(scores['wape'])} (seasonal naive {_number(scores['wape_naive'])}, {outcome.scores_of})",
            f"coverage80 {_number(scores['coverage80'])}",
            f"{outcome.forecasts} forecasts of {outcome.series} series",
            f"request {outcome.request}" if outcome.request else "no request",
            f"{outcome.seconds['total']:.0f} s",
        ]
        self.stdout.write("; ".join(parts))
        for row in outcome.gates:
            if not row["passed"]:
                self.stdout.write(f"  {row['name']}: {row['reason']}")
        if outcome.verdict == Verdict.ELIGIBLE and outcome.request is None:
            self.stdout.write(f"  no request was made: {outcome.request_reason}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
