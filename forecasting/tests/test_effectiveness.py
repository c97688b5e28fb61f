"""The effectiveness report: what it collects from a tenant's runs, how it reads, and when it is out of date."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from forecasting.models import ForecastSet, GateReport, HoldoutAccess
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.effectiveness import Effectiveness, collect
from forecasting.services.effectiveness_text import DASH, best_single, lasting, markdown, ratio_to_best, tenant_aims
from forecasting.services.evaluating import EVALUATE, evaluate_inline
from forecasting.services.publishing import forecast_version
from forecasting.tests.synthetic import LAST, load, make_demand, train
from forecasting.tests.test_commands import refused
from ledger.models import Run
from tenants.models import Tenant

QUICK: dict[str, Any] = {"families": ["seasonal_average"], "origins": 2, "horizon": 7}


@pytest.fixture(autouse=True)
def one_process(settings) -> None:
    """The runs are so small that starting processes would take longer than they do."""
    settings.TRAIN_PROCESSES = 1


def score(value: float | None, reason: str | None = None) -> dict[str, Any]:
    return {"value": value, "n": 10, "reason": reason}


def contender(name: str, wape: float | None, rows: int = 100, coverage: float = 0.8) -> dict[str, Any]:
    overall = {"wape": score(wape, None if wape is not None else "the sum of actuals is zero"),
               "coverage80": score(coverage), "fva": score(0.1)}  # fmt: skip
    scores = {"overall": overall, "by_week": {"1": overall}, "by_class": {}, "rows": rows}
    return {"name": name, "scores": scores, "declined": {"series": 0, "reasons": []}}


def told(*contenders: dict[str, Any], **others: Any) -> Effectiveness:
    report = {
        "contenders": list(contenders), "series": 5, "classes": {"smooth": 5}, "origins": ["2017-01-01"], "horizon": 7,
        "grain": "D", "proposed": {"spec": "single_a", "reason": "it is the only one"},
        "window": {"train_end": "2017-01-08", "holdout_start": "2017-01-09", "holdout_end": "2017-02-05"},
    }  # fmt: skip
    absent = {"gate": "No version was judged yet.", "realised": "Nothing was measured."}
    return Effectiveness("alpha", "Alpha", evaluation=report, absent=absent, **others)


def test_best_single__a_family_that_declined_rows__is_no_rival() -> None:
    found = told(
        contender("a", 0.4), contender("b", 0.2, rows=10), contender("chosen", 0.38), contender("ensemble", 0.3)
    )
    assert found.evaluation is not None
    assert best_single(found.evaluation) == ("a", 0.4)
    assert ratio_to_best(found.evaluation, "chosen") == pytest.approx(0.95)


def test_markdown__an_aim_missed__is_named_first_and_a_reached_one_is_not() -> None:
    found = told(contender("a", 0.4), contender("chosen", 0.42, coverage=0.81), contender("ensemble", 0.5))
    figures = [
        {"name": "slow", "value": 3.0, "to_reach": 1.3, "better": "lower", "reached": False},
        {"name": "fast", "value": 30.0, "to_reach": 12.0, "better": "higher", "reached": True},
    ]
    text = markdown([found], figures, ["Made now."])
    missed = text.split("## Where it does not reach its aims")[1].split("## ")[0]
    assert "chosen ÷ best single family, WAPE: 1.0500, to reach ≤ 1.00" in missed
    assert "slow: 3.0000, to reach ≤ 1.3" in missed
    assert "fast" not in missed and "80% interval" not in missed
    assert [aim.reached for aim in tenant_aims(found)] == [False, True, True]


def test_markdown__an_undefined_score__is_a_dash_with_its_reason() -> None:
    text = markdown([told(contender("a", None), contender("chosen", None), contender("ensemble", 0.5))], [], [])
    line = next(line for line in text.splitlines() if line.startswith("| a |"))
    assert line.split(" | ")[1] == DASH
    assert "a, WAPE: the sum of actuals is zero" in text
    assert "alpha: chosen ÷ best single family, WAPE | – | ≤ 1.00 | **not known**" in text


def test_lasting__two_reports_of_the_same_facts_at_other_times__are_the_same() -> None:
    found = told(contender("a", 0.4), contender("chosen", 0.4), contender("ensemble", 0.5))
    first, second = (markdown([found], [], [f"Made at {at}."]) for at in ("noon", "midnight"))
    assert first != second and lasting(first) == lasting(second)
    assert "chosen" in lasting(first) and "noon" not in lasting(first)


def test_collect__a_tenant_without_anything__says_what_is_missing(alpha: Tenant) -> None:
    found = collect()
    assert (found.evaluation, found.gate, found.realised) == (None, None, [])
    assert set(found.absent) == {"evaluation", "gate", "realised"}
    assert "No evaluation" in markdown([found], [], [])


def test_collect__evaluation_gate_and_accuracy__are_those_of_the_runs(alpha: Tenant) -> None:
    load(make_demand(stores=1, products=3))
    older, newer = evaluate_inline(**QUICK), evaluate_inline(**{**QUICK, "horizon": 14})
    version = train(as_of=LAST - timedelta(days=7))
    forecast_version(ctx=None, version=version, origin=LAST - timedelta(days=7))
    (measured,) = measure_accuracy(ctx=None)
    assert collect(evaluate=False).realised == []  # it was never published
    ForecastSet.objects.update(published_at=timezone.now())
    found = collect(evaluate=False)
    assert found.run["run"] == str(newer.run.pk) != str(older.run.pk)
    assert found.evaluation == newer.report
    assert found.run["fingerprint"] == newer.report["window"]["fingerprint"]
    assert [row["wape"] for row in found.realised] == [measured.wape] and found.realised_of == str(version)
    assert set(found.absent) == {"gate"}
    assert Run.objects.filter(kind=EVALUATE).count() == 2
    assert GateReport.objects.count() == HoldoutAccess.objects.count() == 0


def test_command__written_checked_and_changed__tells_what_is_out_of_date(alpha: Tenant, tmp_path: Path) -> None:
    load(make_demand(stores=1, products=3))
    evaluate_inline(**QUICK)
    out, figures = tmp_path / "report.md", tmp_path / "results.json"
    figures.write_text(json.dumps({"figures": [{"name": "slow", "value": 3.0, "to_reach": 1.3, "better": "lower",
                                                "reached": False}]}))  # fmt: skip
    given: dict[str, Any] = {"tenants": "alpha", "out": out, "figures": figures, "verbosity": 0}
    refused(1, "effectiveness_report", check=True, **given)
    call_command("effectiveness_report", **given)
    text = out.read_text()
    assert "slow: 3.0000" in text and "seasonal_average" in text and str(LAST) in text
    assert Run.objects.filter(kind=EVALUATE).count() == 1
    call_command("effectiveness_report", check=True, **given)
    figures.write_text(json.dumps({"figures": []}))
    assert "effectiveness_report" in refused(1, "effectiveness_report", check=True, **given)
    figures.write_text("nonsense")
    assert "make bench" in refused(2, "effectiveness_report", **given)
    refused(2, "effectiveness_report", **{**given, "tenants": "nobody"})
