"""``manage.py rollback``: put back a version that served before; the API serves it when the command ends."""

from __future__ import annotations

import getpass
import os
import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context

from forecasting.management.commands._shared import check_target, domain_errors, write_json
from tenants.selectors import get_tenant


def _target(text: str) -> dict[str, int]:
    """``v3`` is a version, ``3`` an assignment."""
    found = re.fullmatch(r"(v?)([0-9]{1,9})", text.strip(), re.ASCII | re.IGNORECASE)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is neither a version such as v3 nor the number of an assignment")
    return {"version" if found.group(1) else "assignment_id": int(found.group(2))}


class Command(BaseCommand):
    help = (
        "Roll back to a version that served before: verify its files, load it, let its forecasts serve. "
        "Exit 1: it was refused, and the champion stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("schema")
        parser.add_argument("--to", required=True, type=_target, metavar="ASSIGNMENT|vN", help="what is to serve again")
        parser.add_argument("--reason", default="", help="why; kept with the assignment (needed without --dry-run)")
        parser.add_argument("--by", metavar="USERNAME", help="a reviewer or tenant admin; default: whoever types this")
        parser.add_argument("--dry-run", action="store_true", help="verify and say what would serve; change nothing")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the outcome to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        target = check_target(options["json"]) if options["json"] else None
        with domain_errors(), tenant_context(get_tenant(options["schema"])):
            told = self._dry_run(options) if options["dry_run"] else self._do(options)
        if target is not None:
            write_json(target, {"tenant": options["schema"], "dry_run": options["dry_run"], **told})

    def _dry_run(self, options: dict[str, Any]) -> dict[str, Any]:
        from forecasting.services.artifacts import verify_files
        from forecasting.services.rollback import plan_rollback

        plan = plan_rollback(**options["to"])
        verified = verify_files(plan.version)
        told = {**plan.to_json(), "files": verified.files, "bytes": verified.bytes}
        self.stdout.write(
            f"{plan.version} would take the place of {plan.displaces.version.label}; {verified.files} files verified. "
            f"{_serves(told)} Nothing was changed."
        )
        return told

    def _do(self, options: dict[str, Any]) -> dict[str, Any]:
        from forecasting.services.rollback import rollback_champion

        actor = None
        if options["by"] is not None:
            actor = User.objects.filter(username=options["by"]).first()
            if actor is None:
                raise CommandError(f"There is no user {options['by']!r} in {options['schema']}.", returncode=2)
        done = rollback_champion(
            actor=actor,
            operator="" if actor is not None else f"{_who()} (command line)",
            reason=options["reason"],
            **options["to"],
        )
        told = done.to_json()
        seconds = told["seconds"]
        self.stdout.write(
            f"{done.assignment.version} serves in place of {done.plan.displaces.version.label}. {_serves(told)} "
            f"{done.files} files verified in {seconds['verify']:.2f} s, fit loaded in {seconds['load']:.2f} s, "
            f"{seconds['total']:.2f} s in all."
        )
        return told


def _who() -> str:
    """The account that the command runs under; a container may have none by name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _serves(told: dict[str, Any]) -> str:
    age = f"Its fit has seen data until {told['fit_until']}"
    if told["forecast_origin"] is None:
        return f"{age}; its forecasts are made first."
    behind = told["behind_days"]
    later = f", {behind} day(s) behind the newest data: newer ones are made next" if behind else ""
    return f"{age}; its forecasts are from {told['forecast_origin']}{later}."
