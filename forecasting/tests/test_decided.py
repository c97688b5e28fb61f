"""Training exactly what was decided in a strategy cycle: the same spec, the same partition, the same gates."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.errors import FamilyUnknown, HistoryShort, HorizonShort, WrongRequest
from forecasting.errors_strategy import (
    CycleUnknown,
    DecidedOnLaterData,
    DecisionMissing,
    DecisionOutdated,
    DecisionUnknown,
)
from forecasting.models import GateReport, ModelVersion, StrategyDecision
from forecasting.services import artifacts, training
from forecasting.services.chain import run_chain_inline
from forecasting.services.strategy_decisions import train_decided
from forecasting.tests.factories import make_candidate, make_person
from forecasting.tests.strategy_sample import make_decision
from forecasting.tests.synthetic import LAST, load, make_demand, train
from forecasting.tests.test_commands import refused
from ledger.models import AuditEvent, Run
from tenants.roles import Role

SPEC = EngineSpec(
    families=("seasonal_naive", "seasonal_average"),
    horizon=10,
    weights={"*": {"seasonal_average": 0.7, "seasonal_naive": 0.3}, "erratic": {"seasonal_naive": 1.0}},
    params={"seasonal_average": {"seasons": 3}},
    seed=11,
)
SEALED_FROM = LAST - timedelta(days=28)
NOTHING: dict[str, Any] = {"mode": None, "as_of": None, "horizon": None, "families": None}


@pytest.fixture
def demand(alpha: Any) -> None:
    load(make_demand(stores=1, products=3))


@pytest.fixture
def decision(demand: None) -> StrategyDecision:
    return make_decision(SPEC, seen=SEALED_FROM)


def test_train__decided__fits_exactly_the_decided_spec_in_the_usual_partition(decision: StrategyDecision) -> None:
    version = train(families=(), mode="decided", decision=decision.pk)
    assert version.spec.sha256 == decision.spec_sha256 == SPEC.sha256
    assert (version.mode, version.decision_id, version.status) == ("decided", decision.pk, "candidate")
    assert version.evaluation_window["train_end"] == SEALED_FROM.isoformat()
    assert version.serving_window["train_end"] == LAST.isoformat()
    for role in ("evaluation", "serving"):
        fitted = artifacts.load_fit(version, role)
        assert fitted.spec == SPEC and fitted.parts["seasonal_average"].describe()["seasons"] == 3
        assert version.manifest[role]["spec_sha256"] == SPEC.sha256
    assert set(version.backtest["families"]) == set(SPEC.families)
    assert version.backtest["reason"] == (
        f"Decided in strategy cycle {decision.cycle_id}, chosen instead by ann: It did best"
    )
    assert AuditEvent.objects.get(event="model.trained").data["decision"] == decision.pk


def test_chain__decided__goes_through_the_gate_as_a_search_does(decision: StrategyDecision) -> None:
    outcome = run_chain_inline(decision=decision.pk)
    assert outcome.mode == "decided" and outcome.guard == {}
    report = GateReport.objects.get()
    assert report.candidate.decision == decision and report.verdict == outcome.verdict
    assert outcome.refused == (outcome.verdict != "eligible")


def test_command__decided__trains_the_standing_decision_of_that_cycle(
    decision: StrategyDecision, tmp_path: Any
) -> None:
    with suppress(CommandError):  # the gate may say no: the version is there all the same
        call_command("run_chain", "alpha", decided=decision.cycle_id, verbosity=0)
    assert ModelVersion.objects.get().decision == decision


def test_command__no_such_cycle__status_2_and_nothing_runs(demand: None) -> None:
    assert "There is no strategy cycle 99" in refused(2, "run_chain", "alpha", decided=99, verbosity=0)
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"families": ["lightgbm"]}, WrongRequest),
        ({"horizon": 14}, WrongRequest),
        ({"mode": "search"}, DecisionMissing),
        ({"mode": "refresh"}, DecisionMissing),
        ({"mode": "decided", "decision": None}, DecisionMissing),
        ({"decision": 0}, DecisionUnknown),
        ({"as_of": LAST - timedelta(days=1)}, DecidedOnLaterData),
        ({"as_of": LAST - timedelta(days=120)}, HistoryShort),
    ],
)
def test_request__does_not_fit_the_decision__is_refused_and_says_what_to_do(
    decision: StrategyDecision, asked: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        training.check_request(**{**NOTHING, "decision": decision.pk, **asked})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grain": "W", "season_length": 52}, DecisionOutdated),
        ({"horizon": 3}, HorizonShort),
        ({"families": ("seasonal_naive", "arima"), "weights": {"*": {"arima": 1.0}}}, FamilyUnknown),
    ],
)
def test_decision__cannot_be_trained_now__is_refused_before_anything_is_queued(
    demand: None, changes: dict[str, Any], error: type[Exception]
) -> None:
    body = {**SPEC.to_json(), "params": {}, **changes}
    made = make_decision(EngineSpec.from_json(body), seen=SEALED_FROM)
    with pytest.raises(error):
        train_decided(cycle_id=made.cycle_id, actor=make_person("ann", Role.ANALYST), reason="Now")
    assert not Run.objects.exists()


def test_train_decided__no_such_cycle__is_refused(demand: None) -> None:
    with pytest.raises(CycleUnknown):
        train_decided(cycle_id=7, actor=make_person("ann", Role.ANALYST), reason="Now")


def test_version__where_it_came_from__is_bound_to_its_mode_and_never_changes(decision: StrategyDecision) -> None:
    with pytest.raises(IntegrityError, match="forecasting_version_decision"), transaction.atomic():
        make_candidate(mode="decided", forecasts=False)
    version = train(families=(), mode="decided", decision=decision.pk)
    other = make_decision(SPEC, seen=SEALED_FROM)
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(decision=other)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE forecasting_modelversion SET decision_id = NULL, mode = 'search'")


def test_version_page_and_api__decided__say_where_the_spec_came_from(
    decision: StrategyDecision, client_of: Any
) -> None:
    version = train(families=(), mode="decided", decision=decision.pk)
    client = client_of("alpha", make_person("ann", Role.ANALYST))
    page = client.get(reverse("admin:forecasting_modelversion_change", args=[version.pk])).content.decode()
    assert f"Decided in strategy cycle {decision.cycle_id}, chosen instead by ann: It did best" in page
    assert reverse("admin:forecasting_strategycycle_change", args=[decision.cycle_id]) in page
    assert "Train what was decided" in page
