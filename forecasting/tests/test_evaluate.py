"""The evaluation of a tenant: through the one door, kept as a run's file, told by a command."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection

from forecasting.engine.evaluate import rolling_table
from forecasting.engine.train import SearchConfig
from forecasting.errors import WrongRequest
from forecasting.models import ForecastSet, HoldoutAccess, ModelVersion
from forecasting.services.evaluating import EVALUATE, evaluate_inline
from forecasting.services.loading import load_panel
from forecasting.services.windows import plan_window
from forecasting.tests.factories import make_person
from forecasting.tests.synthetic import FIRST, LAST, load, make_demand
from forecasting.tests.test_commands import refused
from ledger.models import AuditEvent, Run
from tenants.errors import RoleRequired
from tenants.roles import Role

QUICK: dict[str, Any] = {"families": ["seasonal_average"], "origins": 2, "horizon": 7}
SEALED = LAST - timedelta(days=27)


def test_evaluation__rows_of_the_holdout_poisoned__report_is_the_same_bytes(alpha, few_rounds):
    load(make_demand(stores=1, products=3))
    families = ["seasonal_average", "lightgbm"]
    clean = evaluate_inline(families=families, origins=2, horizon=7)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE forecasting_demand SET quantity = quantity * 1000, unit_price = unit_price * 1000 WHERE date >= %s",
            [SEALED],
        )
        assert cursor.rowcount == 3 * 28
    poisoned = evaluate_inline(families=families, origins=2, horizon=7)
    assert poisoned.report == clean.report
    files = [default_storage.open(one.run.artifacts[0]["path"]).read() for one in (clean, poisoned)]
    assert files[0] == files[1]
    assert HoldoutAccess.objects.count() == ModelVersion.objects.count() == ForecastSet.objects.count() == 0
    # The poison was there: one day earlier, the same rows do matter.
    with connection.cursor() as cursor:
        cursor.execute("UPDATE forecasting_demand SET quantity = 1000000 WHERE date = %s", [SEALED - timedelta(days=1)])
    assert evaluate_inline(families=families, origins=2, horizon=7).report != clean.report


def test_evaluation__as_of_an_earlier_day__later_days_are_as_if_they_were_not(alpha):
    load(make_demand(stores=1, products=3))
    day = LAST - timedelta(days=20)
    before = evaluate_inline(as_of=day, **QUICK).report
    assert before["window"]["train_end"] == str(day - timedelta(days=28))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM forecasting_demand WHERE date > %s", [day])
    assert evaluate_inline(**QUICK).report == before


def test_evaluation__kept__as_the_engines_table_with_hash_summary_and_audit(alpha):
    load(make_demand(stores=1, products=3))
    outcome = evaluate_inline(**QUICK)
    run, report = Run.objects.get(kind=EVALUATE), outcome.report
    panel = load_panel(plan_window(mode="evaluation"))
    config = SearchConfig(families=("seasonal_naive", "seasonal_average"), horizon=7, origins=2)
    expected = rolling_table(panel, config).to_json()
    assert {name: report[name] for name in expected} == json.loads(json.dumps(expected))
    file = run.artifacts[0]
    content = default_storage.open(file["path"]).read()
    assert file["sha256"] == hashlib.sha256(content).hexdigest() and file["bytes"] == len(content)
    scores = run.outputs["scores"]["seasonal_average"]
    line = report["contenders"][1]
    assert scores["wape"] == line["scores"]["overall"]["wape"]["value"] and scores["declined_series"] == 0
    assert run.outputs["fingerprint"] == report["window"]["fingerprint"] != ""
    event = AuditEvent.objects.get(event="evaluation.made")
    assert event.subject_id == str(run.pk) and event.data["train_end"] == str(SEALED - timedelta(days=1))


def test_evaluation__who_may__analyst_and_admin_only(alpha):
    load(make_demand(stores=1, products=2))
    for role in (Role.VIEWER, Role.REVIEWER):
        with pytest.raises(RoleRequired):
            evaluate_inline(actor=make_person(f"a-{role}", role), **QUICK)
    assert not Run.objects.exists()
    run = evaluate_inline(actor=make_person("ann", Role.ANALYST), **QUICK).run
    assert run.requested_by_name == "ann"


@pytest.mark.parametrize("count", [0, -1, 53])
def test_evaluation__number_of_origins_out_of_bounds__is_refused(alpha, count):
    load(make_demand(stores=1, products=1))
    with pytest.raises(WrongRequest, match="between 1 and 52"):
        evaluate_inline(**{**QUICK, "origins": count})


def test_command__table_progress_and_json__are_told(alpha, tmp_path, capsys):
    load(make_demand(stores=1, products=3))
    out = tmp_path / "evaluation.json"
    call_command("evaluate", "alpha", "--origins", "2", "--horizon", "7", "--families", "seasonal_average",
                 "--json", str(out))  # fmt: skip
    said = capsys.readouterr()
    written = json.loads(out.read_text())
    assert written["tenant"] == "alpha" and written["run"] == str(Run.objects.get().pk)
    assert [line["name"] for line in written["contenders"]] == [
        "seasonal_naive", "seasonal_average", "ensemble", "chosen",
    ]  # fmt: skip
    line = written["contenders"][1]["scores"]
    shown = next(text for text in said.out.splitlines() if text.startswith("seasonal_average"))
    assert shown.split()[1] == f"{line['overall']['wape']['value']:.3f}" and shown.split()[-2:] == ["42", "0"]
    assert "WAPE by demand class" in said.out and "smooth" in said.out and "WAPE by week ahead" in said.out
    assert f"{SEALED} to {LAST} stay sealed" in said.out and "A search proposes" in said.out
    assert "  0% Reading demand" in said.err and "100%" in said.err


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"families": "arima"}, 2, "Known: seasonal_naive"),
        ({"origins": 0}, 2, "between 1 and 52"),
        ({"horizon": 0}, 2, "between 1 and 366"),
        ({"as_of": LAST + timedelta(days=3)}, 2, str(LAST)),
        ({"as_of": FIRST + timedelta(days=20)}, 1, "days are needed"),
        ({"origins": 30}, 1, "days are needed"),
    ],
)
def test_command__cannot_be_done__one_line_and_its_status(alpha, options, status, says):
    load(make_demand(stores=1, products=1))
    assert says in refused(status, "evaluate", "alpha", **options)
    assert not Run.objects.exists()


def test_command__no_demand_tenant_or_folder__one_line_and_its_status(alpha, tmp_path):
    assert "onboard" in refused(1, "evaluate", "alpha")
    assert "alpha" in refused(2, "evaluate", "nobody")
    assert "does not exist" in refused(2, "evaluate", "alpha", json=tmp_path / "no" / "x.json")


def test_command__every_day_stocked_out__0_usable_series(alpha):
    load(make_demand(stores=1, products=1, on_hand_qty=[0.0] * 150))
    assert "0 usable series" in refused(1, "evaluate", "alpha", families="seasonal_average")
