"""Rollback: what served before serves again from its verified files, at once, or nothing changes at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from forecasting import selectors
from forecasting.errors import ArtifactCorrupt, ReasonMissing
from forecasting.errors_rollback import ChampionMoved, NothingToRollBackTo, RollbackRefused, StorageUnavailable
from forecasting.models import ChampionAssignment, ForecastPath, ForecastSet, ModelVersion, PromotionRequest
from forecasting.services import champions
from forecasting.services.publishing import forecast_version, is_complete, repair_set
from forecasting.services.refresh import guard_and_assign
from forecasting.services.rollback import Rollback, plan_rollback, rollback_champion, rollback_targets
from forecasting.tests.factories import (
    AS_OF,
    make_candidate,
    make_demand,
    make_forecasts,
    make_pending_request,
    make_person,
    make_series,
    promote,
)
from forecasting.tests.fitted import drop_files, make_fitted, stored_file
from forecasting.tests.promotion_state import lost, tampered
from forecasting.tests.test_champions import context, realise
from integrations.errors import TenantSuspended
from integrations.incident_errors import StillFailing
from integrations.models import Incident
from integrations.services.incidents import resolve_incident
from ledger.models import AuditEvent, Run, RunState
from ledger.services.audit import record
from ledger.services.verify import verify_chain
from tenants.errors import RoleRequired
from tenants.models import Heartbeat, Tenant, TenantStatus
from tenants.roles import Role

REASON = "Its errors doubled since Monday"


@dataclass(frozen=True)
class Served:
    """v1 served first, v2 serves now; both have real files and forecasts from the newest day."""

    first: ChampionAssignment
    second: ChampionAssignment
    reviewer: User

    @property
    def v1(self) -> ModelVersion:
        return self.first.version

    def back(self, **options: int) -> Rollback:
        return rollback_champion(
            actor=self.reviewer, reason=REASON, version=self.v1.number, expected=options.get("expected")
        )


@pytest.fixture
def served(alpha: Tenant) -> Iterator[Served]:
    make_demand(series=make_series(4), days=40)
    first, second = (promote(make_fitted(seed=seed)) for seed in (1, 2))
    first.refresh_from_db()
    yield Served(first, second, make_person("rita", Role.REVIEWER))
    for one in (first, second):
        drop_files(one.version)


def repair_set_from_scratch(kept: ForecastSet) -> None:
    """Give a set of made-up numbers those of its own fit."""
    lost("forecastpath", f"forecast_set_id = {kept.pk}")
    repair_set(kept)


def champion() -> ChampionAssignment:
    found = selectors.current_champion()
    assert found is not None
    return found


def test_rollback__to_an_earlier_version__serves_verified_timed_and_audited(served: Served) -> None:
    done = rollback_champion(actor=served.reviewer, reason=f"  {REASON} ", assignment_id=served.first.pk)
    now = champion()
    assert now == done.assignment and (now.version, now.kind) == (served.v1, "rollback")
    assert (now.reason, now.assigned_by_name) == (REASON, "rita")
    serving = selectors.serving_set()
    assert serving is not None and serving.version == served.v1
    assert now.details["files"] == served.v1.artifacts.count() > 4
    seconds = now.details["seconds"]
    assert set(seconds) == {"verify", "load", "forecast", "publish", "total"} and seconds["verify"] > 0
    assert seconds["total"] >= seconds["verify"] + seconds["load"] and done.seconds.total >= seconds["total"]
    event = AuditEvent.objects.get(event="champion.rolled_back")
    assert event.data["seconds"] == seconds and event.data["displaces"] == served.second.version.number
    assert (event.actor_name, event.data["reason"]) == ("rita", REASON)
    beat = Heartbeat.objects.get(schema_name="alpha")
    assert beat.champion.startswith("v1 ") and beat.champion_since == now.from_at
    assert verify_chain().intact


def test_rollback__undone__what_was_displaced_serves_again(served: Served) -> None:
    served.back()
    back = rollback_champion(actor=served.reviewer, reason="It was the data", version=served.second.version.number)
    assert champion() == back.assignment and back.assignment.version == served.second.version
    assert [row.version.number for row in ChampionAssignment.objects.order_by("pk")] == [1, 2, 1, 2]


def test_rollback__older_fit_of_the_same_spec__is_live_again_and_counts_from_the_newest_day(served: Served) -> None:
    ModelVersion.objects.filter(pk=served.v1.pk).update(status="retired")
    make_demand(until=AS_OF + timedelta(days=3))
    back = served.back().assignment
    assert (back.version.status, back.effective_on) == ("challenger", AS_OF + timedelta(days=3))
    assert selectors.champion_on(AS_OF + timedelta(days=3)) == back
    assert selectors.champion_on(AS_OF + timedelta(days=2)) == ChampionAssignment.objects.get(pk=served.second.pk)


def test_rollback__pending_request_against_the_displaced_champion__lapses(served: Served) -> None:
    waiting = make_pending_request(make_candidate(family="prophet"))
    served.back()
    waiting.refresh_from_db()
    assert waiting.state == "lapsed" and "v1" in waiting.decision_reason


# --- who --------------------------------------------------------------------------------------------------------------


def test_rollback__reviewer_or_tenant_admin__may_and_nobody_else_even_a_superuser(served: Served) -> None:
    for roles in ((), (Role.VIEWER,), (Role.ANALYST,)):
        person = make_person("somebody", *roles)
        person.is_superuser = True
        person.save()
        with pytest.raises(RoleRequired):
            rollback_champion(actor=person, reason=REASON, version=1)
    assert champion() == served.second
    for role, number in ((Role.TENANT_ADMIN, 1), (Role.REVIEWER, 2)):
        done = rollback_champion(actor=make_person(role.value, role), reason=REASON, version=number)
        assert done.assignment.assigned_by_name == role.value


def test_rollback__nobody_by_name__is_refused(served: Served) -> None:
    for operator in ("", "  "):
        with pytest.raises(RoleRequired):
            rollback_champion(actor=None, operator=operator, reason=REASON, version=1)
    done = rollback_champion(actor=None, operator="kim (command line)", reason=REASON, version=1)
    assert done.assignment.assigned_by_name == "kim (command line)"
    assert AuditEvent.objects.get(event="champion.rolled_back").data["by"] == "kim (command line)"


def test_rollback__reviewer_removed_since_the_page_was_opened__is_refused(served: Served) -> None:
    opened = User.objects.get(pk=served.reviewer.pk)
    served.reviewer.is_active = False
    served.reviewer.save()
    with pytest.raises(RoleRequired):
        rollback_champion(actor=opened, reason=REASON, version=1)
    served.reviewer.delete()
    with pytest.raises(RoleRequired):
        rollback_champion(actor=opened, reason=REASON, version=1)


def test_rollback__reason_says_nothing__is_refused(served: Served) -> None:
    for reason in ("", "  ", "...", "\u200b"):
        with pytest.raises(ReasonMissing):
            rollback_champion(actor=served.reviewer, reason=reason, version=1)


def test_rollback__suspended_tenant__is_refused(served: Served, alpha: Tenant) -> None:
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.SUSPENDED)
    with pytest.raises(TenantSuspended):
        served.back()
    assert champion() == served.second


# --- to what ----------------------------------------------------------------------------------------------------------


def test_rollback__to_what_never_served__is_refused(served: Served) -> None:
    fresh = make_candidate(family="prophet")
    for asked in ({"version": fresh.number}, {"version": 99}, {"assignment_id": 10**9}):
        with pytest.raises(NothingToRollBackTo, match="v1"):
            rollback_champion(
                actor=served.reviewer,
                reason=REASON,
                assignment_id=asked.get("assignment_id"),
                version=asked.get("version"),
            )
    assert champion() == served.second and [one.version for one in rollback_targets()] == [served.v1]


def test_rollback__to_the_champion_itself__is_refused(served: Served) -> None:
    for asked in ({"version": 2}, {"assignment_id": served.second.pk}):
        with pytest.raises(RollbackRefused, match="already"):
            rollback_champion(
                actor=served.reviewer,
                reason=REASON,
                assignment_id=asked.get("assignment_id"),
                version=asked.get("version"),
            )


def test_rollback__to_a_failed_version__is_refused(served: Served) -> None:
    tampered("modelversion", f"status = 'failed' WHERE id = {served.v1.pk}")
    with pytest.raises(RollbackRefused, match="failed"):
        served.back()
    assert rollback_targets() == []


def test_rollback__nothing_ever_served__is_refused(alpha: Tenant) -> None:
    make_candidate()
    with pytest.raises(NothingToRollBackTo, match="No other version"):
        rollback_champion(actor=make_person("rita", Role.REVIEWER), reason=REASON, version=1)


def test_rollback__time_on_the_drill_channel__is_no_time_in_service(served: Served) -> None:
    fresh = make_candidate(family="prophet")
    drilled = champions.assign(version=fresh, kind="promotion", channel="drill")
    for asked in ({"version": fresh.number}, {"assignment_id": drilled.pk}):
        with pytest.raises(NothingToRollBackTo):
            rollback_champion(
                actor=served.reviewer,
                reason=REASON,
                assignment_id=asked.get("assignment_id"),
                version=asked.get("version"),
            )


def test_rollback__champion_is_not_the_one_that_was_seen__is_refused(served: Served) -> None:
    with pytest.raises(ChampionMoved, match="v1"):
        served.back(expected=served.first.pk)
    assert champion() == served.second
    served.back(expected=served.second.pk)


# --- files ------------------------------------------------------------------------------------------------------------


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_rollback__file_missing_short_or_changed__is_refused_by_name_and_the_champion_stays(served: Served) -> None:
    before = list(ChampionAssignment.objects.values())
    files = (("serving", "seasonal_average.json"), ("serving", "manifest.json"), ("evaluation", "calibration.json"))
    for role, name in files:
        path = stored_file(served.v1, name, role)
        content = path.read_bytes()
        for damage in (_remove, _truncate, _empty, _alter):
            damage(path)
            with pytest.raises(ArtifactCorrupt, match=f"{role}/{name} of v1") as refused:
                served.back()
            assert (refused.value.role, refused.value.file) == (role, name)
            path.write_bytes(content)
    assert list(ChampionAssignment.objects.values()) == before
    assert not AuditEvent.objects.filter(event="champion.rolled_back").exists()
    incident = Incident.objects.get()
    assert (incident.trigger, incident.subject, incident.occurrences) == ("artifact_corrupt", "v1", 12)
    assert incident.facts["file"] == "calibration.json"


def test_incident__damaged_model__ends_only_when_its_files_are_whole_again(served: Served) -> None:
    path = stored_file(served.v1)
    content = path.read_bytes()
    _truncate(path)
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt):
            served.back()
    incident, admin = Incident.objects.get(), make_person("admin", Role.TENANT_ADMIN)
    assert incident.occurrences == 2
    with pytest.raises(StillFailing, match="corrupt"):
        resolve_incident(incident_id=incident.pk, actor=admin, text="I think it is well")
    path.write_bytes(content)
    resolve_incident(incident_id=incident.pk, actor=admin, text="Restored from the backup")
    served.back()
    assert champion().version == served.v1


def test_rollback__storage_stops_in_the_middle__nothing_is_half_done(served: Served) -> None:
    path = stored_file(served.v1, "calibration.json")
    path.unlink()
    path.mkdir()  # the store answers, and cannot give this file
    try:
        with pytest.raises(StorageUnavailable, match=r"calibration\.json of v1"):
            served.back()
    finally:
        shutil.rmtree(path)
    assert champion() == served.second
    serving = selectors.serving_set()
    assert serving is not None and serving.version == served.second.version


def test_rollback__audit_cannot_be_written__nothing_is_half_done(served: Served) -> None:
    make_demand(until=AS_OF + timedelta(days=1))
    shadow = make_forecasts(served.v1, origin=AS_OF + timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'disk full'; END $$;
            CREATE TRIGGER disk_full BEFORE INSERT ON ledger_auditevent FOR EACH ROW
            WHEN (NEW.event = 'champion.rolled_back') EXECUTE FUNCTION disk_full()"""
        )
    with pytest.raises(DatabaseError, match="disk full"), transaction.atomic():
        served.back()
    assert champion() == served.second
    assert ForecastSet.objects.get(pk=shadow.pk).published_at is None
    assert ChampionAssignment.objects.get(pk=served.second.pk).to_at is None


# --- forecasts --------------------------------------------------------------------------------------------------------


def test_rollback__its_forecasts_are_older_than_the_data__they_serve_while_a_job_makes_newer_ones(
    served: Served,
) -> None:
    make_demand(until=AS_OF + timedelta(days=5))
    done = served.back()
    assert (done.plan.behind_days, done.plan.fit_age_days) == (5, 5)
    serving = selectors.serving_set()
    assert serving is not None and (serving.version, serving.origin_date) == (served.v1, AS_OF)
    run = Run.objects.get(kind="forecasting.forecast")
    assert (run.state, run.inputs) == (RunState.QUEUED, {"version": 1})


def test_rollback__its_shadow_forecasts_are_the_newest__they_serve(served: Served) -> None:
    make_demand(until=AS_OF + timedelta(days=2))
    shadow = forecast_version(ctx=None, version=served.v1)
    assert shadow.published_at is None
    done = served.back()
    served_now = ForecastSet.objects.get(pk=shadow.pk)
    assert served_now.published_at is not None and selectors.serving_set() == served_now == done.forecast_set
    assert not Run.objects.filter(kind="forecasting.forecast").exists()


def test_rollback__its_newest_set_lost_paths__is_made_whole_first(served: Served) -> None:
    kept = ForecastSet.objects.get(version=served.v1)
    repair_set_from_scratch(kept)
    before = dict(kept.paths.values_list("series_id", "yhat"))
    lost("forecastpath", f"forecast_set_id = {kept.pk} AND series_id = {min(before)}")
    assert not is_complete(kept) and plan_rollback(version=1).repairs
    done = served.back()
    assert done.forecast_set == kept and is_complete(kept)
    assert dict(kept.paths.values_list("series_id", "yhat")) == before
    assert AuditEvent.objects.filter(event="forecast.repaired").latest("pk").data["lost"] == 1


def test_rollback__it_has_no_forecasts_or_an_older_broken_set__new_ones_are_made_before_it_serves(
    served: Served,
) -> None:
    make_demand(until=AS_OF + timedelta(days=1))
    path = ForecastPath.objects.filter(forecast_set__version=served.v1).earliest("pk")
    lost("forecastpath", f"id = {path.pk}")
    assert plan_rollback(version=1).origin is None
    done = served.back()
    assert (done.forecast_set.origin_date, done.plan.behind_days) == (AS_OF + timedelta(days=1), 0)
    assert is_complete(done.forecast_set) and selectors.serving_set() == done.forecast_set


def test_rollback__clock_set_back__keeps_history_in_order(served: Served) -> None:
    late = timezone.now() + timedelta(days=2)
    with transaction.atomic():
        row = ChampionAssignment.objects.get(pk=served.second.pk)
        row.to_at = row.from_at
        row.save(update_fields=["to_at"])
        ahead_of_time = ChampionAssignment.objects.create(
            version=row.version, kind="rollback", effective_on=AS_OF, from_at=late, reason="From the future"
        )
        record(event="champion.assigned", subject=ahead_of_time)
    back = served.back().assignment
    assert back.from_at == late and ChampionAssignment.objects.filter(to_at=None).get() == back


def test_details__of_an_assignment__are_never_rewritten(served: Served) -> None:
    served.back()
    with pytest.raises(DatabaseError), transaction.atomic():
        ChampionAssignment.objects.filter(to_at=None).update(details={})


def test_refresh__after_a_rollback__waits_for_a_person(served: Served) -> None:
    served.back()
    realise(served.v1)
    fresh = make_candidate(family="seasonal_average", seed=1, mode="refresh", as_of=AS_OF + timedelta(days=14))
    assert fresh.spec == served.v1.spec
    told = guard_and_assign(ctx=context(), version=fresh)
    assert told["outcome"] == "review" and champion().version == served.v1
    assert "rita rolled back" in PromotionRequest.objects.get(state="pending").reason
