"""How fast what serves is put right: ``python -m benchmarks.forecasting.promotion``.

A tenant of 10,000 synthetic series with two versions that served: a LightGBM and a weekday average, each fitted on all
series through the one door to training data, stored, registered, and with forecasts of every series. What they were
promoted by is made up (only the rollback is timed). Then one is rolled back to the other and back again, and the clock
runs until the REST API has answered with the restored version; once more where newer data has come meanwhile, so that
forecasts of the day before serve while newer ones are being made.
"""

from __future__ import annotations

import sys
import uuid
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Any

from django.test import Client
from django_tenants.utils import schema_context

from benchmarks.forecasting import panels
from benchmarks.parts import Figure, Part
from benchmarks.place import drop_tenant, prepare, timed  # sets Django up
from forecasting.engine.damage import damageable
from forecasting.engine.fitting import fit
from forecasting.engine.train import evaluate
from forecasting.engine.types import ModelSpec as SpecBody
from forecasting.models import Demand, ModelArtifact, ModelSpec, ModelVersion, VersionStatus
from forecasting.models.registry import TrainingMode
from forecasting.services import artifacts
from forecasting.services.publishing import forecast_version
from forecasting.services.rollback import Rollback, rollback_champion
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from forecasting.tests.api_helpers import key_of
from forecasting.tests.factories import make_person, promote, score_set
from tenants.roles import Role

SCHEMA = "bench_promotion"
MOST_SECONDS = 5.0
TIMES = 3
AVERAGE = SpecBody(("seasonal_average",), horizon=14)


def main(*, quick: bool) -> None:
    """10,000 series × 120 days; quick: 100."""
    prepare()
    part = Part("promotion", "Putting right what serves", quick=quick)
    part.text += [TEXT, ""]
    part.keep()
    series, days = (100, 120) if quick else (10_000, 120)
    try:
        panels.load_synthetic(SCHEMA, series=series, days=days)
        with schema_context(SCHEMA):
            versions = [made(damageable(AVERAGE)), made(AVERAGE)]
            for version in versions:
                promote(version)
            _measure(part, versions, series)
    finally:
        drop_tenant(SCHEMA)
    part.keep(complete=True)


def _measure(part: Part, versions: list[ModelVersion], series: int) -> None:
    key = key_of(make_person("reader", Role.VIEWER))
    told: list[Rollback] = []
    taken: list[float] = []
    for turn in range(2 * TIMES):
        version = versions[turn % 2]
        taken.append(timed(partial(_back, version, key, told)))
    size = [sum(one.bytes for one in ModelArtifact.objects.filter(version=version)) for version in versions]
    to_boosters, to_average = taken[0::2], taken[1::2]
    seconds = told[0].seconds
    behind = Demand.objects.order_by("-date").first()
    if behind is None:
        raise SystemExit("there is no demand")
    Demand.objects.create(series_id=behind.series_id, date=behind.date + timedelta(days=1), quantity=1.0, batch_id=0)
    with_newer = timed(partial(_back, versions[0], key, told))
    name = f"seconds until the API serves the restored champion, {series:,} series"
    part.figures = [
        Figure(f"{name}, LightGBM", median(to_boosters), MOST_SECONDS, note=f"median of {TIMES}"),
        Figure(f"{name}, weekday average", median(to_average), MOST_SECONDS, note=f"median of {TIMES}"),
        Figure(f"{name}, newer data to catch up with", with_newer, MOST_SECONDS, note="once"),
    ]
    part.text += [
        "| to | files | each time, s | verify | load | publish |",
        "|---|--:|---|--:|--:|--:|",
        f"| LightGBM | {size[0] / 2**20:.1f} MiB | {_list(to_boosters)} | {seconds.verify:.2f} | {seconds.load:.2f} "
        f"| {seconds.publish:.2f} |",
        f"| weekday average | {size[1] / 2**20:.1f} MiB | {_list(to_average)} | {told[1].seconds.verify:.2f} "
        f"| {told[1].seconds.load:.2f} | {told[1].seconds.publish:.2f} |",
    ]
    part.facts = {"with_newer_data": with_newer, "seconds": [one.to_json()["seconds"] for one in told]}
    part.keep()


def _back(version: ModelVersion, key: str, told: list[Rollback]) -> None:
    """Roll back to the version and ask the API; what serves must be it."""
    done = rollback_champion(actor=make_person("rita", Role.REVIEWER), reason="Measured", version=version.number)
    host = f"{SCHEMA.replace('_', '-')}.localhost"
    answer = Client().get(
        "/api/v1/forecasts/?page_size=10", headers={"host": host, "Authorization": f"Token {key}"}
    ).json()  # fmt: skip
    from ledger.schema import connection
    from tenants.selectors import get_tenant

    connection.set_tenant(get_tenant(SCHEMA))  # a request leaves on public
    if answer.get("model_version") != version.number:
        raise SystemExit(f"the API serves {answer}, not v{version.number}")
    told.append(done)


def made(spec: SpecBody) -> ModelVersion:
    """A registered version with both fits of all series, and its forecasts from the newest day."""
    row, _ = ModelSpec.objects.get_or_create(sha256=spec.sha256, defaults={"label": spec.label, "body": spec.to_json()})
    run_id, files, manifest, windows = uuid.uuid4(), list[artifacts.StoredFile](), dict[str, Any](), {}
    with demand_snapshot() as demand:
        judged = demand.source(plan_window(mode="evaluation"))
        lesson = evaluate(judged, AVERAGE, origins=2, executor=demand.executor)
        sources: dict[artifacts.Role, Any] = {
            "evaluation": judged,
            "serving": demand.source(plan_window(mode="serving")),
        }
        for role, source in sources.items():
            fitted = fit(source, spec, lesson.calibration, window=source.window, executor=demand.executor,
                         hierarchy=lesson.hierarchy)  # fmt: skip
            stored = artifacts.store_fit(fitted=fitted, role=role, folder=f"models/{run_id}/1")
            manifest[role] = artifacts.checked_manifest(fitted=fitted, role=role, files=stored)
            windows[role], files = source.window, [*files, *stored]
    newest = ModelVersion.objects.order_by("-number").values_list("number", flat=True).first() or 0
    version = ModelVersion.objects.create(
        number=newest + 1, spec=row, status=VersionStatus.CANDIDATE, mode=TrainingMode.SEARCH, run_id=run_id,
        as_of=windows["serving"].as_of, evaluation_window=windows["evaluation"].to_json(),
        serving_window=windows["serving"].to_json(), manifest=manifest, backtest={"scores": score_set(1.0).to_json()},
    )  # fmt: skip
    artifacts.register(version=version, files=files)
    forecast_version(ctx=None, version=version)
    return version


def _list(seconds: list[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in seconds)


TEXT = (
    "A tenant of synthetic series (120 days of prices, promotions, closed days) with two versions that served, each "
    "with both fits of all series in the store and forecasts 14 days ahead. A rollback reads and verifies all files of "
    "both fits, loads the serving one and publishes its forecasts with the assignment in one transaction; the clock "
    "stops when the REST API has answered with the restored version's rows."
)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
