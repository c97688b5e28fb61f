"""The whole demo: database, three tenants, their people and their stories; and build/demo.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management import call_command

from config.demo.measure import PeakMemory, Stopwatch
from config.demo.people import Logins, ensure_people
from config.demo.story import DemoRefused, Plan, ensure_tenant, summary, tell_story
from integrations.demo import CONTRACTS
from integrations.demo.write import write_demo_files
from productization.services.tracking import load_tracker
from tenants.models import TenantTier
from tenants.services.provisioning import ensure_platform
from tenants.services.templates import ensure_template

PLANS: tuple[Plan, ...] = (
    Plan("smb_tenant_a", "Corner Market A", TenantTier.SMB, "America/New_York", "USD", ("seasonal_average",)),
    Plan("smb_tenant_b", "Corner Market B", TenantTier.SMB, "America/Chicago", "USD", ("seasonal_average",)),
    Plan(
        "enterprise_like", "Enterprise Grocer", TenantTier.ENTERPRISE, "America/New_York", "USD", ("seasonal_average",)
    ),
)
_READY = "READY"


def run_demo(
    *, data_dir: Path, out: Path, only: Sequence[str], say: Callable[[str], None]
) -> tuple[dict[str, Any], Logins]:
    """Do what is not done yet and write ``out``; return its content and everybody's login.

    Raises ``DemoRefused`` where a tenant would end without loaded rows or forecasts.
    """
    plans = [plan for plan in PLANS if not only or plan.schema_name in only]
    watch = Stopwatch()
    watches = {plan.schema_name: Stopwatch() for plan in plans}
    with PeakMemory() as memory, watch.step("all"):
        say("database: migrating")
        call_command("migrate_schemas", verbosity=0, interactive=False)
        ensure_platform()
        ensure_template()
        for plan in plans:
            with watches[plan.schema_name].step("create_tenant"):
                ensure_tenant(plan)
        load_tracker()
        logins = ensure_people(data_dir, [plan.schema_name for plan in plans])
        files = _files(data_dir / "demo", say)
        for plan in plans:
            tell_story(
                plan,
                data_dir=files / plan.schema_name,
                contract_path=CONTRACTS / f"{plan.schema_name}.yaml",
                watch=watches[plan.schema_name],
                tell=partial(_tell, say, plan.schema_name),
            )
    result: dict[str, Any] = {
        "tenants": {plan.schema_name: summary(plan.schema_name, watches[plan.schema_name]) for plan in plans},
        "seconds": watch.seconds["all"],
        "peak_rss_mb": round(memory.peak_mb),
    }
    for name, entry in result["tenants"].items():
        if entry["rows_read"] != entry["rows_loaded"] + entry["rows_merged"] + entry["rows_rejected"]:
            raise DemoRefused(f"{name}: rows are not conserved: {entry}")
        if not entry["forecasts"]:
            raise DemoRefused(f"{name}: there are no forecasts")
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_suffix(".new")
    fresh.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    fresh.replace(out)
    return result, logins


def _tell(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}: {text}")


def _files(folder: Path, say: Callable[[str], None]) -> Path:
    """Write the source files of the three tenants once; a run that was interrupted writes them again."""
    if not (folder / _READY).exists():
        say("demo files: writing three source schemas from the grocery data")
        write_demo_files(folder)
        (folder / _READY).touch()
    return folder
