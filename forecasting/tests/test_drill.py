"""The rollback drill: a really damaged model is noticed and put right, and the live channel is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, transaction

from forecasting.models import ChampionAssignment, ForecastSet, ModelVersion, RollbackDrill
from forecasting.services import drill
from forecasting.tests.api_helpers import get, viewer_key
from forecasting.tests.drill_world import make_ground, work_off
from forecasting.tests.factories import make_person
from forecasting.tests.fitted import drop_files
from integrations.models import Incident
from ledger.models import AuditEvent, Run, RunState
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tenants.roles import Role


@pytest.fixture
def ground(alpha: Tenant) -> Iterator[ChampionAssignment]:
    made = make_ground()
    yield made
    drop_files(made.version)


def live() -> list[object]:
    return [
        list(ChampionAssignment.objects.filter(channel="live").values()),
        list(ForecastSet.objects.filter(channel="live").values()),
    ]


def test_drill__from_begin_to_end__notices_restores_the_same_bits_and_leaves_the_live_channel_alone(
    alpha: Tenant, ground: ChampionAssignment
) -> None:
    key, address = viewer_key(), "/api/v1/forecasts/?page_size=1000"
    before, answer = live(), get("alpha", address, key)
    run = drill.start_drill(actor=make_person("ann", Role.ANALYST), reason="Before the season")
    steps = work_off(alpha)
    assert [(one.kind, one.state) for one in steps] == [(kind, RunState.SUCCEEDED) for kind in drill.STEPS], [
        one.error for one in steps
    ]
    made = RollbackDrill.objects.get()
    assert (made.outcome, made.run_id, made.asked_by_name) == ("passed", run.pk, "ann")
    assert made.bit_identical and made.days_to_detect == 3 and (made.seconds_to_restore or 0) > 0
    assert made.reference == ground.version and made.report["reference_is"] == "the live champion"
    report = made.report
    assert report["published_sha256"] == report["reloaded_sha256"] == report["live_published_sha256"]
    assert report["damaged_sha256"] != report["published_sha256"]
    assert all(one["passed"] for one in report["checks"]) and len(report["checks"]) == 7
    assert report["before"] == report["after"] and report["before"]["api"]

    after = get("alpha", address, key)
    assert (after.content, after.headers["ETag"]) == (answer.content, answer.headers["ETag"]) and live() == before
    broken = made.damaged
    assert broken is not None and (broken.mode, broken.status) == ("drill", "retired")
    assert not ForecastSet.objects.filter(channel="drill").exists()
    assert not ChampionAssignment.objects.filter(channel="drill", to_at=None).exists()
    kinds = list(ChampionAssignment.objects.filter(channel="drill").order_by("pk").values_list("kind", flat=True))
    assert kinds == ["promotion", "promotion", "rollback"]
    assert AuditEvent.objects.get(event="drill.passed").data["report_sha256"] == made.report_sha256
    assert verify_chain().intact and not Incident.objects.exists()


def test_record__of_a_drill__is_never_changed_or_deleted(alpha: Tenant, ground: ChampionAssignment) -> None:
    drill.start_drill(actor=None, reason="Again")
    work_off(alpha)
    for change in (
        lambda: RollbackDrill.objects.update(outcome="failed"),
        lambda: RollbackDrill.objects.all().delete(),
        lambda: ModelVersion.objects.filter(mode="drill").update(status="candidate"),
        lambda: ChampionAssignment.objects.create(
            version=ModelVersion.objects.get(mode="drill"), kind="rollback", effective_on=ground.effective_on,
            from_at=ground.from_at,
        ),
    ):  # fmt: skip
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert Run.objects.filter(kind=drill.PROVE).count() == 1
