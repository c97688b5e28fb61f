"""Fixtures of this app's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from forecasting.engine.families import lightgbm
from forecasting.models import ModelVersion
from forecasting.tests.factories import make_candidate, promote
from ledger.schema import connection
from tenants.models import Tenant


@pytest.fixture(autouse=True)
def artifact_folder(settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files of a test lie in a folder of its own."""
    folder = tmp_path_factory.mktemp("files")
    settings.MEDIA_ROOT = folder
    return folder


@pytest.fixture(scope="module")
def lasting_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where fixtures of a module keep the files of what they train in ``lasting``."""
    return tmp_path_factory.mktemp("lasting")


@pytest.fixture
def in_lasting(db: None, lasting: object, lasting_files: Path, artifact_folder: Path) -> Iterator[None]:
    """The connection stands in ``lasting``; rows that a test writes are rolled back, files are copies."""
    shutil.copytree(lasting_files, artifact_folder, dirs_exist_ok=True)
    connection.set_schema_to_public()
    connection.set_tenant(Tenant.objects.get(schema_name="lasting"))
    yield
    connection.set_schema_to_public()


@pytest.fixture
def few_rounds(monkeypatch) -> None:
    """A small LightGBM on one thread: the same code with less to compute."""
    monkeypatch.setitem(lightgbm.DEFAULTS, "rounds", 20)
    monkeypatch.setitem(lightgbm.DEFAULTS, "num_threads", 1)


@pytest.fixture
def champion(alpha: Tenant) -> ModelVersion:
    """A promoted version of the simplest family; tests that need another champion have a fixture of the same name."""
    return promote(make_candidate(family="seasonal_naive")).version
