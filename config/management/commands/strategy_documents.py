"""``manage.py strategy_documents``: a strategy cycle of a demo tenant with a recorded decision, kept in the docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django_tenants.utils import tenant_context

from config.revision import revision
from forecasting.management.commands._shared import check_target, domain_errors, written_whole
from forecasting.models import StrategyCycle
from forecasting.services.strategy import cycle_inline
from forecasting.services.strategy_decisions import decide_strategy, decision_record, standing_decision
from integrations.management.progress import Progress
from tenants.selectors import get_tenant

KEPT = settings.BASE_DIR / "docs" / "productization_artifacts"
DECISION_FILE = "model_strategy_decision.json"
TENANT, PERSON = "smb_tenant_a", "analyst"
REASON = "The demo's analyst accepts what the cycle proposes: the simplest mode within the noise of the best."


class Command(BaseCommand):
    help = (
        "Run a strategy cycle of a tenant, accept what it proposes as its analyst, and write the cycle's files and the "
        "decision into the docs. Nothing that serves changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default=TENANT, help=f"default: {TENANT}, of the demo")
        parser.add_argument("--person", default=PERSON, help="who decides: analyst or tenant admin of that tenant")
        parser.add_argument("--families", help="comma-separated (default: all)")
        parser.add_argument("--reason", default=REASON, help="kept with the decision")
        parser.add_argument("--out", type=Path, default=KEPT, help="default: docs/productization_artifacts")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        check_target(out / DECISION_FILE)
        progress = Progress(sys.stderr)
        with domain_errors(), tenant_context(get_tenant(options["tenant"])):
            person = User.objects.filter(username=options["person"]).first()
            if person is None:
                raise CommandError(f"{options['tenant']} has no {options['person']}: run manage.py demo.", returncode=2)
            try:
                cycle = cycle_inline(
                    actor=person,
                    families=options["families"].split(",") if options["families"] else None,
                    listener=progress if options["verbosity"] else None,
                )
            finally:
                progress.close()
            proposed = standing_decision(cycle).point
            decide_strategy(cycle_id=cycle.pk, point=proposed, actor=person, reason=options["reason"])
            cycle.refresh_from_db()
            self._write(cycle, out, options["tenant"])
        self.stdout.write(f"{cycle.sentence}\nWrote {out / DECISION_FILE} and the files of cycle {cycle.pk}")

    def _write(self, cycle: StrategyCycle, out: Path, tenant: str) -> None:
        for file in cycle.files:
            with written_whole(out / file["name"]) as temporary, default_storage.open(file["path"], "rb") as stored:
                temporary.write_bytes(stored.read())
        body = {"tenant": tenant, "revision": revision(), **decision_record(cycle)}
        with written_whole(out / DECISION_FILE) as temporary:
            temporary.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
