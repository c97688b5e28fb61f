"""``manage.py validate_migration_rollout``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger.errors import DomainError
from ledger.files import whole_file
from tenants.rollout_validation import validate

NAME = "migration_rollout_validation"


class Command(BaseCommand):
    help = "Try a migration of the fleet on a database of its own, from nothing and from the last release, and say so."

    def add_arguments(self, parser: CommandParser) -> None:
        default = Path(settings.BASE_DIR) / "docs" / "productization_artifacts"
        parser.add_argument("--out", type=Path, default=default, help="folder of the document")
        parser.add_argument("--inside", type=Path, help="used by the command itself: do it here, write JSON there")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["inside"] is not None:
            try:
                found = validate(self._say)
            except DomainError as error:
                raise CommandError(str(error), returncode=2) from error
            options["inside"].write_text(json.dumps(found), encoding="utf-8")
            return
        started = datetime.now(UTC)
        with tempfile.TemporaryDirectory(prefix="forecourt-rollout-") as folder:
            result = Path(folder) / "result.json"
            own = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
            own |= {"FORECOURT_DATA_DIR": str(Path(folder) / "data"), "FORECOURT_LOG_LEVEL": "ERROR"}
            command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "validate_migration_rollout"]
            done = subprocess.run([*command, "--inside", str(result)], env=own)  # noqa: S603  # ours
            if done.returncode or not result.exists():
                raise CommandError("The validation did not end; what it said is above.", returncode=1)
            found = json.loads(result.read_text(encoding="utf-8"))
        took = (datetime.now(UTC) - started).total_seconds()
        found |= {"when": started.isoformat(timespec="seconds"), "seconds": round(took, 1)}
        found["revision"] = settings.CODE_REVISION
        options["out"].mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".json", json.dumps(found, indent=1, ensure_ascii=False) + "\n"), (".md", _text(found))):
            with whole_file(options["out"] / f"{NAME}{suffix}") as target:
                target.write_text(text, encoding="utf-8")
        self._say(f"{options['out'] / NAME}.md written")
        if not found["holds"]:
            raise CommandError("Not everything held; the document says what.", returncode=1)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _text(found: dict[str, Any]) -> str:
    """The document."""
    facts = found["facts"]
    verdict = "Every check held." if found["holds"] else "**Not every check held.**"
    lines = [
        "# Migration rollout, validated",
        "",
        f"Made by `manage.py validate_migration_rollout`, {found['when']}, revision {found['revision'] or 'unknown'}, "
        f"{found['seconds']:.0f} s, on a PostgreSQL that was made for it and thrown away. {verdict}",
        "",
        f"- From a fresh database: {facts['migrations']} migrations for public and the template; tenants are clones.",
        "- From the last release's: nothing is released yet. Its place is taken by a former state of the tenants' "
        f"apps ({facts['previous release']}), to which a schema was really migrated; public stood at the newest. "
        f"The rollout applied {', '.join(f'`{name}`' for name in facts['applied by the rollout'])}.",
        f"- The command was killed with SIGKILL after its first tenant: {facts['killed'] or 'it ended before'}.",
        "",
        "| check | | seen |",
        "|---|---|---|",
    ]
    for one in found["checks"]:
        seen = one["seen"].strip("()").replace("|", "\\|")
        lines.append(f"| {one['check']} | {'holds' if one['holds'] else '**failed**'} | {seen} |")
    return "\n".join(lines) + "\n"
