"""What the tests of the registry's pages share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from forecasting.engine.types import sha256_text
from forecasting.models import AccuracyRecord, ForecastSet, ModelArtifact, ModelVersion
from forecasting.tests.factories import (
    make_forecasts,
    score_set,
)

ClientOf = Callable[..., Client]


def accuracy(version: ModelVersion, *, origin: date, until: date, wape: float, rows: int = 28) -> AccuracyRecord:
    """A realised record of a set of that origin (made where it is missing)."""
    made = ForecastSet.objects.filter(version=version, origin_date=origin).first() or make_forecasts(
        version, origin=origin
    )
    return AccuracyRecord.objects.create(
        version=version, forecast_set=made, actuals_until=until, days=7, rows=rows, wape=wape, wape_naive=0.4,
        coverage80=0.8, scores=score_set(wape / 0.34).to_json(),
    )  # fmt: skip


def page(client: Client, name: str, *args: Any, **query: Any) -> str:
    response = client.get(reverse(f"admin:forecasting_{name}", args=args), query)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def store(version: ModelVersion, content: bytes = b"0123456789") -> ModelArtifact:
    """A version with one stored file whose bytes are those that the registry knows."""
    path = default_storage.save(f"models/test/{version.number}/model.txt", ContentFile(content))
    return ModelArtifact.objects.create(
        version=version, role="serving", name="model.txt", path=path, sha256=sha256_text(content.decode()), bytes=10
    )
