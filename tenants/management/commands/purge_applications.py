"""``manage.py purge_applications``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.services.purging import purge


class Command(BaseCommand):
    help = "Expire applications that nobody confirmed, and delete personal data whose time is over. Run it daily."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = purge()
        self.stdout.write(", ".join(f"{name}: {count}" for name, count in counts.items()))
