"""Versions with real files: one fit a session, stored and registered for each test, able to load and to forecast."""

from __future__ import annotations

import functools
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
from django.core.files.storage import default_storage

from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import fit
from forecasting.engine.panel import build_panel
from forecasting.engine.train import evaluate
from forecasting.engine.types import ModelSpec as SpecBody
from forecasting.engine.types import TrainingWindow, sha256_text
from forecasting.models import ModelSpec, ModelVersion, Series, VersionStatus
from forecasting.models.registry import TrainingMode
from forecasting.services import artifacts
from forecasting.services.publishing import forecast_version
from forecasting.tests.factories import AS_OF, level, make_forecasts, score_set

DAYS = 150


@functools.cache
def _fits(family: str, as_of: date) -> dict[artifacts.Role, FittedModel]:
    """Both fits of a family on four series of the factories' demand."""
    days = pd.date_range(end=as_of, periods=DAYS)
    rows = pd.DataFrame(
        [(k + 1, day, level(k, day.date())) for k in range(4) for day in days], columns=["unique_id", "ds", "y"]
    )
    panel = build_panel(rows)
    spec = SpecBody((family,), horizon=14)
    first, fingerprint = days[0].date(), sha256_text(f"data {as_of}")
    judged = TrainingWindow.plan(first, as_of).with_fingerprint(fingerprint)
    serves = TrainingWindow.refit(first, as_of).with_fingerprint(fingerprint)
    known = panel.upto(judged.train_end)
    made = evaluate(known, spec)
    return {
        "evaluation": fit(known, spec, made.calibration, window=judged, hierarchy=made.hierarchy),
        "serving": fit(panel, spec, made.calibration, window=serves, hierarchy=made.hierarchy),
    }


def make_fitted(
    family: str = "seasonal_average",
    *,
    as_of: date = AS_OF,
    seed: int = 2017,
    series: list[Series] | None = None,
    forecasts: bool = True,
    real: bool = False,
) -> ModelVersion:
    """A registered candidate with both fits stored; the same family and seed is the same spec.

    forecasts: a set from ``as_of``, of made-up numbers unless ``real``: then by the fit, from the demand that is there.
    """
    spec = SpecBody((family,), horizon=14, seed=seed)
    fits = {role: replace(made, spec=spec) for role, made in _fits(family, as_of).items()}
    row, _ = ModelSpec.objects.get_or_create(sha256=spec.sha256, defaults={"label": spec.label, "body": spec.to_json()})
    run_id = uuid.uuid4()
    files = {
        role: artifacts.store_fit(fitted=made, role=role, folder=f"models/{run_id}/1") for role, made in fits.items()
    }
    windows = {role: made.window.to_json() for role, made in fits.items() if made.window is not None}
    newest = ModelVersion.objects.order_by("-number").values_list("number", flat=True).first() or 0
    version = ModelVersion.objects.create(
        number=newest + 1,
        spec=row,
        status=VersionStatus.CANDIDATE,
        mode=TrainingMode.SEARCH,
        run_id=run_id,
        as_of=as_of,
        evaluation_window=windows["evaluation"],
        serving_window=windows["serving"],
        manifest={
            role: artifacts.checked_manifest(fitted=made, role=role, files=files[role]) for role, made in fits.items()
        },
        backtest={"scores": score_set(1.0).to_json()},
    )
    artifacts.register(version=version, files=[one for stored in files.values() for one in stored])
    if forecasts and real:
        forecast_version(ctx=None, version=version, origin=as_of)
    elif forecasts:
        make_forecasts(version, series=series, origin=as_of)
    return version


def stored_file(version: ModelVersion, name: str = "manifest.json", role: str = "serving") -> Path:
    """Where one of its files lies, to be damaged."""
    return Path(default_storage.path(version.artifacts.get(role=role, name=name).path))


def drop_files(version: ModelVersion) -> None:
    """Take its files away again; a test's rows are rolled back, its files are not."""
    for row in version.artifacts.all():
        with suppress(OSError):
            default_storage.delete(row.path)
