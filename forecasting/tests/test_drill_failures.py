"""Drills that go wrong: what fails is recorded and told, what was begun is cleared away, and nothing reaches live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from forecasting import selectors
from forecasting.errors import ReasonMissing
from forecasting.errors_rollback import DrillNotPossible
from forecasting.models import ChampionAssignment, ForecastSet, ModelVersion, RollbackDrill
from forecasting.services import drill
from forecasting.services.drill_models import choose_ground
from forecasting.tests.drill_world import NEWEST, make_drill, make_ground, work_off
from forecasting.tests.factories import AS_OF, make_person
from forecasting.tests.fitted import drop_files, stored_file
from integrations.errors import TenantSuspended
from integrations.incident_errors import StillFailing
from integrations.models import Incident
from integrations.services.incidents import resolve_incident
from ledger.errors import RunAlreadyLive
from ledger.models import Run, RunState
from ledger.services import runs
from tenants.errors import RoleRequired
from tenants.models import Tenant, TenantStatus
from tenants.roles import Role


@pytest.fixture
def ground(alpha: Tenant) -> Iterator[ChampionAssignment]:
    made = make_ground()
    yield made
    drop_files(made.version)


def nothing_left() -> bool:
    open_now = ChampionAssignment.objects.filter(channel="drill", to_at=None).exists()
    return not open_now and not ForecastSet.objects.filter(channel="drill").exists()


def test_start__those_who_may_not__or_without_a_reason__are_refused(alpha: Tenant, ground: ChampionAssignment) -> None:
    for role in (Role.VIEWER, Role.REVIEWER):
        with pytest.raises(RoleRequired):
            drill.start_drill(actor=make_person(role.value, role), reason="Now")
    with pytest.raises(ReasonMissing):
        drill.start_drill(actor=None, reason=" ")
    first = drill.start_drill(actor=None, reason="Now")
    with pytest.raises(RunAlreadyLive) as refused:
        drill.start_drill(actor=None, reason="Now, too")
    assert refused.value.run == first
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.SUSPENDED)
    with pytest.raises(TenantSuspended):
        drill.start_drill(actor=None, reason="Now")


def test_start__nothing_serves__is_refused_and_the_schedule_lets_it_be(alpha: Tenant) -> None:
    with pytest.raises(DrillNotPossible, match="nothing serves yet"):
        drill.start_drill(actor=None, reason="Now")
    assert not drill.may_drill()
    runs.enqueue(kind=drill.START)
    (run,) = work_off(alpha)
    assert (run.state, run.error_code) == (RunState.FAILED, "drill_not_possible")
    assert not RollbackDrill.objects.exists() and not Incident.objects.exists()


def test_ground__champion_is_as_new_as_the_data__its_spec_is_fitted_as_of_an_earlier_day(alpha: Tenant) -> None:
    made = make_ground(newest=AS_OF, days=120)
    found = choose_ground()
    assert found.version is None and found.origin == AS_OF - timedelta(days=14)
    drill.start_drill(actor=None, reason="The champion is of today")
    steps = work_off(alpha)
    record = RollbackDrill.objects.get()
    assert record.outcome == "passed", [one.error for one in steps] + [record.sentence]
    assert record.reference is not None and record.reference.mode == "drill" and record.bit_identical
    assert ModelVersion.objects.filter(mode="drill").count() == 2
    live = selectors.current_champion()
    assert live is not None and live.version == made.version
    paths = [row.path for version in ModelVersion.objects.filter(mode="drill") for row in version.artifacts.all()]
    assert paths and all(default_storage.exists(path) for path in paths), "files go when the transaction commits"
    drop_files(made.version)


def test_drill__file_of_what_is_put_back_is_damaged_meanwhile__fails_by_name_and_clears_away(
    alpha: Tenant, ground: ChampionAssignment
) -> None:
    drill.start_drill(actor=None, reason="Now")
    work_off(alpha, until=drill.RESTORE)
    path = stored_file(ground.version, "calibration.json")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    steps = work_off(alpha)
    assert (steps[-1].kind, steps[-1].state, steps[-1].error_code) == (drill.RESTORE, "failed", "artifact_corrupt")
    record = RollbackDrill.objects.get()
    assert record.outcome == "failed" and "serving/calibration.json of v1" in record.sentence and nothing_left()
    incident = Incident.objects.get(trigger="drill_failed")
    with pytest.raises(StillFailing, match="No drill has ended since"):
        resolve_incident(incident_id=incident.pk, actor=make_person("admin", Role.TENANT_ADMIN), text="Done")
    path.write_bytes(content)
    drill.start_drill(actor=None, reason="Mended")
    work_off(alpha)
    resolve_incident(incident_id=incident.pk, actor=None, text="The next drill passed")


def test_drill__damage_that_is_too_small__is_not_noticed_and_fails(
    alpha: Tenant, ground: ChampionAssignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forecasting.engine import damage

    monkeypatch.setattr(damage.damaged, "__defaults__", (1.0001,))
    drill.start_drill(actor=None, reason="Now")
    steps = work_off(alpha)
    record = RollbackDrill.objects.get()
    assert record.outcome == "failed" and "noticed" in record.sentence and record.days_to_detect is None
    assert record.bit_identical, "it was put back all the same"
    assert (steps[-1].kind, steps[-1].error_code) == (drill.PROVE, "drill_failed") and nothing_left()
    assert Incident.objects.get().trigger == "drill_failed"


def test_drill__cancelled__is_recorded_as_stopped_without_an_incident(
    alpha: Tenant, ground: ChampionAssignment
) -> None:
    root = drill.start_drill(actor=None, reason="Now")
    work_off(alpha, until=drill.NOTICE)
    waiting = Run.objects.get(kind=drill.NOTICE)
    runs.cancel(run_id=waiting.pk, actor=None)
    record = RollbackDrill.objects.get()
    assert (record.outcome, record.run_id) == ("stopped", root.pk) and nothing_left()
    assert not Incident.objects.exists() and ModelVersion.objects.get(mode="drill").status == "retired"


def test_drill__step_that_is_done_twice__finds_what_it_had_done(alpha: Tenant, ground: ChampionAssignment) -> None:
    drill.start_drill(actor=None, reason="Now")
    work_off(alpha, until=drill.DAMAGE)
    for kind in (drill.DAMAGE, drill.NOTICE, drill.RESTORE):
        work_off(alpha, until=drill.STEPS[drill.STEPS.index(kind) + 1])
        # As after a kill between the work and the end of the run.
        Run.objects.filter(kind=kind).update(state=RunState.QUEUED)
        work_off(alpha, until=drill.STEPS[drill.STEPS.index(kind) + 1])
        assert Run.objects.get(kind=kind).attempt == 2
    work_off(alpha)
    assert RollbackDrill.objects.get().outcome == "passed"
    assert ChampionAssignment.objects.filter(channel="drill").count() == 3
    assert ModelVersion.objects.filter(mode="drill").count() == 1 and Run.objects.filter(kind=drill.PROVE).count() == 1


# --- doors ------------------------------------------------------------------------------------------------------------


def test_page__analyst__starts_a_drill_by_post_and_sees_it_at_work(
    alpha: Tenant, ground: ChampionAssignment, client_of: Callable[..., Client]
) -> None:
    client = client_of("alpha", make_person("ann", Role.ANALYST))
    listed, start = (reverse(f"admin:forecasting_rollbackdrill_{name}") for name in ("changelist", "start"))
    assert start in client.get(listed).content.decode() and client.get(start).status_code == 200
    assert not Run.objects.filter(kind=drill.START).exists(), "a GET starts nothing"
    answer = client.post(start, {"reason": "Before the season"})
    run = Run.objects.get(kind=drill.START)
    at_work = reverse("admin:ledger_run_change", args=[run.pk])
    assert answer["Location"] == at_work and at_work in client.get(listed).content.decode()
    assert "queued already" in client.post(start, {"reason": "Once more"}).content.decode()
    made = make_drill()
    page = client.get(reverse("admin:forecasting_rollbackdrill_change", args=[made.pk])).content.decode()
    assert "Noticed after 3 steps." in page and "b" * 64 in page
    report = client.get(reverse("admin:forecasting_rollbackdrill_report", args=[made.pk]))
    assert "ROLLBACK_DRILL_REPORT_" in report["Content-Disposition"] and b"# Rollback drill of Alpha" in report.content


def test_command__bad_input__is_wrong_usage_and_starts_nothing(alpha: Tenant, tmp_path: Path) -> None:
    for words, said in (
        (["gamma"], "no tenant"),
        (["alpha"], "nothing serves yet"),
        (["alpha", "--report", str(tmp_path / "nowhere")], "is no folder"),
    ):
        with pytest.raises(CommandError, match=said) as refused:
            call_command("rollback_drill", *words)
        assert refused.value.returncode == 2
    assert not Run.objects.filter(kind=drill.START).exists() and NEWEST > AS_OF
