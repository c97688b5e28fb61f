"""``manage.py webhook_catalogue``: the events in docs/webhooks.md from the catalogue that the code sends by."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.webhook_events import EventType, all_events

MARK = "<!-- catalogue -->\n"


def catalogue_markdown() -> str:
    """Every event that the product itself registers, by name."""
    return "\n".join(_section(event) for event in sorted(all_events(), key=lambda one: one.name) if _is_ours(event))


def _is_ours(event: EventType) -> bool:
    return not event.name.startswith("test.")


def _section(event: EventType) -> str:
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in event.data.items())
    example = json.dumps(dict(event.example), indent=2, ensure_ascii=False)
    table = f"| entry of `data` | meaning |\n|---|---|\n{rows}"
    return f"### `{event.name}`\n\n{event.when}\n\n{table}\n```json\n{example}\n```\n"


class Command(BaseCommand):
    help = "Write the events into docs/webhooks.md; with --check, fail where they are out of date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "webhooks.md"
        text = path.read_text(encoding="utf-8")
        head, mark, _ = text.partition(MARK)
        if not mark:
            raise CommandError(f"docs/webhooks.md has lost its line {MARK.strip()}", returncode=1)
        wanted = f"{head}{MARK}\n{catalogue_markdown()}"
        if not options["check"]:
            path.write_text(wanted, encoding="utf-8")
            self.stdout.write("Wrote docs/webhooks.md")
        elif text != wanted:
            raise CommandError("docs/webhooks.md is out of date: run manage.py webhook_catalogue", returncode=1)
