"""Training as a job: one version a run, artifacts verified, requests refused with what to do next."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from forecasting.engine.fitted_files import MANIFEST
from forecasting.errors import (
    ArtifactCorrupt,
    AsOfOutsideData,
    FamilyUnknown,
    HistoryShort,
    HorizonShort,
    ManifestInvalid,
    NoDemandLoaded,
    NothingToRefresh,
    WrongRequest,
)
from forecasting.models import Demand, ForecastSet, ModelArtifact, ModelSpec, ModelVersion
from forecasting.services import artifacts, champions, training
from forecasting.services.policy import change_policy
from forecasting.services.publishing import forecast_version
from forecasting.tests.factories import promote
from forecasting.tests.synthetic import FIRST, LAST, activate, load, make_contract, make_demand, train
from ledger.execution import run_inline
from ledger.models import AuditEvent, Run, RunState
from ledger.services import runs
from tenants.roles import Role

EMPTY: dict[str, Any] = {"mode": None, "as_of": None, "horizon": None, "families": None}


def test_train_version__search__registers_both_fits_with_their_windows(alpha):
    load(make_demand(stores=1, products=3))
    version = train()
    assert (version.number, version.status, version.spec.label) == (1, "candidate", "single_seasonal_naive")
    assert version.as_of == LAST
    assert version.evaluation_window["train_end"] == (LAST - timedelta(days=28)).isoformat()
    assert version.evaluation_window["holdout_end"] == version.serving_window["train_end"] == LAST.isoformat()
    assert version.evaluation_window["fingerprint"] != version.serving_window["fingerprint"]
    for role in ("evaluation", "serving"):
        fitted = artifacts.load_fit(version, role)
        assert fitted.window is not None and fitted.window.to_json() == getattr(version, f"{role}_window")
        assert fitted.spec.sha256 == version.spec.sha256
        stored = dict(version.artifacts.filter(role=role).values_list("name", "sha256"))
        assert version.manifest[role]["files"] == stored
        assert version.manifest[role]["data_fingerprint"] == fitted.window.fingerprint
    lineage = version.manifest["lineage"]
    assert (lineage["data"]["series"], lineage["data"]["last_day"]) == (3, LAST.isoformat())
    assert sum(batch["rows"] for batch in lineage["batches"]) == lineage["data"]["rows"] == Demand.objects.count()
    assert sum(lineage["classes"].values()) == 3 and lineage["code"]["engine_sha256"]
    assert lineage["follows"] == {"champion": None, "strategy_decision": None}
    assert AuditEvent.objects.filter(event="model.trained").count() == 1


def test_train_version__same_content_again__same_spec_row_and_identical_files(alpha):
    load(make_demand(stores=1, products=2))
    first, second = train(), train()
    assert ModelSpec.objects.count() == 1 and (first.number, second.number) == (1, 2)
    for role in ("evaluation", "serving"):
        hashes = [set(v.artifacts.filter(role=role).values_list("name", "sha256")) for v in (first, second)]
        assert hashes[0] == hashes[1]


def test_retrain__lost_while_it_worked_and_retried__one_version_and_no_files_of_the_first_attempt(alpha):
    load(make_demand(stores=1, products=2))
    key = uuid.uuid4().hex
    lost: list[str] = []

    def lose_at_the_end(done: int, total: int, message: str) -> None:
        if message.startswith("Storing") and not lost:
            lost.extend(str(run.pk) for run in runs.reap(lost_after_seconds=-1))

    asked = {"families": ["seasonal_naive"]}
    first = run_inline(kind="forecasting.retrain", inputs=asked, idempotency_key=key, listener=lose_at_the_end)
    assert lost == [str(first.pk)] and first.state == RunState.QUEUED
    assert ModelVersion.objects.count() == 0 and ModelArtifact.objects.count() == 0
    second = run_inline(kind="forecasting.retrain", inputs=asked, idempotency_key=key)
    assert (second.pk, second.state, second.attempt) == (first.pk, RunState.SUCCEEDED, 2)
    version = ModelVersion.objects.get()
    assert version.run_id == second.pk
    assert default_storage.listdir(f"models/{second.pk}/1/serving") == ([], [])
    assert default_storage.exists(f"models/{second.pk}/2/serving/{MANIFEST}")


def test_retrain__version_was_written_before_the_kill__retry_keeps_it(alpha):
    load(make_demand(stores=1, products=2))
    version = train()
    Run.objects.filter(pk=version.run_id).update(state=RunState.QUEUED)
    key = Run.objects.get(pk=version.run_id).idempotency_key
    again = run_inline(kind="forecasting.retrain", idempotency_key=key)
    assert again.outputs["version"] == version.number
    assert ModelVersion.objects.count() == 1


@pytest.mark.parametrize("file", [MANIFEST, "calibration.json", "seasonal_naive.json"])
def test_forecast__artifact_tampered_with__refused_and_nothing_changed(alpha, file):
    load(make_demand(stores=1, products=2))
    version = train()
    row = version.artifacts.get(role="serving", name=file)
    content = default_storage.open(row.path).read()
    default_storage.delete(row.path)
    default_storage.save(row.path, ContentFile(content.replace(b"7", b"8", 1)))
    with pytest.raises(ArtifactCorrupt, match="retrain") as caught:
        forecast_version(ctx=None, version=version)
    assert (caught.value.file, caught.value.expected) == (file, row.sha256)
    assert ForecastSet.objects.count() == 0


def test_load_fit__file_missing_or_not_registered__refused(alpha):
    load(make_demand(stores=1, products=2))
    version = train()
    default_storage.delete(version.artifacts.get(role="serving", name="calibration.json").path)
    with pytest.raises(ArtifactCorrupt, match="no file"):
        artifacts.load_fit(version, "serving")
    version.artifacts.filter(role="evaluation", name="calibration.json").delete()
    with pytest.raises(ArtifactCorrupt, match="no file"):
        artifacts.load_fit(version, "evaluation")


def test_checked_manifest__no_fingerprint__is_not_registered(alpha):
    load(make_demand(stores=1, products=2))
    version = train()
    fitted = artifacts.load_fit(version, "serving")
    stored = [artifacts.StoredFile("serving", a.name, a.path, a.sha256, a.bytes) for a in version.artifacts.all()]
    with pytest.raises(ManifestInvalid, match="sealed"):
        artifacts.checked_manifest(fitted=fitted, role="evaluation", files=stored)
    with pytest.raises(ManifestInvalid, match="not stored"):
        artifacts.checked_manifest(fitted=fitted, role="serving", files=[])


def test_train_version__refresh__keeps_the_champions_spec(alpha):
    load(make_demand(stores=1, products=2))
    champion = train(as_of=LAST - timedelta(days=14), horizon=7)
    promote(champion)
    fresh = train(families=[], mode="refresh")
    assert (fresh.spec_id, fresh.mode, fresh.as_of) == (champion.spec_id, "refresh", LAST)
    assert fresh.manifest["lineage"]["follows"]["champion"]["version"] == champion.number
    assert champions.champion_version() == champion


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"mode": "refresh"}, NothingToRefresh),
        ({"mode": "guess"}, WrongRequest),
        ({"families": ["arima"]}, FamilyUnknown),
        ({"families": []}, FamilyUnknown),
        ({"horizon": 0}, WrongRequest),
        ({"horizon": 400}, WrongRequest),
        ({"horizon": 60}, HistoryShort),
        ({"as_of": LAST + timedelta(days=1)}, AsOfOutsideData),
        ({"as_of": FIRST + timedelta(days=30)}, HistoryShort),
    ],
)
def test_check_request__cannot_be_done__refused_before_anything_is_queued(alpha, asked, error):
    load(make_demand(stores=1, products=1))
    with pytest.raises(error):
        training.check_request(**{**EMPTY, **asked})


def test_check_request__horizon_below_the_protection_interval__refused_with_both_numbers(alpha, make_user):
    load(make_demand(stores=1, products=1))
    assert training.check_request(**{**EMPTY, "horizon": 7})["horizon"] == 7
    with pytest.raises(HorizonShort, match=r"horizon of 6 .* interval of 7 days") as caught:
        training.check_request(**{**EMPTY, "horizon": 6})
    assert caught.value.exit_status == 2 and "7 step(s) or more" in str(caught.value)
    admin = make_user("tom", Role.TENANT_ADMIN)
    change_policy(body={"business": {"lead_time_days": 10}}, actor=admin, reason="The depot moved")
    with pytest.raises(HorizonShort, match=r"horizon of 14 .* interval of 15 days"):
        training.check_request(**EMPTY)


def test_check_request__weekly_steps__protection_interval_is_counted_in_whole_weeks(alpha, make_user):
    activate(make_contract(grain="weekly"))
    daily = make_demand(stores=1, products=1, days=60 * 7)
    load(daily.take(list(range(6, daily.num_rows, 7))))
    assert training.check_request(**{**EMPTY, "horizon": 1})["horizon"] == 1
    admin = make_user("tom", Role.TENANT_ADMIN)
    change_policy(body={"business": {"lead_time_days": 3}}, actor=admin, reason="The depot moved")
    with pytest.raises(HorizonShort, match=r"horizon of 1 .* interval of 8 days"):
        training.check_request(**{**EMPTY, "horizon": 1})
    assert training.check_request(**{**EMPTY, "horizon": 2})["horizon"] == 2


def test_check_request__refresh_of_a_horizon_that_is_too_short_now__goes_on(alpha, make_user):
    load(make_demand(stores=1, products=2))
    promote(train(horizon=7))
    admin = make_user("tom", Role.TENANT_ADMIN)
    change_policy(body={"business": {"lead_time_days": 10}}, actor=admin, reason="The depot moved")
    assert training.check_request(**{**EMPTY, "mode": "refresh"})["horizon"] == 7


def test_check_request__refresh_with_other_families_or_horizon__refused(alpha):
    load(make_demand(stores=1, products=2))
    promote(train())
    plain: dict[str, Any] = {"mode": "refresh", "as_of": None, "horizon": None, "families": None}
    assert training.check_request(**plain)["horizon"] == 14
    for change in ({"families": ["lightgbm"]}, {"horizon": 7}):
        with pytest.raises(WrongRequest, match="keeps the champion"):
            training.check_request(**{**plain, **change})


def test_check_request__no_demand__says_how_to_load_it(alpha):
    with pytest.raises(NoDemandLoaded, match="onboard"):
        training.check_request(mode=None, as_of=None, horizon=None, families=None)


def test_check_request__families_named__floor_is_always_compared(alpha):
    load(make_demand(stores=1, products=1))
    asked = training.check_request(mode=None, as_of=None, horizon=None, families=[" lightgbm", "lightgbm"])
    assert asked["families"] == ["seasonal_naive", "lightgbm"]
    assert date.fromisoformat(asked["as_of"]) == LAST
