"""The five incidents are really caused on a small tenant, found, mended and verified; and who may not cause them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoDbBlocker
from pytest_django.fixtures import Settings

from config.conf import BASE_DIR
from config.simulation.jobs import TITLES
from config.simulation.run import is_demo, put_back
from config.simulation.scenarios import PROBE, SCENARIOS
from config.simulation.world import Journal
from forecasting.services.verifying import verify_artifacts
from forecasting.tests.factories import make_candidate, promote
from integrations.incidents import get_trigger
from integrations.models import Source
from ledger.models import Run, RunState
from ledger.services import runs
from tenants.models import Tenant, TenantStatus
from tests.own_site import own_site


@pytest.mark.usefixtures("django_db_setup")
def test_simulate_incident__all_five__are_found_mended_and_leave_nothing_behind(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock(), own_site() as site:
        env = {
            **site.env,
            "FORECOURT_RUN_HEARTBEAT_SECONDS": "0.5",
            "FORECOURT_RUN_LOST_AFTER_SECONDS": "3",
            "FORECOURT_WORKERS": "1",
            "FORECOURT_SCHEDULES": "false",
        }

        def run(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([sys.executable, *command], cwd=BASE_DIR, env=env, capture_output=True, text=True)

        made = run("-m", "tests.simulation_shop", "alpha", str(tmp_path))
        assert made.returncode == 0, made.stderr
        out = tmp_path / "evidence"
        command = ["manage.py", "simulate_incident", "all", "alpha", "--yes-really", "--patience", "60"]
        done = run(*command, "--files", str(tmp_path), "--out", str(out))
        assert done.returncode == 0, (done.stdout, done.stderr)
        for name in TITLES:
            evidence = json.loads((out / f"incident_{name}.json").read_text(encoding="utf-8"))
            assert evidence["passed"], evidence["checks"]
            steps = [event for event in evidence["incident"]["events"] if event["kind"] == "step"]
            assert len(steps) == len(get_trigger(SCENARIOS[name].trigger).steps)
            assert evidence["seconds_to_detect"] >= 0 and "## Checks" in (out / f"incident_{name}.md").read_text()
        live = site.ask("SELECT count(*) FROM alpha.integrations_incident WHERE state <> 'resolved'")
        assert live == [(0,)] and not list((site.data_dir / "simulations").glob("alpha.*"))
        days = site.ask("SELECT count(*), sum(quantity) FROM alpha.forecasting_demand")
        assert days == [(28, 2.0 * sum(day * 3 % 7 + 2 for day in range(14)))], (
            "the newest day once more is the same demand"
        )


def test_scenarios__every_one__has_a_trigger_a_title_and_steps_that_it_knows() -> None:
    assert {name: one.title for name, one in SCENARIOS.items()} == TITLES
    for scenario in SCENARIOS.values():
        assert set(scenario.mend) <= {step.key for step in get_trigger(scenario.trigger).steps}
    assert is_demo("smb_tenant_a") and not is_demo("alpha")


def test_simulate_incident__a_tenant_that_somebody_relies_on__is_refused(alpha: Tenant) -> None:
    with pytest.raises(CommandError, match="no demo tenant"):
        call_command("simulate_incident", "stale_source", "alpha")
    with pytest.raises(CommandError, match="nobody"):
        call_command("simulate_incident", "stale_source", "nobody", "--yes-really")
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.SUSPENDED)
    with pytest.raises(CommandError, match="suspended"):
        call_command("simulate_incident", "stale_source", "alpha", "--yes-really")
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("simulate_incident", "meteor", "alpha")


def test_put_back__a_simulation_that_was_killed__restores_what_it_damaged(
    alpha: Tenant, settings: Settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    version = promote(make_candidate()).version
    row = version.artifacts.get(role="serving")
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    journal = Journal("alpha")
    backup = tmp_path / "backup"
    with default_storage.open(row.path, "rb") as stored:
        backup.write_bytes(stored.read())
    journal.add(what="file", path=row.path, backup=str(backup))
    default_storage.delete(row.path)
    default_storage.save(row.path, ContentFile(b"torn"))
    moved, was = "2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"
    source = Source.objects.create(name="till", source_type="smb_csv", last_sync_at=moved)
    journal.add(what="sync", source=source.pk, was=was, moved_to=moved)
    probe = runs.enqueue(kind=PROBE, inputs={"seconds": 1})
    journal.add(what="probe", run=str(probe.pk))

    told = put_back("alpha")
    assert len(told) == 3 and put_back("alpha") == []
    assert all(check.good for check in verify_artifacts(version=version, actor=None))
    source.refresh_from_db()
    assert source.last_sync_at is not None and source.last_sync_at.isoformat() == was
    assert Run.objects.get(pk=probe.pk).state == RunState.CANCELLED
