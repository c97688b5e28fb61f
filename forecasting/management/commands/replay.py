"""``manage.py replay``: would this governance have served us well over the days that are behind us?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context

from forecasting.engine.replay.artifacts import FILES
from forecasting.engine.replay.config import Cadence, Hitl, Portfolio
from forecasting.engine.replay.lanes import LANES
from forecasting.engine.replay.report import cell, step_word
from forecasting.errors_replay import RecordedDecisionsUnusable, ReplayUnknown
from forecasting.management.commands._shared import check_target, day, domain_errors, written_whole
from forecasting.models import Replay, ReplayState
from forecasting.services.replay_request import check_replay, make_replay, recorded_of
from forecasting.services.replaying import replay_inline
from integrations.management.progress import Progress
from tenants.selectors import get_tenant

_SHOWN = (
    ("service_level", "service", "share"),
    ("lost_sales_qty", "lost units", "number"),
    ("short_days", "{step}s short", "number"),
    ("total_cost", "total cost", "number"),
    ("wape", "WAPE", "share"),
    ("promotions", "promotions", "number"),
)


class Command(BaseCommand):
    help = (
        "Walk through the last days as if each were today: forecast, order, watch, retrain, judge and decide with what "
        "was known then, beside worlds with other rules. What serves is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--holdout-days", type=int, default=84, metavar="N", help="days to replay (default: 84)")
        parser.add_argument("--as-of", type=day, help="last day to replay (default: the newest)")
        parser.add_argument("--cadence", choices=list(Cadence), default=Cadence.WEEKLY.value, help="of retrainings")
        parser.add_argument("--horizon", type=int, metavar="H", help="steps ahead (default: 14 days, or 4 weeks)")
        parser.add_argument("--hitl", choices=list(Hitl), default=Hitl.POLICY.value, help="who decides")
        parser.add_argument(
            "--decisions", metavar="FILE|ID", help="with --hitl recorded: a file of decisions, or an earlier replay"
        )
        parser.add_argument("--portfolio", choices=list(Portfolio), default=Portfolio.AUTO.value, help="mixtures")
        parser.add_argument("--families", help="comma-separated; seasonal_naive is always compared")
        parser.add_argument(
            "--pack-size", type=float, default=1.0, metavar="UNITS", help="units in a pack (default: 1)"
        )
        parser.add_argument("--resume", type=int, metavar="ID", help="go on with a replay, or write its files again")
        parser.add_argument("--out", type=Path, metavar="DIR", help="also write the files into this folder")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path | None = options["out"]
        if folder is not None:
            _make(folder)
            for name in FILES:
                check_target(folder / name)
        progress = Progress(sys.stderr)
        with domain_errors(), tenant_context(get_tenant(options["schema"])):
            try:
                replay = self._walk(options, progress if options["verbosity"] else None)
            finally:
                progress.close()
            self._tell(replay)
            if folder is not None and replay.state == ReplayState.FINISHED:
                for file in replay.files:
                    with (
                        written_whole(folder / file["name"]) as temporary,
                        default_storage.open(file["path"], "rb") as stored,
                    ):
                        temporary.write_bytes(stored.read())
            if replay.state == ReplayState.CANCELLED:
                raise CommandError(f"Cancelled. Go on with --resume {replay.pk}.", returncode=1)

    def _walk(self, options: dict[str, Any], listener: Any) -> Replay:
        if options["resume"] is not None:
            known = Replay.objects.filter(pk=options["resume"]).first()
            if known is None:
                raise ReplayUnknown(options["resume"])
            if known.state in (ReplayState.FINISHED, ReplayState.WAITING):
                return known
            return replay_inline(replay=known, listener=listener, resume=True)
        families = options["families"].split(",") if options["families"] is not None else None
        names = ("holdout_days", "cadence", "horizon", "hitl", "portfolio", "as_of", "pack_size")
        config = check_replay(**{name: options[name] for name in names}, families=families)
        recorded = _decisions(options["decisions"]) if options["decisions"] is not None else None
        replay = make_replay(config=config, actor=None, recorded=recorded)
        self.stderr.write(f"Replay {replay.pk}: {config.start} to {config.end}.")
        return replay_inline(replay=replay, listener=listener)

    def _tell(self, replay: Replay) -> None:
        if replay.state == ReplayState.WAITING:
            asked = replay.decisions.first()
            self.stdout.write(
                f"Replay {replay.pk} waits at {asked.day if asked else replay.first_day} for a reviewer: see Approvals "
                f"in the admin. It goes on by itself after the decision; then --resume {replay.pk} --out DIR writes "
                "its files."
            )
            return
        if replay.state != ReplayState.FINISHED:
            self.stdout.write(f"Replay {replay.pk} is {replay.get_state_display().lower()}.")
            return
        step = step_word(replay.config)
        self.stdout.write(f"{'':<34}" + "".join(f"{title.format(step=step):>14}" for _, title, _ in _SHOWN))
        for lane in (replay.summary["lanes"][name] for name in LANES):
            cells = "".join(f"{cell(lane[key], kind):>14}" for key, _, kind in _SHOWN)
            self.stdout.write(f"{lane['title']:<34}{cells}")
        self.stdout.write(replay.sentence)
        self.stdout.write(replay.summary["strategy"]["reason"])


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made ({error.strerror}); name another place.", returncode=2) from error


def _decisions(text: str) -> list[dict[str, Any]]:
    """The decisions of a file, or of an earlier replay."""
    if text.isdecimal():
        return recorded_of(int(text))
    try:
        return recorded_of(json.loads(Path(text).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordedDecisionsUnusable(f"{text} cannot be read") from error
    except json.JSONDecodeError as error:
        raise RecordedDecisionsUnusable(f"{text} is no JSON (line {error.lineno})") from error
