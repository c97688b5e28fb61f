"""``manage.py export_decision_log``: every decision of the tenants, with its evidence, as a document."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_tenants.utils import schema_context

from forecasting.services.decision_log import Entry, entries
from forecasting.services.decision_text import log_markdown, strategy_markdown
from tenants.errors import UnknownTenant
from tenants.models import Tenant
from tenants.selectors import get_tenant

STRATEGY = "strategy.decided"


class Command(BaseCommand):
    help = (
        "Write the decision log of the tenants as Markdown, and beside it one MODEL_STRATEGY_DECISION_<date>.md for "
        "each day on which a strategy was decided. The same data give the same bytes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenants", default="", help="schemas, separated by commas (default: every tenant)")
        parser.add_argument(
            "--out", type=Path, default=Path("docs/PRODUCTION_DECISION_LOG.md"), help="the file to write"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        logs = [(tenant.name, _log(tenant)) for tenant in _tenants(options["tenants"])]
        out: Path = options["out"]
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(log_markdown(logs), encoding="utf-8")
        self.stdout.write(f"{out}: {sum(len(log) for _, log in logs)} decision(s) of {len(logs)} tenant(s)")
        for day in sorted({_day(one) for _, log in logs for one in log if one.kind == STRATEGY}):
            of_day = [(name, [one for one in log if one.kind == STRATEGY and _day(one) == day]) for name, log in logs]
            path = out.parent / f"MODEL_STRATEGY_DECISION_{day}.md"
            path.write_text(strategy_markdown(day, [(name, log) for name, log in of_day if log]), encoding="utf-8")
            self.stdout.write(f"{path}: {sum(len(log) for _, log in of_day)} decision(s)")


def _day(one: Entry) -> str:
    return one.at.astimezone(UTC).date().isoformat()


def _tenants(names: str) -> list[Tenant]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        return list(Tenant.objects.exclude(schema_name="public").order_by("schema_name"))
    try:
        return [get_tenant(name) for name in wanted]
    except UnknownTenant as error:
        raise CommandError(str(error), returncode=2) from error


def _log(tenant: Tenant) -> list[Entry]:
    with schema_context(tenant.schema_name):
        return list(entries())
