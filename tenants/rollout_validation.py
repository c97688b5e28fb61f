"""A migration of the fleet, tried out on a database of its own: from nothing, and from the release before this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django_tenants.utils import schema_context

from ledger.services.audit import record
from ledger.services.verify import verify_chain
from tenants.catalogue.blueprint import draw
from tenants.catalogue.comparing import differences
from tenants.catalogue.contents import copy_rows, digests, filled, tables_of
from tenants.catalogue.reading import only_in, rows, run
from tenants.errors import RolloutRefused
from tenants.fleet_state import customer_schemas, survey
from tenants.migration_state import TEMPLATE, Names, target
from tenants.models import Domain, Rollout, SchemaStanding, Tenant, TenantStatus
from tenants.services.fleet_migration import migrate_fleet
from tenants.services.provisioning import create_tenant, ensure_platform, host_of
from tenants.services.templates import ensure_template, migrate_to

_BACK = 2
"""So many of the newest migrations of each large app the last release is without, and all that needs them."""
Say = Callable[[str], None]


def previous_release() -> Names:
    """The state that stands for the last release: nothing is released yet, so a former state of the tenants' apps."""
    own = ("ledger.", "integrations.", "forecasting.")
    without: set[str] = set()
    for prefix in own:
        of_app = sorted(name for name in target().names if name.startswith(prefix))
        without |= set(of_app[-_BACK:]) if len(of_app) > 2 * _BACK else set()
    grows = True
    while grows:
        more = {name for name, parents in target().parents.items() if parents & without} - without
        without |= more
        grows = bool(more)
    return target().names - without


def validate(say: Say) -> dict[str, Any]:
    """Do both; the database has to be empty."""
    if rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1"):
        raise RolloutRefused("This database is not empty; the validation makes one of its own.")
    checks: list[dict[str, Any]] = []

    def check(what: str, holds: bool, seen: str = "") -> None:
        checks.append({"check": what, "holds": bool(holds), "seen": seen})
        say(f"{'ok' if holds else 'FAILED'}: {what} {seen}".rstrip())

    facts = {**_fresh(check), **_from_previous(check)}
    return {"checks": checks, "holds": all(one["holds"] for one in checks), "facts": facts}


def _fresh(check: Callable[..., None]) -> dict[str, Any]:
    started = time.perf_counter()
    call_command("migrate_schemas", shared=True, interactive=False, verbosity=0)
    ensure_platform()
    template = ensure_template()
    made = time.perf_counter() - started
    names = [f"fresh_{number}" for number in range(3)]
    for name in names:
        create_tenant(schema_name=name, name=name, status=TenantStatus.ACTIVE)
    rollout = migrate_fleet(processes=2, say=lambda text: None)
    check("fresh: a rollout over new tenants has nothing to do", (rollout.at_target, rollout.migrated) == (3, 0))
    for name in names:
        check(f"fresh: {name}, a clone, has the catalogue of the migrated template", not differences(name, TEMPLATE))
    return {"migrations": template.migrations, "seconds to make public and template": round(made, 1)}


def _from_previous(check: Callable[..., None]) -> dict[str, Any]:
    old = previous_release()
    pending = sorted(target().names - old)
    stuck = ["old_a_locked", "old_b_locked"]
    names = ["old_canary", *stuck, *(f"old_c{number}" for number in range(4))]
    broken = {
        "bad_missing": ("DROP SCHEMA bad_missing CASCADE", SchemaStanding.MISSING),
        "bad_half": ("DELETE FROM bad_half.django_migrations WHERE app = 'ledger' AND name = '0002_append_only'",
                     SchemaStanding.HALF_MIGRATED),
        "bad_drifted": ("DROP INDEX bad_drifted.ledger_one_live_run", SchemaStanding.DRIFTED),
    }  # fmt: skip
    _make_at(old, [*names, *broken])
    for damage, _ in broken.values():
        run(damage)
    before = {name: digests(name, tables_of(name)) for name in names}
    locked = [_lock(name) for name in stuck]
    first = migrate_fleet(processes=2, canaries=["old_canary"], max_errors=0, say=lambda text: None)
    canary = first.entries.filter(schema_name="old_canary", canary=True, outcome="migrated")
    check("previous: the canary went first and was migrated", canary.exists())
    failed = first.entries.filter(outcome="failed")
    words = failed[0].error if failed else ""
    check(
        "previous: two tenants whose tables were locked failed, and the budget of 0 stopped the rest",
        {one.schema_name for one in failed} <= set(stuck) and first.state == "stopped" and first.left > 0,
        f"({words}; {first.migrated} migrated, {first.left} left)",
    )
    stands = {name: view.standing for name, view in survey(stuck).views.items()}
    behind = set(stands.values()) == {SchemaStanding.BEHIND}
    check("previous: a tenant that failed is at a state complete in itself", behind, str(sorted(stands.items())))
    for name, (_, standing) in broken.items():
        entry = first.entries.filter(schema_name=name, outcome="untouched", standing=standing).first()
        check(f"previous: {name} was named as {standing.label.lower()} and not touched", entry is not None,
              f"({entry.error})" if entry else "")  # fmt: skip
    for one in locked:
        one.close()
    killed = _kill_one(check)
    last = migrate_fleet(processes=2, max_errors=0, say=lambda text: None)
    check("previous: the next call went on with those that were left", last.failed == 0 and last.left == 0,
          f"({last.migrated} migrated, {last.at_target} were there; it follows rollout {last.follows_id})")  # fmt: skip
    view = survey(customer_schemas())
    check("previous: every tenant but the broken ones is at the newest migration",
          set(view.standing(SchemaStanding.AT_TARGET)) >= set(names)
          and set(view.views) - set(view.standing(SchemaStanding.AT_TARGET)) == set(broken))  # fmt: skip
    for name in names:
        found = differences(name, TEMPLATE)
        check(f"previous: {name} has the catalogue of a new tenant", not found, "; ".join(found[:2]))
    kept = {name: _changed(before[name], digests(name, list(before[name]))) for name in names}
    check(
        "previous: no table that both releases have lost or gained rows, "
        "but those that list migrations, types and permissions",
        not any(kept.values()),
        str({k: v for k, v in kept.items() if v} or ""),
    )
    for name in names:
        with schema_context(name):
            check(f"previous: the audit chain of {name} is intact", verify_chain().intact)
    again = migrate_fleet(processes=2, say=lambda text: None)
    check("previous: one more call has nothing to do", again.migrated == 0)
    return {"previous release": f"{len(old)} migrations", "applied by the rollout": pending, **killed}


def _make_at(names: Names, schema_names: list[str]) -> None:
    """Tenants at these migrations: one really migrated to them, the others drawn from it; each with its own events."""
    source = schema_names[0]
    run(f"CREATE SCHEMA {source}")
    migrate_to(source, names)
    blueprint, held = draw(source), filled(source)
    for name in schema_names:
        if name != source:
            run(f"CREATE SCHEMA {name}")
            with only_in(name):
                run(blueprint.ground(name))
                for table, one in held.items():
                    copy_rows(source, name, table, one)
                run(blueprint.top(name))
        tenant = Tenant.objects.create(schema_name=name, name=name, status=TenantStatus.ACTIVE)
        Domain.objects.create(domain=host_of(name), tenant=tenant, is_primary=True)
    for number, name in enumerate(schema_names):
        with schema_context(name):
            for step in range(3):
                record(event="validation.step", data={"step": step, "tenant": number})


def _lock(schema_name: str) -> Any:
    """Another connection that holds a table of the tenant, as a long report would."""
    other = connections["default"].copy()
    cursor = other.cursor()
    cursor.execute(f"BEGIN; LOCK TABLE {schema_name}.forecasting_promotionrequest IN ACCESS EXCLUSIVE MODE")
    cursor.execute(f"LOCK TABLE {schema_name}.django_migrations, {schema_name}.auth_permission IN EXCLUSIVE MODE")
    return other


def _kill_one(check: Callable[..., None]) -> dict[str, Any]:
    """Kill the command with SIGKILL after its first tenant, and look at what it left."""
    manage = Path(settings.BASE_DIR) / "manage.py"
    command = [sys.executable, str(manage), "migrate_fleet", "--processes", "1"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))  # noqa: S603  # ours
    assert child.stdout is not None  # noqa: S101  # it was asked for
    seen = ""
    for line in child.stdout:
        if ": migrated (" in line:
            seen = line.strip()
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    child.stdout.close()
    time.sleep(1.0)  # its processes end with it
    check("previous: the command was killed after a tenant", child.returncode == -signal.SIGKILL, f"({seen})")
    try:
        stands = {view.standing for name, view in survey(customer_schemas()).views.items() if name.startswith("old_")}
        check("previous: no tenant is half migrated after the kill",
              stands <= {SchemaStanding.AT_TARGET, SchemaStanding.BEHIND}, str(sorted(stands)))  # fmt: skip
    finally:
        row = Rollout.objects.filter(state="running").first()
    return {"killed": seen, "its rollout stood as": row.state if row is not None else "ended"}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    own = {"django_migrations", "django_content_type", "auth_permission", "auth_group_permissions", "auth_group"}
    return sorted(table for table, one in before.items() if table not in own and after[table].count != one.count)
