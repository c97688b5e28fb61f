"""What the tenants do by themselves: only where there is something to do, and what they find."""

from __future__ import annotations

from datetime import timedelta

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from forecasting import schedules
from forecasting.models import Demand
from forecasting.services import verifying
from forecasting.services.alarms import VERIFY_CHAMPION
from forecasting.tests.factories import AS_OF, make_candidate, make_demand, promote
from integrations.models import Incident
from ledger.execution import run_inline
from ledger.jobs import all_kinds
from tenants.models import Tenant
from tenants.schedules import all_schedules


def test_schedules__every_one__names_a_known_kind_of_job() -> None:
    kinds = {kind.kind for kind in all_kinds()}
    names = {schedule.name for schedule in all_schedules()}
    assert {schedule.kind for schedule in all_schedules()} <= kinds
    assert {
        "forecasting.daily", "forecasting.accuracy", "forecasting.refresh", "forecasting.rollback_drill",
        "forecasting.lapse_requests", "forecasting.verify_champion", "sftp_pull", "watch", "verify_ledger",
    } <= names  # fmt: skip


def test_schedules__applies__follows_what_there_is_to_do(alpha: Tenant) -> None:
    by_name = {schedule.name: schedule for schedule in all_schedules()}

    def apply() -> dict[str, bool]:
        names = ("forecasting.accuracy", "forecasting.refresh", "forecasting.verify_champion", "sftp_pull")
        return {name: by_name[name].applies() for name in names}  # type: ignore[misc]  # all of them ask

    assert not any(apply().values())
    series = make_demand(until=AS_OF, days=10)
    promote(make_candidate())
    assert apply() == {
        "forecasting.accuracy": False, "forecasting.refresh": False, "forecasting.verify_champion": True,
        "sftp_pull": False,
    }  # fmt: skip
    Demand.objects.create(series=series[0], date=AS_OF + timedelta(days=1), quantity=1, batch_id=1)
    assert schedules.days_came() and schedules.may_refresh()


def test_verify_champion__damaged_file__opens_the_incident_and_the_whole_one_does_not(alpha: Tenant) -> None:
    assert run_inline(kind=VERIFY_CHAMPION).outputs == {"version": None, "files": 0, "bad": 0}
    champion = promote(make_candidate()).version
    whole = run_inline(kind=VERIFY_CHAMPION)
    assert whole.outputs == {"version": champion.number, "files": 2, "bad": 0} and not Incident.objects.exists()
    path = champion.artifacts.get(role="serving").path
    default_storage.delete(path)
    default_storage.save(path, ContentFile(b"not what it was"))
    assert run_inline(kind=VERIFY_CHAMPION).outputs["bad"] == 1
    assert Incident.objects.get().subject == champion.label
    assert not verifying.verify_artifacts(version=champion, actor=None)[1].good
