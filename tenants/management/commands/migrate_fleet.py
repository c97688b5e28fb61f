"""``manage.py migrate_fleet``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.errors import DomainError
from ledger.files import whole_file, why_unwritable
from tenants.models import Rollout, RolloutState, SchemaStanding
from tenants.services.fleet_migration import look, migrate_fleet


class Command(BaseCommand):
    help = "Bring public, the template and every tenant to the newest migration; what is there already is skipped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1), help="0: in this process")
        parser.add_argument("--max-errors", type=int, default=3, help="failures that it bears; canaries' none")
        parser.add_argument("--canaries", help="comma-separated schemas that go first; without it those marked so")
        parser.add_argument("--check", action="store_true", help="only look; status 1 where a tenant is not at target")
        parser.add_argument("--json", type=Path, help="write what came of it into this file")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["processes"] < 0 or options["max_errors"] < 0:
            raise CommandError("--processes and --max-errors are 0 or more.", returncode=2)
        if options["json"] is not None and (why := why_unwritable(options["json"])):
            raise CommandError(why, returncode=2)
        if options["check"]:
            self._check(options["json"])
            return
        canaries = [name for name in options["canaries"].split(",") if name] if options["canaries"] else None
        try:
            rollout = migrate_fleet(
                processes=options["processes"],
                max_errors=options["max_errors"],
                canaries=canaries,
                say=self._say,
            )
        except DomainError as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"] is not None:
            _write(options["json"], summary(rollout))
        counts = f"{rollout.at_target} were there, {rollout.migrated} migrated, {rollout.failed} failed, "
        counts += f"{rollout.untouched} not touched, {rollout.left} left"
        self._say(f"{rollout}: {counts}. {rollout.reason}".rstrip())
        if rollout.state != RolloutState.SUCCEEDED:
            raise CommandError(f"{rollout} {rollout.get_state_display().lower()}.", returncode=1)

    def _check(self, out: Path | None) -> None:
        fleet = look()
        off = [view for view in fleet.views.values() if view.standing != SchemaStanding.AT_TARGET]
        for view in off:
            self._say(f"{view.schema_name}: {view.standing.label.lower()}. {view.reason}")
        if out is not None:
            _write(out, {view.schema_name: {"standing": view.standing, "reason": view.reason} for view in off})
        if off:
            raise CommandError(
                f"{len(off)} of {len(fleet.views)} tenants are not at the newest migration.", returncode=1
            )
        self._say(f"{len(fleet.views)} tenants are at the newest migration, with the tables that it makes.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def summary(rollout: Rollout) -> dict[str, Any]:
    """A rollout and its entries as JSON holds them."""
    fields = ("state", "reason", "tenants", "at_target", "migrated", "failed", "untouched", "left", "canaries")
    entries = rollout.entries.values(
        "schema_name", "canary", "outcome", "standing", "before", "after", "seconds", "error"
    )
    return {**{field: getattr(rollout, field) for field in fields}, "id": rollout.pk, "entries": list(entries)}


def _write(path: Path, body: dict[str, Any]) -> None:
    with whole_file(path) as target:
        target.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
