"""The watch over the champion's error in service: one incident while it lasts, and none for a hard week."""

from __future__ import annotations

import pytest

from forecasting.models import AccuracyRecord, ModelVersion
from forecasting.services.accuracy_watch import in_service, promised, watch_champion
from forecasting.services.rollback import rollback_champion
from forecasting.tests.factories import make_demand, make_person, promote
from forecasting.tests.fitted import drop_files, make_fitted
from forecasting.tests.test_champions import realise
from integrations.incident_errors import StillFailing
from integrations.models import Incident
from integrations.services.incidents import resolve_incident
from tenants.models import Tenant
from tenants.roles import Role


def test_watch__errors_in_service__open_one_incident_that_a_rollback_ends(alpha: Tenant) -> None:
    make_demand(days=40)
    first = promote(make_fitted(seed=1)).version
    second = promote(make_fitted(seed=2)).version
    assert promised(second).wape == pytest.approx(0.34) and in_service(second, days=28).days == 0
    told = watch_champion()
    assert told is not None and not told.detected and not Incident.objects.exists()

    realise(second, wape=0.5)
    for record in AccuracyRecord.objects.filter(version=second):
        record.scores = {"sums": {"absolute": 50.0, "actual": 100.0, "naive": 100.0}}
        record.save()
    told = watch_champion()
    assert told is not None and not told.detected, "naive did as badly on these days"
    AccuracyRecord.objects.filter(version=second).update(
        scores={"sums": {"absolute": 50.0, "actual": 100.0, "naive": 40.0}}
    )
    for _ in range(2):
        told = watch_champion()
        assert told is not None and told.severity == "slipped"
    incident = Incident.objects.get()
    assert (incident.trigger, incident.subject, incident.severity) == ("accuracy_regression", second.label, "sev2")
    AccuracyRecord.objects.filter(version=second).update(
        scores={"sums": {"absolute": 90.0, "actual": 100.0, "naive": 40.0}}
    )
    watch_champion()
    incident.refresh_from_db()
    assert incident.severity == "sev1" and incident.occurrences == 3
    admin = make_person("admin", Role.TENANT_ADMIN)
    with pytest.raises(StillFailing):
        resolve_incident(incident_id=incident.pk, actor=admin, text="It will pass")

    rollback_champion(actor=admin, reason="Its errors doubled", version=first.number)
    resolve_incident(incident_id=incident.pk, actor=None, text="The earlier champion serves")
    for version in ModelVersion.objects.all():
        drop_files(version)


def test_watch__nothing_serves__says_nothing(alpha: Tenant) -> None:
    assert watch_champion() is None
