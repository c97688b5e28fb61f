"""Proof by poison: for every path that learns, forecasts or scores, what lies after its window changes not one bit.

A probe does its path once and returns everything that the path made. It is done three times from the same state: as it
is; with all rows after the window poisoned (nothing may change); with one row inside it changed (something must).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from django.db import transaction
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from forecasting.engine.families import lightgbm
from forecasting.engine.panel import Panel
from forecasting.engine.train import SearchConfig
from forecasting.engine.types import ModelSpec, TrainingWindow
from forecasting.models import ForecastSet, ModelVersion, Series
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.artifacts import load_fit
from forecasting.services.backtesting import run_backtest
from forecasting.services.drill_models import make_drill_version
from forecasting.services.evaluating import evaluate_inline
from forecasting.services.explaining import explain_point, point_of
from forecasting.services.gate import judge_candidate
from forecasting.services.loading import load_panel, load_series, load_training
from forecasting.services.publishing import forecast_version
from forecasting.services.replay_request import check_replay, make_replay
from forecasting.services.replaying import replay_inline
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.strategy import cycle_inline
from forecasting.services.windows import plan_window
from forecasting.tests.partition_paths import PATHS
from forecasting.tests.partition_world import (
    AS_OF,
    FAMILIES,
    HORIZON,
    TRAIN_END,
    World,
    made_in,
)
from forecasting.tests.promotion_state import lost
from forecasting.tests.synthetic import train
from forecasting.tests.test_gate import context
from ledger.errors import DomainError
from ledger.schema import connection
from tenants.models import Tenant


@pytest.fixture(scope="module")
def world(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Made once in a transaction that is never committed; every run of a probe is taken back to it."""
    folder = tmp_path_factory.mktemp("poison")
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(lightgbm.DEFAULTS, "rounds", 15)
        patch.setitem(lightgbm.DEFAULTS, "min_data_in_leaf", 10)
        connection.set_schema_to_public()
        connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
        try:
            with transaction.atomic(), override_settings(MEDIA_ROOT=folder, TRAIN_PROCESSES=1):
                yield made_in(folder)
                transaction.set_rollback(True)
        finally:
            connection.set_schema_to_public()
            connection.close()


# --- poison -----------------------------------------------------------------------------------------------------------

_POISON = """
    UPDATE forecasting_demand SET quantity = 1000 * (quantity + 1), returned_quantity = 1000,
        unit_price = 1000 * unit_price, unit_cost = 1000 * unit_cost, on_hand_qty = 1000, on_order_qty = 1000,
        is_promotional = 1000 * (1 - is_promotional), is_holiday = 1000,
        extra = jsonb_build_object('visitors', 1000 * (extra ->> 'visitors')::float8),
        stocked_out = extract(day FROM date)::int %% 5 = 0, batch_id = 99
    WHERE date > %(end)s
"""
_POISON_PLAN = """
    UPDATE forecasting_knownfuture SET values = jsonb_build_object('is_promotional', 1000), batch_id = 99
    WHERE date > %(plan_end)s
"""
_NEW_SERIES = """
    WITH late AS (
        INSERT INTO forecasting_series (store_id, product_id, category, first_day, last_day)
        VALUES ('S-late', 'P-late', 'C-late', %(end)s::date + 1, %(end)s::date + 3) RETURNING id)
    INSERT INTO forecasting_demand (series_id, date, quantity, unit_price, batch_id)
    SELECT id, %(end)s::date + n, 1000000, 1000, 99 FROM late, generate_series(1, 3) AS n
"""
_INSIDE = "UPDATE forecasting_demand SET quantity = 3 * quantity + 50 WHERE date = %s AND series_id = %s"


def poison(end: date, plan_end: date) -> None:
    """Multiply all that lies after the window by 1,000, withdraw days from learning, and let a new series begin."""
    days = {"end": end, "plan_end": plan_end}
    with connection.cursor() as cursor:
        cursor.execute(_POISON, days)
        assert cursor.rowcount >= 3 * (AS_OF - end).days + 3
        cursor.execute(_POISON_PLAN, days)
        assert cursor.rowcount >= 3 * 20
        cursor.execute(_NEW_SERIES, days)


def change_inside(day: date) -> None:
    """Change one row that the path may see."""
    with connection.cursor() as cursor:
        cursor.execute(_INSIDE, [day, Series.objects.earliest("pk").pk])
        assert cursor.rowcount == 1


@contextmanager
def taken_back(world: World) -> Iterator[None]:
    """Whatever is written inside is undone at the end."""
    with override_settings(MEDIA_ROOT=world.folder, TRAIN_PROCESSES=1), transaction.atomic():
        yield
        transaction.set_rollback(True)


# --- what a path made, as one text ------------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Canonical text; every digit of a float, whatever the container."""
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return {"columns": list(map(str, value.columns)), "rows": pd.util.hash_pandas_object(value).tolist()}
    if isinstance(value, Panel):
        return {"history": value.history, "static": value.static, "future": value.future}
    if isinstance(value, TrainingWindow):
        return value.to_json()
    return str(value)


def _fit_side(version: ModelVersion, role: str) -> dict[str, Any]:
    """One fit of a version: its files' hashes, its window with the fingerprint, its manifest, what it forecasts."""
    body = version.evaluation_window if role == "evaluation" else version.serving_window
    fitted = load_fit(version, "evaluation" if role == "evaluation" else "serving")
    panel = load_panel(TrainingWindow.from_json(body), ahead=HORIZON)
    return {
        "files": dict(version.artifacts.filter(role=role).values_list("name", "sha256")),
        "window": body,
        "manifest": version.manifest[role],
        "forecast": fitted.forecast(panel, HORIZON),
    }


def _judged_side(version: ModelVersion) -> dict[str, Any]:
    """Everything of a version that may rest on the days before its sealed holdout only."""
    made = {"spec": version.spec.body, "backtest": version.backtest}
    return {**made, **{k: v for k, v in _fit_side(version, "evaluation").items() if k != "forecast"}}


def _whole_version(version: ModelVersion) -> dict[str, Any]:
    sides = {role: _fit_side(version, role) for role in ("evaluation", "serving")}
    return {"spec": version.spec.body, "backtest": version.backtest, "notes": version.notes, **sides}


# --- probes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """A path done once. end: the last day of demand it may see; plan_end: the last day of plans."""

    path: str
    case: str
    run: Callable[[World], Any]
    end: date
    plan_end: date


def _search(world: World) -> ModelVersion:
    return train(families=FAMILIES, as_of=AS_OF, horizon=HORIZON)


def _refresh(world: World) -> ModelVersion:
    return train(families=(), mode="refresh", as_of=AS_OF)


def _decided(world: World) -> ModelVersion:
    return train(families=(), mode="decided", as_of=AS_OF, decision=world.decision.pk)


def _judged(world: World) -> dict[str, Any]:
    """What the gate says and shows. Readiness is left out: it counts the days and products that the tenant has now."""
    report = judge_candidate(ctx=context(), candidate=world.candidate)
    evidence = {name: part for name, part in report.evidence.items() if name not in {"operations", "holdout"}}
    return {
        "results": report.results,
        **evidence,
        "holdout": _without(_without(report.evidence["holdout"], "openings"), "candidates"),
    }


def _drill(world: World) -> dict[str, Any]:
    """A fit that is made for a drill as of an earlier day."""
    spec = ModelSpec.from_json(world.champion.spec.body)
    version = make_drill_version(ctx=context(), spec=spec, calibrated_by=world.champion, origin=AS_OF, damage=False)
    return _fit_side(version, "serving")


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def _opponent(world: World) -> Any:
    """What is known of the opponent's fit before the holdout is opened: its rolling origins."""
    report = judge_candidate(ctx=context(), candidate=world.candidate)
    return report.evidence["rolling_origin"]


def _forecast(world: World) -> Any:
    for table, key in (
        ("forecastpath", "forecast_set_id"),
        ("forecastnodepath", "forecast_set_id"),
        ("forecastset", "id"),
    ):
        lost(table, f"{key} = {world.forecast_set.pk}")
    made = forecast_version(ctx=None, version=world.champion, origin=AS_OF)
    return list(made.paths.order_by("series_id").values("series_id", "family", "flags", "start_date", "yhat",
                                                        "lo80", "hi80", "lo95", "hi95")), _totals(made)  # fmt: skip


def _rolled(world: World) -> Any:
    made = forecast_version(ctx=None, version=world.champion, origin=AS_OF + timedelta(days=5))
    return list(made.paths.order_by("series_id").values("series_id", "family", "flags", "yhat", "lo95", "hi95"))


def _accuracy(world: World) -> Any:
    records = measure_accuracy(ctx=None, until=AS_OF + timedelta(days=5))
    return [[row.actuals_until, row.days, row.rows, row.wape, row.wape_naive, row.scores] for row in records]


def _replayed(days: int, families: list[str]) -> list[dict[str, Any]]:
    config = check_replay(holdout_days=days, as_of=AS_OF, horizon=HORIZON, families=families, portfolio="off")
    made = replay_inline(replay=make_replay(config=config, actor=None))
    return [*made.days.values_list("line", flat=True), made.fingerprint, made.summary]


def _replay(world: World) -> Any:
    return _replayed(1, ["seasonal_average"])


def _replay_inside(world: World) -> Any:
    """The first of the two days replayed, and the eve: what comes on the second may not reach them."""
    return _replayed(2, ["lightgbm"])[:2]


def _explain(world: World) -> Any:
    path = world.forecast_set.paths.select_related("forecast_set__version__spec").earliest("series_id")
    point = point_of(path, None)
    assert point is not None
    reasons = explain_point(path, point)
    return [None if reasons.explanation is None else asdict(reasons.explanation), reasons.why_not]


def _door(world: World) -> Any:
    window = plan_window(as_of=AS_OF, mode="evaluation")
    loaded = load_training(window, ahead=HORIZON)
    one = Series.objects.earliest("pk").pk
    return [loaded.window, loaded.panel, load_panel(window), load_series(window, one, ahead=HORIZON)]


def _backtest(world: World) -> Any:
    window = plan_window(as_of=AS_OF, mode="evaluation")
    made = run_backtest(window=window, config=SearchConfig(families=("seasonal_naive", "lightgbm"), horizon=HORIZON))
    result = made.backtest
    return [made.window, made.classes.to_dict(), made.static, made.values, result.frame, result.scales, result.declined]


def _segments(world: World) -> Any:
    """The door as training uses it: segment by segment, out of one frozen state."""
    with override_settings(SEGMENT_SERIES=2), demand_snapshot() as demand:
        source = demand.source(plan_window(as_of=AS_OF, mode="evaluation"), ahead=HORIZON)
        assert len(source.segments) == 2
        return [source.window, asdict(source.shape), *(source.panel(one) for one in source.segments)]


def _in_segments(world: World) -> Any:
    with override_settings(SEGMENT_SERIES=2):
        return _judged_side(_search(world))


def _totals(made: ForecastSet) -> Any:
    return list(made.node_paths.order_by("level", "key").values("level", "key", "yhat", "lo95", "hi95"))


def _days(base: date, more: int) -> date:
    return base + timedelta(days=more)


PROBES = (
    Probe("door", "evaluation", _door, TRAIN_END, _days(TRAIN_END, HORIZON)),
    Probe("door", "in segments", _segments, TRAIN_END, _days(TRAIN_END, HORIZON)),
    Probe("search", "in segments", _in_segments, TRAIN_END, TRAIN_END),
    Probe("search", "judged", lambda world: _judged_side(_search(world)), TRAIN_END, TRAIN_END),
    Probe("search", "serving", lambda world: _whole_version(_search(world)), AS_OF, _days(AS_OF, HORIZON)),
    Probe("refresh", "judged", lambda world: _judged_side(_refresh(world)), TRAIN_END, TRAIN_END),
    Probe("refresh", "serving", lambda world: _whole_version(_refresh(world)), AS_OF, _days(AS_OF, HORIZON)),
    Probe("decided", "judged", lambda world: _judged_side(_decided(world)), TRAIN_END, TRAIN_END),
    Probe("decided", "serving", lambda world: _whole_version(_decided(world)), AS_OF, _days(AS_OF, HORIZON)),
    Probe("backtest", "outcome", _backtest, TRAIN_END, TRAIN_END),
    Probe("evaluation", "report", lambda world: evaluate_inline(as_of=AS_OF, families=FAMILIES, origins=2,
                                                                horizon=HORIZON).report, TRAIN_END, TRAIN_END),
    Probe("strategy", "report", lambda world: cycle_inline(as_of=AS_OF, families=["seasonal_average"], origins=2,
                                                           horizon=HORIZON).report, TRAIN_END, TRAIN_END),
    Probe("gate", "judgement", _judged, AS_OF, AS_OF),
    Probe("gate", "opponent", _opponent, TRAIN_END, TRAIN_END),
    Probe("forecast", "from the fit", _forecast, AS_OF, _days(AS_OF, HORIZON)),
    Probe("forecast", "rolled forward", _rolled, _days(AS_OF, 5), _days(AS_OF, 5 + HORIZON)),
    Probe("drill", "fitted for it", _drill, AS_OF, _days(AS_OF, HORIZON)),
    Probe("accuracy", "records", _accuracy, _days(AS_OF, 5), _days(AS_OF, 5)),
    Probe("replay", "to its end", _replay, AS_OF, _days(AS_OF, HORIZON)),
    Probe("replay", "a day inside", _replay_inside, _days(AS_OF, -1), _days(AS_OF, -1 + HORIZON)),
    Probe("explain", "one step", _explain, AS_OF, _days(AS_OF, HORIZON)),
)  # fmt: skip


def done(world: World, probe: Probe) -> str:
    """The path once from the same state; an error that the path means is its result."""
    try:
        return text_of(probe.run(world))
    except DomainError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe.path}-{probe.case}")
def test_poison__rows_after_the_window__nothing_changes_and_one_row_inside_does(world: World, probe: Probe) -> None:
    with taken_back(world):
        clean = done(world, probe)
    assert clean.startswith(("{", "[")), clean
    with taken_back(world):
        poison(probe.end, probe.plan_end)
        assert done(world, probe) == clean
    with taken_back(world):
        change_inside(probe.end)
        assert done(world, probe) != clean


def test_poison__every_path_that_learns_forecasts_or_scores__has_a_probe() -> None:
    assert {probe.path for probe in PROBES} == {path.name for path in PATHS if path.probed}
