"""Fixtures of this app's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.engine.families import lightgbm


@pytest.fixture(autouse=True)
def artifact_folder(settings, tmp_path: Path) -> Path:
    """Model files of a test lie in a folder of its own."""
    folder = tmp_path / "files"
    settings.MEDIA_ROOT = folder
    return folder


@pytest.fixture
def few_rounds(monkeypatch) -> None:
    """A small LightGBM on one thread: the same code with less to compute."""
    monkeypatch.setitem(lightgbm.DEFAULTS, "rounds", 20)
    monkeypatch.setitem(lightgbm.DEFAULTS, "num_threads", 1)
