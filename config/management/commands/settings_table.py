"""``manage.py settings_table``: docs/settings.md from the settings' declarations."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.conf import BASE_DIR, Env

_HEAD = """# Settings

Every setting comes from an environment variable and has a safe default. Made by `manage.py settings_table`.

| variable | default | meaning |
|---|---|---|
"""


def settings_markdown() -> str:
    """The table as Markdown; machine-independent (paths relative to the project)."""
    rows = []
    for field in Env.model_fields.values():
        default = field.default
        shown = "(none)" if default in (None, "") else str(default).replace(f"{BASE_DIR}/", "")
        rows.append(f"| `{field.alias}` | `{shown}` | {field.description} |\n")
    return _HEAD + "".join(rows)


class Command(BaseCommand):
    help = "Write docs/settings.md; with --check, fail where it is out of date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "settings.md"
        text = settings_markdown()
        if not options["check"]:
            path.write_text(text, encoding="utf-8")
            self.stdout.write("Wrote docs/settings.md")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise CommandError("docs/settings.md is out of date: run manage.py settings_table", returncode=1)
