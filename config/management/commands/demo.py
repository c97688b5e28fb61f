"""``manage.py demo``: three tenants on real retail data, up to a promotion that waits for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.demo.people import Logins
from config.demo.run import PLANS, run_demo
from config.demo.story import DemoRefused
from ledger.errors import DomainError
from tenants.services.provisioning import host_of


class Command(BaseCommand):
    help = "Set up three demo tenants with real retail data and run the whole chain; what is done stays done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, default=settings.BASE_DIR / "build" / "demo.json")
        parser.add_argument(
            "--only", action="append", default=[], choices=[plan.schema_name for plan in PLANS], help="one tenant only"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result, logins = run_demo(
                data_dir=settings.DATA_DIR, out=options["out"], only=options["only"], say=self._say
            )
        except (DemoRefused, DomainError) as error:
            raise CommandError(f"The demo stopped: {error}", returncode=1) from error
        self._table(result)
        self._logins(logins, list(result["tenants"]))

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _table(self, result: dict[str, Any]) -> None:
        self.stdout.write("")
        for name, entry in result["tenants"].items():
            wape, naive = entry["wape"], entry["wape_naive"]
            self.stdout.write(
                f"{name}: {entry['series']} series; champion {entry['champion']}; candidate {entry['candidate']}: "
                f"{entry['verdict']}; WAPE {_figure(wape)} (naive {_figure(naive)}), coverage80 "
                f"{_figure(entry['coverage80'])}; {entry['forecasts']:,} forecasts"
            )
        self.stdout.write(f"{result['seconds']} s, {result['peak_rss_mb']} MB at most. Details: build/demo.json")

    def _logins(self, logins: Logins, schema_names: list[str]) -> None:
        self.stdout.write("\nAfter `make run` (or `manage.py serve`), sign in at:")
        for schema_name in ["public", *schema_names]:
            host = settings.PLATFORM_HOST if schema_name == "public" else host_of(schema_name)
            self.stdout.write(f"  http://{host}:{settings.PORT}/admin/")
            for username, password in logins.by_schema[schema_name].items():
                self.stdout.write(f"      {username:<10} {password}")


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
