"""``manage.py check_branch_protection``: whether GitHub enforces on `main` what the repository declares."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from productization.github import declared_checks, protection_finding
from productization.proof.evidence import State


class Command(BaseCommand):
    help = (
        "Compare the checks that GitHub requires on main with the jobs of .github/workflows/ci.yml. The token comes "
        "from FORECOURT_GITHUB_TOKEN. Exit 1: something is not enforced; 2: GitHub could not be asked."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repo", metavar="OWNER/NAME", help="default: FORECOURT_GITHUB_REPOSITORY")

    def handle(self, *args: Any, **options: Any) -> None:
        finding = protection_finding(repository=options["repo"])
        if finding.state is not State.VERIFIED:
            raise CommandError(finding.reason, returncode=1 if finding.state is State.FAILED else 2)
        names = ", ".join(sorted(declared_checks(settings.BASE_DIR)))
        self.stdout.write(f"{finding.facts['repository']}: required on main: {names}.")
