"""What is promoted is what lies in the storage: missing, truncated, altered or unreachable files promote nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.urls import reverse

from forecasting.errors import ArtifactCorrupt, RequestLapsed
from forecasting.errors_rollback import StorageUnavailable
from forecasting.models import ChampionAssignment, HoldoutAccess, ModelArtifact, PromotionRequest
from forecasting.schedules import register
from forecasting.services.gate_facts import judged_on_same_days
from forecasting.services.promotion import approve_promotion, lapse_stale, why_stale
from forecasting.services.promotion_jobs import LAPSE
from forecasting.tests.admin_world import make_world
from forecasting.tests.factories import AS_OF, make_candidate, make_demand, make_pending_request, make_person, promote
from forecasting.tests.promotion_state import state_of, tampered
from integrations.models import Incident, IngestBatch
from integrations.services.incidents import check_incident
from ledger.execution import run_inline
from ledger.models import AuditEvent, RunState
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role
from tenants.schedules import all_schedules


def _write(artifact: ModelArtifact, content: bytes | None) -> None:
    default_storage.delete(artifact.path)
    if content is not None:
        default_storage.save(artifact.path, ContentFile(content))


def _read(artifact: ModelArtifact) -> bytes:
    with default_storage.open(artifact.path, "rb") as file:
        return bytes(file.read())


@pytest.mark.parametrize("role", ["evaluation", "serving"])
@pytest.mark.parametrize(
    "damage", [None, b"", b"serv", b"serving v2!"], ids=["missing", "empty", "truncated", "altered"]
)
def test_approval__file_damaged__is_refused_with_an_incident_and_the_champion_stays(
    alpha: Tenant, role: str, damage: bytes | None
) -> None:
    champion = promote(make_candidate(family="seasonal_naive"))
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    artifact = request.candidate.artifacts.get(role=role)
    whole = _read(artifact)
    _write(artifact, damage)
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt, match=f"{role}/manifest.json of {request.candidate.label}"):
            approve_promotion(request_id=request.pk, actor=decider, reason="Sure")
    assert state_of(request) == "pending" and ChampionAssignment.objects.get(to_at=None) == champion
    incident = Incident.objects.get(trigger="artifact_corrupt")
    assert (incident.subject, incident.severity, incident.occurrences) == (request.candidate.label, "sev2", 2)
    assert not check_incident(incident_id=incident.pk).passed
    _write(artifact, whole)
    assert check_incident(incident_id=incident.pk).passed
    assert approve_promotion(request_id=request.pk, actor=decider, reason="Restored").version == request.candidate


def test_approval__storage_down__changes_nothing_and_opens_no_incident(
    alpha: Tenant, client_of: Callable[..., Client]
) -> None:
    request, decider = make_pending_request(), make_person("decider", Role.REVIEWER)
    before = AuditEvent.objects.count()
    target = Path(default_storage.path(request.candidate.artifacts.get(role="serving").path))
    content = target.read_bytes()
    target.unlink()
    target.symlink_to(target)  # whoever opens it gets an I/O error, not "no such file"
    with pytest.raises(StorageUnavailable, match="Nothing was changed"):
        approve_promotion(request_id=request.pk, actor=decider, reason="Sure")
    url = reverse("admin:forecasting_promotionrequest_decide", args=[request.pk])
    page = client_of("alpha", decider).post(url, {"decision": "approve", "reason": "A long thought"})
    assert page.status_code == 409 and "artifact store did not give" in page.content.decode()
    assert "A long thought" in page.content.decode()
    assert state_of(request) == "pending" and not ChampionAssignment.objects.exists()
    assert not Incident.objects.exists() and AuditEvent.objects.count() == before
    target.unlink()
    target.write_bytes(content)
    assert approve_promotion(request_id=request.pk, actor=decider, reason="Back").version == request.candidate


def test_approval__clock_set_back__does_not_revive_what_had_lapsed(alpha: Tenant) -> None:
    request = make_pending_request()
    tampered("promotionrequest", "expires_at = clock_timestamp() + interval '1 hour'")
    request.refresh_from_db()
    assert why_stale(request) is None
    # The machine's clock said tomorrow when the last event was written; now it says today again.
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE ledger_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE ledger_auditevent SET at = at + interval '1 day'")
        cursor.execute("ALTER TABLE ledger_auditevent ENABLE TRIGGER USER")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    with pytest.raises(RequestLapsed, match="not decided by"):
        approve_promotion(request_id=request.pk, actor=make_person("decider", Role.REVIEWER), reason="In time")
    assert state_of(request) == "lapsed"


def test_lapse_job__request_past_its_days__is_no_longer_counted(alpha: Tenant) -> None:
    register()
    schedule = next(one for one in all_schedules() if one.name == "forecasting.lapse_requests")
    assert schedule.kind == LAPSE and schedule.applies is not None and not schedule.applies()
    request = make_pending_request()
    assert schedule.applies() and Heartbeat.objects.get(schema_name="alpha").pending_approvals == 1
    tampered("promotionrequest", "expires_at = now()")
    run = run_inline(kind=LAPSE, inputs={}, scope="", requested_by=None)
    assert run.state == RunState.SUCCEEDED and "not decided by" in run.outputs["lapsed"][str(request.pk)]
    assert Heartbeat.objects.get(schema_name="alpha").pending_approvals == 0 and not schedule.applies()


def test_request__judged_days_written_again__lapses_and_a_repeat_does_not(alpha: Tenant) -> None:
    series = make_demand()
    world = make_world(2)
    request = world.pending
    assert why_stale(request) is None
    later = IngestBatch.objects.create(
        source=world.batch.source, contract=world.batch.contract, fingerprint="9" * 64, state="loaded",
        first_day=AS_OF - timedelta(days=6), last_day=AS_OF + timedelta(days=1),
    )  # fmt: skip
    assert why_stale(request) is None, "a delivery that wrote nothing again"
    series[0].demand.filter(date=AS_OF).update(quantity=99, batch_id=later.pk)
    assert "changed days on or before" in (why_stale(request) or "")
    assert [one.pk for one in lapse_stale()] == [request.pk]
    assert "which it was judged on" in PromotionRequest.objects.get(pk=request.pk).decision_reason


def test_judged_on_same_days__overlap_and_specs__counts_what_was_tried_on_these_days(alpha: Tenant) -> None:
    def opened(back: int, **options: Any) -> tuple[str, list[str]]:
        version = make_candidate(as_of=AS_OF - timedelta(days=back), forecasts=False, **options)
        window = version.evaluation_window
        HoldoutAccess.objects.create(
            candidate=version, run_id=version.run_id, holdout_start=window["holdout_start"],
            holdout_end=window["holdout_end"],
        )  # fmt: skip
        return version.label, [one["label"] for one in judged_on_same_days(version)]

    first, _ = opened(0, family="lightgbm")
    assert opened(28, family="prophet")[1] == ["v2"], "the days before are other days"
    assert opened(7, family="prophet", seed=3)[1] == [first, "v3"], "three quarters of the days are shared"
    assert opened(14, family="prophet", seed=4)[1] == [first, "v2", "v3", "v4"], "half of the days are shared"
    assert opened(0, family="lightgbm")[1] == [first, "v3", "v4"], "a refit of a spec is no further candidate"
    assert opened(0, family="seasonal_naive")[1][-1] == "v6"
