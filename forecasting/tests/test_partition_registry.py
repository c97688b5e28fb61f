"""What is registered: only a fit with its partition, and never changed afterwards; the database holds it, too."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import override_settings

from forecasting.engine.fitted import FittedModel
from forecasting.engine.types import TrainingWindow
from forecasting.errors import ManifestInvalid
from forecasting.models import ModelVersion
from forecasting.services import artifacts, training
from forecasting.services.artifacts import StoredFile, checked_manifest
from forecasting.services.gate_facts import manifest_valid
from forecasting.tests.factories import make_candidate
from forecasting.tests.synthetic import load, make_demand, train
from forecasting.tests.test_gate import context
from ledger.models import AuditEvent


def window_of(fitted: FittedModel) -> TrainingWindow:
    assert fitted.window is not None
    return fitted.window


def unsealed(fitted: FittedModel) -> FittedModel:
    window = window_of(fitted)
    return replace(fitted, window=replace(window, holdout_start=None, holdout_end=None))


def shortened(fitted: FittedModel) -> FittedModel:
    """A window that ends before the days that the fit has learned from."""
    window = window_of(fitted)
    return replace(fitted, window=replace(window, train_end=window.train_end - timedelta(days=1)))


class OtherSpec(FittedModel):
    """A fit whose manifest names another spec's hash."""

    def manifest(self) -> dict[str, Any]:
        return {**super().manifest(), "spec_sha256": "0" * 64}


def _as_other(fitted: FittedModel) -> FittedModel:
    return OtherSpec(**fitted.__dict__)


DAMAGES: dict[str, tuple[Callable[[FittedModel], FittedModel], str]] = {
    "no partition": (lambda f: replace(f, window=None), "no partition"),
    "no fingerprint": (lambda f: replace(f, window=window_of(f).with_fingerprint("")), "no data fingerprint"),
    "nothing sealed": (unsealed, "sealed holdout"),
    "it has seen more than it says": (shortened, "has seen"),
    "another spec": (_as_other, "do not agree"),
}


@pytest.fixture(scope="module")
def trained(lasting: Any, lasting_files: Any) -> int:
    """A version in the tenant ``lasting``."""
    with lasting(), override_settings(MEDIA_ROOT=lasting_files):
        load(make_demand(stores=1, products=2))
        return train(families=["seasonal_naive"]).pk


@pytest.fixture
def version(trained: int, in_lasting: None) -> ModelVersion:
    return ModelVersion.objects.get(pk=trained)


def stored_files(version: ModelVersion, role: artifacts.Role) -> list[StoredFile]:
    rows = version.artifacts.filter(role=role)
    return [StoredFile(role, row.name, row.path, row.sha256, row.bytes) for row in rows]


@pytest.mark.parametrize("name", DAMAGES)
def test_manifest__invalid_in_any_way__is_refused_with_its_reason(version: ModelVersion, name: str) -> None:
    damage, reason = DAMAGES[name]
    fitted, files = artifacts.load_fit(version, "evaluation"), stored_files(version, "evaluation")
    assert checked_manifest(fitted=fitted, role="evaluation", files=files)["files"]
    with pytest.raises(ManifestInvalid, match=reason):
        checked_manifest(fitted=damage(fitted), role="evaluation", files=files)


@pytest.mark.parametrize("left", [[], ["manifest.json"], ["calibration.json", "seasonal_naive.json"]])
def test_manifest__files_not_stored__is_refused(version: ModelVersion, left: list[str]) -> None:
    fitted = artifacts.load_fit(version, "evaluation")
    files = [file for file in stored_files(version, "evaluation") if file.name in left]
    with pytest.raises(ManifestInvalid, match="not stored"):
        checked_manifest(fitted=fitted, role="evaluation", files=files)


def test_training__fit_without_a_valid_manifest__registers_nothing_and_leaves_no_file(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, artifact_folder: Any
) -> None:
    before = sorted(artifact_folder.rglob("*.json"))
    real = artifacts.checked_manifest
    monkeypatch.setattr(
        artifacts,
        "checked_manifest",
        lambda *, fitted, role, files: real(fitted=unsealed(fitted), role=role, files=files),
    )
    with pytest.raises(ManifestInvalid):
        training.train_version(ctx=context(), mode="search", as_of=None, horizon=None, families=["seasonal_naive"])
    assert ModelVersion.objects.get() == version
    assert AuditEvent.objects.filter(event="model.trained").count() == 1
    assert sorted(artifact_folder.rglob("*.json")) == before


def test_manifest_valid__registered_version__is_and_each_part_counts(version: ModelVersion) -> None:
    assert manifest_valid(version)
    for role in ("evaluation", "serving"):
        for key in ("spec_sha256", "partition", "data_fingerprint", "files"):
            other = copy.copy(version)
            other.manifest = {**version.manifest, role: {**version.manifest[role], key: None}}
            assert not manifest_valid(other), (role, key)


def _changed(value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**value, **changes}


WRONG: dict[str, Callable[[ModelVersion], None]] = {
    "no manifest": lambda v: setattr(v, "manifest", {}),
    "a manifest of one fit": lambda v: setattr(v, "manifest", {"evaluation": v.manifest["evaluation"]}),
    "another partition than its window": lambda v: setattr(
        v, "serving_window", _changed(v.serving_window, train_start="2000-01-01")
    ),
    "no fingerprint": lambda v: _both(v, fingerprint=""),
    "trained into its holdout": lambda v: _both(v, train_end="2026-03-31"),
    "nothing sealed": lambda v: _both(v, holdout_start=None, holdout_end=None),
    "a holdout after its as-of date": lambda v: _both(v, holdout_end="2026-04-09"),
    "it serves from another day": lambda v: setattr(v, "as_of", date(2026, 3, 30)),
}


def _both(version: ModelVersion, **changes: Any) -> None:
    """Change the window and the manifest alike, so that only what they say is wrong."""
    window = _changed(version.evaluation_window, **changes)
    body = _changed(version.manifest["evaluation"], partition=window, data_fingerprint=window["fingerprint"])
    version.evaluation_window, version.manifest = window, {**version.manifest, "evaluation": body}


@pytest.mark.parametrize("name", WRONG)
def test_database__version_without_a_valid_partition__is_refused(alpha: Any, name: str) -> None:
    good = make_candidate(forecasts=False)
    again = copy.copy(good)
    again.pk, again.number, again.run_id = None, good.number + 1, uuid.uuid4()
    WRONG[name](again)
    with pytest.raises(DatabaseError, match="is not registered"), transaction.atomic():
        again.save(force_insert=True)
    assert ModelVersion.objects.count() == 1


CHANGES: dict[str, dict[str, Any]] = {
    "number": {"number": 99},
    "as_of": {"as_of": date(2026, 1, 1)},
    "run": {"run_id": uuid.UUID(int=7)},
    "evaluation_window": {"evaluation_window": {}},
    "serving_window": {"serving_window": {"train_end": "2026-03-30"}},
    "manifest": {"manifest": {}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_database__what_a_version_was_trained_on__never_changes(alpha: Any, name: str) -> None:
    made = make_candidate(forecasts=False)
    with pytest.raises(DatabaseError, match="never rewritten"), transaction.atomic():
        ModelVersion.objects.filter(pk=made.pk).update(**CHANGES[name])
    with pytest.raises(DatabaseError, match="never rewritten"), transaction.atomic():
        made.artifacts.update(sha256="0" * 64)
    with pytest.raises(DatabaseError, match="of no report"), transaction.atomic():
        ModelVersion.objects.filter(pk=made.pk).update(evaluation={"scores": {}, "report": 1})
    ModelVersion.objects.filter(pk=made.pk).update(status="retired")
    made.refresh_from_db()
    assert made.status == "retired"
