"""The validation of the runtime chain: what it calls sound, and what it does not let pass."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from config.staging.chain import Pass
from config.staging.evidence import compared, data_fingerprint, evidence_of
from config.staging.report import as_markdown
from forecasting.models import ForecastSet
from forecasting.services import chain
from forecasting.tests.synthetic import load, make_demand
from forecasting.tests.test_chain import work_off
from ledger.models import Run, RunState
from ledger.presence import Presence, worker_is_present


@pytest.fixture
def watched(alpha) -> Pass:
    load(make_demand(stores=2, products=4))
    root = chain.start_chain(actor=None, families=("seasonal_naive",))
    work_off(alpha)
    return Pass("First pass", root)


def _failed(told: dict) -> set[str]:
    return {check["name"] for check in told["checks"] if not check["passed"]}


def test_evidence__whole_chain__every_check_holds_and_each_step_is_told(watched):
    told = evidence_of(watched)
    assert told["passed"] and _failed(told) == set()
    assert [step["kind"] for step in told["steps"]] == [chain.RETRAIN, chain.FORECAST, chain.ACCURACY, chain.GATE]
    assert all(step["attempts"] == ["succeeded"] and step["in_words"] for step in told["steps"])
    assert told["version"]["data_fingerprint"]["serving"] and told["version"]["files"]
    assert told["verdict"]["verdict"] == "blocked" and "beats_naive" in told["verdict"]["failed"]
    assert json.loads(json.dumps(told, default=str))["state"] == "succeeded"


def test_evidence__something_lost_or_doubled__is_not_let_pass(watched):
    gate = Run.objects.get(kind=chain.GATE)
    made = ForecastSet.objects.get()
    ForecastSet.objects.create(version=made.version, channel="drill", origin_date=made.origin_date, horizon=1)
    Run.objects.create(
        kind=chain.FORECAST, idempotency_key="twice", parent=watched.root, state=RunState.SUCCEEDED,
        correlation_id=watched.root.correlation_id, outputs=Run.objects.get(kind=chain.FORECAST).outputs,
    )  # fmt: skip
    Run.objects.filter(pk=gate.pk).update(state=RunState.FAILED)
    watched.killed = {
        "run": str(watched.root.pk),
        "step": chain.RETRAIN,
        "progress": "1 of 2",
        "lost_after_seconds": 60.0,
    }
    told = evidence_of(watched)
    assert not told["passed"]
    assert _failed(told) >= {
        "every step succeeded", "each step is one run", "one set of forecasts was made",
        "the killed step was lost and done again", "the chain came to its end",
    }  # fmt: skip


def test_compared__other_data_or_another_model__is_not_let_pass(watched):
    told = evidence_of(watched)
    before = data_fingerprint()
    assert all(check["passed"] for check in compared([told, told], before, data_fingerprint()))
    other = {**told, "version": {**told["version"], "files": {"serving/manifest.json": "0" * 64}}}
    checks = compared([told, other], before, "1" * 64)
    assert [check["passed"] for check in checks] == [False, False]


def test_report__of_both_passes__says_what_was_found(watched):
    told = evidence_of(watched)
    report = {
        "tenant": "alpha", "revision": "abc", "started_at": "2026-01-02T03:04:05", "verdict": "passed",
        "worker": "started and stopped by the validation", "data_fingerprint": "f" * 64, "passes": [told],
        "checks": compared([told], "f" * 64, "f" * 64), "not_done": "",
    }  # fmt: skip
    text = as_markdown(report)
    assert "Verdict: **passed**" in text and "| Retrain | `" in text and "2026-01-02 03:04 UTC" in text
    assert text.count("| yes |") == len(told["checks"]) + 1


def test_presence__worker_holds_its_sign__is_seen_until_it_goes(db):
    assert not worker_is_present()
    one, other = Presence(), Presence()
    one.hold()
    other.hold()
    one.hold()  # twice does no harm
    assert worker_is_present()
    one.release()
    assert worker_is_present()
    other.release()
    assert not worker_is_present()


def test_validate_runtime_chain__no_such_tenant_or_step__wrong_usage(db, tmp_path):
    with pytest.raises(CommandError) as caught:
        call_command("validate_runtime_chain", "nobody", "--out", str(tmp_path))
    assert caught.value.returncode == 2
    with pytest.raises(CommandError):
        call_command("validate_runtime_chain", "alpha", "--out", str(tmp_path), "--kill-in", "lunch")
    assert list(tmp_path.iterdir()) == []
