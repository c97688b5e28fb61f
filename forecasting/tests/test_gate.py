"""The gate, on really trained versions of a small tenant."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from forecasting.engine import families
from forecasting.engine.gates import GATE_NAMES
from forecasting.errors import ArtifactCorrupt, CandidateNotJudgeable, HoldoutBudgetSpent
from forecasting.models import Demand, GateReport, HoldoutAccess, ModelVersion
from forecasting.services import chain, training
from forecasting.services.gate import judge_candidate
from forecasting.services.policy import change_policy
from forecasting.services.promotion import approve_promotion, request_promotion
from forecasting.tests.evidence_sample import sample_evidence
from forecasting.tests.factories import make_person
from forecasting.tests.synthetic import LAST, activate, load, make_contract, make_demand
from ledger.context import RunContext
from ledger.execution import run_inline
from ledger.models import AuditEvent, Run, RunState
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role


def trained(*families: str) -> ModelVersion:
    run = run_inline(
        kind=chain.RETRAIN,
        inputs={"mode": "search", "as_of": LAST.isoformat(), "horizon": 7, "families": list(families)},
    )
    return ModelVersion.objects.get(run_id=run.pk)


def context() -> RunContext:
    key = uuid.uuid4().hex
    return RunContext(
        Run.objects.create(kind=chain.GATE, scope=key, idempotency_key=key, state=RunState.RUNNING, attempt=1)
    )


@pytest.fixture(autouse=True)
def one_more_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers a family as an app would: one line in the table."""
    monkeypatch.setitem(families._MODULES, "weekday_mean", "forecasting.tests.weekday_mean")
    monkeypatch.setattr(training, "FAMILY_NAMES", tuple(families._MODULES))


@pytest.fixture
def demand(alpha: Tenant) -> Tenant:
    activate(make_contract())
    load(noisy(make_demand(products=8)))
    return alpha


def noisy(demand: pa.Table) -> pa.Table:
    """Without a trend and with more noise, so that a mean of several weeks is clearly better than last week."""
    day = np.array([value.toordinal() for value in demand["date"].to_pylist()])
    noise = np.random.default_rng(11).normal(0, 6.0, len(day))
    quantity = np.maximum(40.0 + 10.0 * np.sin(2 * np.pi * day / 7) + noise, 0.0).round()
    return demand.set_column(demand.schema.get_field_index("quantity"), "quantity", pa.array(quantity))


def shape(value: Any) -> Any:
    """Keys all the way down; of a list its first entry."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list) and value:
        return [shape(value[0])]
    return ()


def test_gate__no_champion__is_held_against_seasonal_naive_with_all_its_evidence(demand: Tenant) -> None:
    candidate = trained("weekday_mean")
    report = judge_candidate(ctx=context(), candidate=candidate)
    results = {result["name"]: result for result in report.results}
    assert tuple(results) == GATE_NAMES
    assert {"inputs", "partition", "samples", "beats_naive", "wape", "operations"} <= {
        name for name, result in results.items() if result["passed"]
    }
    assert report.champion is None and report.evidence["champion_kind"] == "seasonal_naive"
    sample = sample_evidence(candidate, None, factor=0.95, confidence="measured", accesses=1)
    for part in set(sample) - {"scores", "realised"}:
        assert shape(report.evidence[part]) == shape(sample[part]), part
    assert set(report.evidence) == set(sample) | {"bootstrap_parts", "shadow"}
    assert report.evidence["bootstrap_parts"] and report.evidence["shadow"]["weeks"] == 0
    assert set(report.evidence["scores"]["candidate"]) == set(sample["scores"]["candidate"])
    holdout, business = report.evidence["holdout"], report.evidence["business"]
    assert (holdout["days"], holdout["accesses"], holdout["series"]) == (28, 1, 16)
    assert business["weeks"] == 4.0 and business["confidence"] == "measured"
    total = business["candidate"]["total_cost"]
    assert total["per_week"] == pytest.approx(total["value"] / 4)
    of_stores = sum(row["candidate"]["cost_per_week"]["value"] for row in report.evidence["stores"])
    assert of_stores == pytest.approx(total["per_week"])
    assert [len(week["candidate"]) for week in report.evidence["weeks"]] == [2, 2, 2, 2]
    assert len(report.evidence["differences"]) == 10
    apart = [row["difference"] for row in report.evidence["differences"]]
    assert apart == sorted(apart, reverse=True)
    assert candidate.label in report.evidence["sentence"] and "seasonal naive" in report.evidence["sentence"]
    candidate.refresh_from_db()
    assert candidate.evaluation["scores"]["overall"]["wape"]["value"] == results["wape"]["candidate"]
    assert Heartbeat.objects.get(schema_name="alpha").readiness == "production_tier_candidate"
    assert AuditEvent.objects.filter(event="gate.judged", subject_id=str(report.pk)).count() == 1


def test_gate__first_promoted__the_next_is_trained_beside_the_champions_spec(demand: Tenant) -> None:
    first, second = trained("seasonal_naive"), trained("weekday_mean")
    change_policy(
        body={"gates": {"stockout_rate_tolerance": 0.05}},
        actor=make_person("admin", Role.TENANT_ADMIN),
        reason="One order of the 64 judged is 1.6 points",
    )
    naive = judge_candidate(ctx=context(), candidate=first)
    assert "beats_naive" in [result["name"] for result in naive.results if not result["passed"]]
    report = judge_candidate(ctx=context(), candidate=second)
    assert report.verdict == "eligible", [result for result in report.results if not result["passed"]]
    assert report.policy.version == 2 and "evidence: strong" in report.evidence["sentence"]
    request = request_promotion(candidate=second, actor=make_person("ann", Role.ANALYST), reason="Better")
    approve_promotion(request_id=request.pk, actor=make_person("rex", Role.REVIEWER), reason="Seen")
    against = judge_candidate(ctx=context(), candidate=first, reason="Against the new champion")
    assert against.champion == second and against.verdict == "blocked"
    assert against.evidence["holdout"]["accesses"] == 2
    own = {row["name"]: row for row in against.results}
    theirs = {row["name"]: row for row in report.results}
    assert own["wape"]["champion"] == theirs["wape"]["candidate"], "same spec, same window, same rows: same score"
    assert own["inputs"]["passed"] and own["partition"]["passed"]


def test_gate__opened_again__needs_a_reason_and_is_counted(demand: Tenant) -> None:
    candidate = trained("seasonal_naive")
    ctx = context()
    first = judge_candidate(ctx=ctx, candidate=candidate)
    assert judge_candidate(ctx=ctx, candidate=candidate) == first, "one run makes one report"
    with pytest.raises(HoldoutBudgetSpent):
        judge_candidate(ctx=context(), candidate=candidate)
    again = judge_candidate(ctx=context(), candidate=candidate, reason="The prices were wrong")
    assert HoldoutAccess.objects.filter(candidate=candidate).count() == 2
    assert again.evidence["holdout"]["openings"][1]["reason"] == "The prices were wrong"


def test_gate__altered_files_or_data__refuses_before_the_holdout_is_opened(demand: Tenant) -> None:
    candidate = trained("seasonal_naive")
    row = Demand.objects.order_by("date").first()
    assert row is not None
    Demand.objects.filter(series_id=row.series_id, date=row.date).update(quantity=row.quantity + 1)
    with pytest.raises(CandidateNotJudgeable, match="was changed since"):
        judge_candidate(ctx=context(), candidate=candidate)
    artifact = candidate.artifacts.filter(role="evaluation").exclude(name="manifest.json").first()
    assert artifact is not None
    default_storage.delete(artifact.path)
    default_storage.save(artifact.path, ContentFile(b"{}"))
    with pytest.raises(ArtifactCorrupt):
        judge_candidate(ctx=context(), candidate=candidate)
    assert not HoldoutAccess.objects.exists() and not GateReport.objects.exists()


def test_gate__prices_unknown__fails_closed_and_says_so(alpha: Tenant) -> None:
    activate(make_contract())
    load(make_demand(products=4).drop_columns(["unit_price", "unit_cost"]))
    report = judge_candidate(ctx=context(), candidate=trained("seasonal_naive"))
    results = {result["name"]: result for result in report.results}
    assert not results["total_cost"]["passed"] and results["total_cost"]["missing"]
    assert report.evidence["business"]["candidate"]["total_cost"]["value"] is None
    assert "unknown" in report.evidence["sentence"]
    assert report.verdict != "eligible"
