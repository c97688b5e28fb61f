"""``manage.py export_forecasts``: one version's forecasts as CSV or parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context

from forecasting import selectors
from forecasting.errors import VersionUnknown
from forecasting.management.commands._shared import check_target, day, domain_errors, written_whole
from forecasting.models import ForecastSet, Level
from forecasting.services.exporting import export_csv, export_parquet
from tenants.selectors import get_tenant

_WRITERS = {".csv": export_csv, ".parquet": export_parquet}


class Command(BaseCommand):
    help = (
        "Write the forecasts of the champion, the newest candidate or a version by number to a .csv or .parquet file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--out", type=Path, required=True, metavar="F.csv|F.parquet")
        parser.add_argument(
            "--version", dest="model_version", default="champion", help="champion (default), candidate or a number"
        )
        parser.add_argument(
            "--level", choices=Level.values, help="the total, the stores or the categories instead of the series"
        )
        parser.add_argument("--as-of", type=day, help="what was forecast on or before this day (default: the newest)")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """`--version` names a model here, not the release of the program."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        target: Path = check_target(options["out"])
        write = _WRITERS.get(target.suffix.lower())
        if write is None:
            raise CommandError(f"{target.name} ends neither in .csv nor in .parquet.", returncode=2)
        with domain_errors(), tenant_context(get_tenant(options["schema"])):
            found = _find(options["model_version"], options["as_of"])
            _require_level(found, options["level"])
            with written_whole(target) as temporary:
                rows = write(found, temporary, options["level"])
        self.stdout.write(f"{rows} forecasts of {found} written to {target}")


def _require_level(found: ForecastSet, level: str | None) -> None:
    if level is not None and not found.node_paths.filter(level=level).exists():
        there = list(found.node_paths.order_by("pk").values_list("level", flat=True))
        known = f"It has: {', '.join(dict.fromkeys(there))}." if there else "It has none above the series."
        raise CommandError(f"{found} has no forecasts of level {level}. {known}", returncode=2)


def _find(name: str, as_of: Any) -> ForecastSet:
    """The set that a name and a day mean. Raises VersionUnknown."""
    if name.strip().lower() == "champion" and as_of is not None:
        found = selectors.set_served_on(as_of)
        if found is None:
            raise VersionUnknown(f"Nothing served on {as_of}. Leave out --as-of for what serves now.")
        return found
    version = selectors.version_named(name)
    found = selectors.newest_set(version, as_of=as_of)
    if found is None:
        raise VersionUnknown(f"{version.label} has no forecasts{f' from {as_of} or before' if as_of else ''}.")
    return found
