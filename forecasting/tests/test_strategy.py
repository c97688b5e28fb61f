"""A strategy cycle of a tenant: kept with its sweep, told by a command, decided by people, never rewritten."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from forecasting import selectors
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.engine.types import canonical_json, sha256_text
from forecasting.errors import ReasonMissing
from forecasting.errors_strategy import AlreadyDecided, CycleUnknown, PointUnknown
from forecasting.models import ForecastSet, HoldoutAccess, ModelVersion, StrategyCycle, StrategyDecision
from forecasting.services.strategy import (
    CHART_FILE,
    CYCLE,
    JSON_FILE,
    MARKDOWN_FILE,
    cycle_inline,
    perform,
    start_strategy_cycle,
)
from forecasting.services.strategy_chart import to_svg
from forecasting.services.strategy_decisions import decide_strategy, standing_decision, train_decided
from forecasting.services.strategy_report import to_markdown
from forecasting.tests.factories import make_demand as make_rows
from forecasting.tests.factories import make_person
from forecasting.tests.strategy_sample import make_cycle, sample_report
from forecasting.tests.synthetic import FIRST, LAST, activate, load, make_contract, make_demand
from forecasting.tests.test_commands import refused
from integrations.errors import TenantSuspended
from ledger.context import RunContext
from ledger.errors import RunAlreadyLive
from ledger.models import AuditEvent, Run, RunState
from tenants.errors import RoleRequired
from tenants.models import Tenant, TenantStatus
from tenants.roles import Role

QUICK: dict[str, Any] = {"families": ["seasonal_average"], "origins": 2, "horizon": 7}
SEALED = LAST - timedelta(days=27)


@pytest.fixture
def analyst(alpha):
    return make_person("ann", Role.ANALYST)


# --- the cycle --------------------------------------------------------------------------------------------------------


def test_cycle__done__is_kept_with_files_proposal_and_audit_and_nothing_else_changes(alpha, analyst):
    load(make_demand(stores=2, products=4))
    cycle = cycle_inline(actor=analyst, **QUICK)
    run = Run.objects.get(kind=CYCLE)
    assert cycle.run_id == run.pk and cycle.created_by_name == "ann"
    assert [file["name"] for file in cycle.files] == sorted([JSON_FILE, MARKDOWN_FILE, CHART_FILE])
    assert run.artifacts == cycle.files
    for file in cycle.files:
        content = default_storage.open(file["path"]).read()
        assert file["sha256"] == hashlib.sha256(content).hexdigest() and file["bytes"] == len(content)
    kept = json.loads(default_storage.open(cycle.files[0]["path"]).read())
    assert kept == cycle.report and cycle.report_sha256 == sha256_text(canonical_json(kept))
    assert kept["window"]["holdout_start"] == str(SEALED) and cycle.fingerprint == kept["window"]["fingerprint"] != ""
    assert kept["currency"] == "EUR" and len(kept["sweep"]["points"]) == 2 + 9 + 2
    proposal = cycle.decisions.get()
    assert (proposal.kind, proposal.decided_by_name, proposal.decided_by_id) == ("proposed", "system", None)
    assert EngineSpec.from_json(proposal.spec).sha256 == proposal.spec_sha256
    assert EngineSpec.from_json(proposal.spec).mode == proposal.mode == run.outputs["mode"]
    assert run.outputs["sentence"] == cycle.sentence == kept["recommendation"]["sentence"]
    event = AuditEvent.objects.get(event="strategy.proposed")
    assert (event.subject_id, event.data["spec_sha256"]) == (str(cycle.pk), proposal.spec_sha256)
    assert HoldoutAccess.objects.count() == ModelVersion.objects.count() == ForecastSet.objects.count() == 0


def test_cycle__repeated__files_are_the_same_bytes(alpha):
    load(make_demand(stores=2, products=3))
    first, second = cycle_inline(**QUICK), cycle_inline(**QUICK)
    assert first.pk != second.pk
    assert [file["sha256"] for file in first.files] == [file["sha256"] for file in second.files]


def test_cycle__tried_again_after_it_was_written__is_one_cycle(alpha):
    load(make_demand(stores=2, products=3))
    cycle = cycle_inline(**QUICK)
    run = Run.objects.get(pk=cycle.run_id)
    Run.objects.filter(pk=run.pk).update(state=RunState.RUNNING)
    run.refresh_from_db()
    assert perform(ctx=RunContext(run))["cycle"] == cycle.pk
    assert StrategyCycle.objects.count() == StrategyDecision.objects.count() == 1


def test_cycle__weekly_grain__origins_horizon_and_words_are_in_weeks_and_a_point_can_be_trained(
    alpha, analyst, client_of, capsys
):
    activate(make_contract(grain="weekly"))
    daily = make_demand(stores=1, products=5, days=40 * 7)
    load(daily.take(list(range(6, daily.num_rows, 7))))
    last = selectors.newest_day()
    assert last is not None
    call_command("run_strategy_cycle", "alpha", families="seasonal_average", origins=2)
    cycle = StrategyCycle.objects.get()
    sweep, window = cycle.report["sweep"], cycle.report["window"]
    ends = [last - timedelta(weeks=weeks) for weeks in (12, 8)]  # 4 weeks are sealed; each origin has 4 to forecast
    assert (sweep["grain"], sweep["horizon"], sweep["origins"]) == ("W", 4, [str(day) for day in ends])
    assert (window["train_end"], window["holdout_end"]) == (str(last - timedelta(weeks=4)), str(last))
    for point in sweep["points"]:
        figures = point["figures"]
        assert figures["wape"]["n"] == 5 * 2 * 4 and figures["wape"]["value"] < 1, point["key"]
        assert figures["total_cost"]["n"] == 5 * 2 and figures["total_cost"]["value"] >= 0  # 7 days are one week
    assert EngineSpec.from_json(cycle.decisions.get().spec).grain == "W"
    page = client_of("alpha", analyst).get(reverse("admin:forecasting_strategycycle_change", args=[cycle.pk]))
    for text in (capsys.readouterr().out, page.content.decode()):
        assert "2 origins of 4 weeks" in text
    assert "; 4 weeks ahead of each" in to_markdown(cycle.report)
    decide_strategy(cycle_id=cycle.pk, point="single:seasonal_average", actor=analyst, reason="Simple")
    assert train_decided(cycle_id=cycle.pk, actor=analyst, reason="Now").inputs["horizon"] == 4


def test_cycle__no_prices__goes_by_wape_and_its_files_say_so(alpha):
    demand = make_demand(stores=2, products=3)
    load(demand.drop_columns(["unit_price", "unit_cost"]))
    cycle = cycle_inline(**QUICK)
    assert cycle.measure == "wape" and "Costs are not known" in cycle.sentence
    text = to_markdown(cycle.report)
    assert "supply unit_price or unit_cost" in text and cycle.sentence in text
    assert "<svg" in to_svg(cycle.report)


def test_start__queued__a_second_one_waits_its_turn_with_a_clear_word(alpha, analyst):
    load(make_demand(stores=1, products=3))
    run = start_strategy_cycle(actor=analyst, **QUICK)
    assert (run.kind, run.state, run.inputs["origins"]) == (CYCLE, RunState.QUEUED, 2)
    with pytest.raises(RunAlreadyLive):
        start_strategy_cycle(actor=analyst, **QUICK)


def test_start__who_may__analyst_and_admin_of_a_serving_tenant(alpha):
    load(make_demand(stores=1, products=2))
    for role in (Role.VIEWER, Role.REVIEWER):
        with pytest.raises(RoleRequired):
            start_strategy_cycle(actor=make_person(f"a-{role}", role), **QUICK)
    Tenant.objects.filter(pk=alpha.pk).update(status=TenantStatus.SUSPENDED)
    with pytest.raises(TenantSuspended):
        start_strategy_cycle(actor=make_person("boss", Role.TENANT_ADMIN), **QUICK)
    assert not Run.objects.exists()


# --- the command ------------------------------------------------------------------------------------------------------


def test_command__table_sentence_and_files__are_told(alpha, tmp_path, capsys):
    load(make_demand(stores=2, products=3))
    call_command("run_strategy_cycle", "alpha", "--origins", "2", "--horizon", "7", "--families", "seasonal_average",
                 "--out", str(tmp_path))  # fmt: skip
    said, cycle = capsys.readouterr(), StrategyCycle.objects.get()
    assert sorted(path.name for path in tmp_path.iterdir()) == [file["name"] for file in cycle.files]
    for file in cycle.files:
        assert hashlib.sha256((tmp_path / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert cycle.sentence in said.out and f"{SEALED} to {LAST} stay sealed" in said.out
    row = next(line for line in said.out.splitlines() if line.startswith("single:seasonal_average"))
    point = next(one for one in cycle.report["sweep"]["points"] if one["key"] == "single:seasonal_average")
    assert f"{point['figures']['total_cost']['value']:,.0f} [" in row and row.count("[") == 5
    assert "  0% Reading demand" in said.err and "100%" in said.err


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"families": "arima"}, 2, "Known: seasonal_naive"),
        ({"families": "seasonal_naive"}, 2, "the only one"),
        ({"origins": 1}, 2, "at least 2 origins"),
        ({"origins": 53}, 2, "between 1 and 52"),
        ({"horizon": 0}, 2, "between 1 and 366"),
        ({"as_of": LAST + timedelta(days=3)}, 2, str(LAST)),
        ({"as_of": FIRST + timedelta(days=20)}, 1, "days are needed"),
    ],
)
def test_command__cannot_be_done__one_line_and_its_status(alpha, options, status, says):
    load(make_demand(stores=1, products=1))
    assert says in refused(status, "run_strategy_cycle", "alpha", **options)
    assert not Run.objects.exists() and not StrategyCycle.objects.exists()


def test_command__no_demand_tenant_or_folder__one_line_and_its_status(alpha, tmp_path):
    assert "onboard" in refused(1, "run_strategy_cycle", "alpha")
    assert "alpha" in refused(2, "run_strategy_cycle", "nobody")
    assert "does not exist" in refused(2, "run_strategy_cycle", "alpha", out=tmp_path / "no")


def test_command__nothing_ever_sold__says_that_nothing_can_be_told(alpha):
    demand = make_demand(stores=1, products=2)
    zeros = demand.set_column(demand.column_names.index("quantity"), "quantity", [[0.0] * len(demand)])
    load(zeros)
    said = refused(1, "run_strategy_cycle", "alpha", families="seasonal_average", origins=2, horizon=7)
    assert "nothing was sold" in said or "usable series" in said
    assert not StrategyCycle.objects.exists()


# --- decisions --------------------------------------------------------------------------------------------------------


def test_decide__proposal_accepted__stands_with_name_reason_and_audit(analyst):
    cycle = make_cycle()
    proposal = cycle.decisions.get()
    decision = decide_strategy(cycle_id=cycle.pk, point=proposal.point, actor=analyst, reason=" It is simpler. ")
    assert (decision.kind, decision.reason, decision.decided_by_name) == ("accepted", "It is simpler.", "ann")
    assert decision.spec_sha256 == proposal.spec_sha256
    assert standing_decision(cycle) == decision
    event = AuditEvent.objects.get(event="strategy.decided")
    assert event.data["point"] == proposal.point and event.data["reason"] == "It is simpler."


def test_decide__another_point__is_its_spec_and_both_decisions_stay(analyst):
    cycle = make_cycle()
    decide_strategy(cycle_id=cycle.pk, point=cycle.decisions.get().point, actor=analyst, reason="Simpler")
    chosen = decide_strategy(
        cycle_id=cycle.pk, point="pair:lightgbm:prophet:0.7", actor=analyst, reason="Prophet knows the holidays"
    )
    point = next(p for p in cycle.report["sweep"]["points"] if p["key"] == "pair:lightgbm:prophet:0.7")
    assert (chosen.kind, chosen.mode, chosen.spec_sha256) == ("chosen", "ensemble", point["spec_sha256"])
    assert EngineSpec.from_json(chosen.spec).weights == {"*": {"lightgbm": 0.7, "prophet": 0.3}}
    assert [one.kind for one in cycle.decisions.all()] == ["chosen", "accepted", "proposed"]
    assert standing_decision(StrategyCycle.objects.get(pk=cycle.pk)) == chosen


def test_decide__from_a_host_whose_clock_is_behind__still_is_the_last_word(analyst, monkeypatch):
    cycle = make_cycle()
    decide_strategy(cycle_id=cycle.pk, point="single:lightgbm", actor=analyst, reason="Simpler")
    behind = timezone.now() - timedelta(minutes=5)
    monkeypatch.setattr("django.utils.timezone.now", lambda: behind)
    later = decide_strategy(cycle_id=cycle.pk, point="single:prophet", actor=analyst, reason="Holidays")
    assert standing_decision(cycle) == later
    with pytest.raises(AlreadyDecided):
        decide_strategy(cycle_id=cycle.pk, point="single:prophet", actor=analyst, reason="Again")


def test_decide__what_cannot_be_decided__is_refused_and_nothing_is_written(analyst):
    cycle = make_cycle()
    point = cycle.decisions.get().point
    for role in (Role.VIEWER, Role.REVIEWER):
        with pytest.raises(RoleRequired):
            decide_strategy(cycle_id=cycle.pk, point=point, actor=make_person(f"a-{role}", role), reason="Yes")
    with pytest.raises(RoleRequired):
        decide_strategy(cycle_id=cycle.pk, point=point, actor=None, reason="The system decides nothing")
    with pytest.raises(ReasonMissing):
        decide_strategy(cycle_id=cycle.pk, point=point, actor=analyst, reason=" ... ")
    with pytest.raises(PointUnknown, match="no point 'single:arima'"):
        decide_strategy(cycle_id=cycle.pk, point="single:arima", actor=analyst, reason="Because")
    with pytest.raises(CycleUnknown):
        decide_strategy(cycle_id=cycle.pk + 1, point=point, actor=analyst, reason="Because")
    assert cycle.decisions.count() == 1
    decide_strategy(cycle_id=cycle.pk, point=point, actor=analyst, reason="Because")
    with pytest.raises(AlreadyDecided, match="ann has decided the same"):
        decide_strategy(cycle_id=cycle.pk, point=point, actor=make_person("bob", Role.TENANT_ADMIN), reason="Me too")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE forecasting_strategycycle SET sentence = 'better'",
        "DELETE FROM forecasting_strategycycle",
        "UPDATE forecasting_strategydecision SET reason = 'better'",
        "UPDATE forecasting_strategydecision SET spec = '{}'",
        "UPDATE forecasting_strategydecision SET decided_by_id = (SELECT max(id) FROM auth_user)",
        "DELETE FROM forecasting_strategydecision",
    ],
)
def test_database__what_was_found_or_decided__is_never_rewritten(analyst, statement):
    cycle = make_cycle()
    decide_strategy(cycle_id=cycle.pk, point="single:prophet", actor=analyst, reason="A try")
    make_person("somebody else", Role.VIEWER)
    with pytest.raises(IntegrityError, match="never rewritten"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_database__two_proposals_or_no_reason__are_refused(alpha):
    proposal = make_cycle().decisions.get()
    fields = {name: getattr(proposal, name) for name in ("cycle", "point", "mode", "spec_label", "spec", "spec_sha256")}
    for more in ({"kind": "proposed", "reason": "again"}, {"kind": "accepted", "reason": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            StrategyDecision.objects.create(**fields, **more)


def test_decision__person_deleted__name_stays(analyst):
    cycle = make_cycle()
    decision = decide_strategy(cycle_id=cycle.pk, point="single:prophet", actor=analyst, reason="A try")
    analyst.delete()
    decision.refresh_from_db()
    assert (decision.decided_by_id, decision.decided_by_name) == (None, "ann")


def test_train__decided__queues_its_spec_and_nothing_is_promoted(analyst):
    make_rows(days=150)
    cycle = make_cycle()
    decide_strategy(cycle_id=cycle.pk, point="pair:lightgbm:prophet:0.7", actor=analyst, reason="Holidays")
    run = train_decided(cycle_id=cycle.pk, actor=analyst, reason="Now")
    assert run.kind == "forecasting.retrain" and run.inputs["mode"] == "decided" and run.inputs["horizon"] == 7
    assert run.inputs["decision"] == standing_decision(cycle).pk != cycle.decisions.get(kind="proposed").pk
    assert run.inputs["families"] == standing_decision(cycle).spec["families"]
    assert run.inputs["reason"].startswith(f"Strategy cycle {cycle.pk}, ensemble(lightgbm 0.7, prophet 0.3): Now")


# --- the documents ----------------------------------------------------------------------------------------------------


def test_markdown__report__tells_the_proposal_every_mode_and_every_point():
    report = sample_report()
    text = to_markdown(report)
    assert text.startswith("# Strategy cycle") and report["recommendation"]["sentence"] in text
    assert f"`{report['decision']['spec_sha256']}`" in text and report["window"]["fingerprint"] in text
    for key in report["sweep"]["modes"]:
        assert f"`{key}`" in text
    assert text.count("| 0.7 / 0.3 |") == 3  # one row in each pair's table
    value = next(p for p in report["sweep"]["points"] if p["key"] == "pair:lightgbm:prophet:0.7")["figures"]["wape"]
    assert f"{value['value'] * 100:.1f}% [{value['low'] * 100:.1f}%, {value['high'] * 100:.1f}%]" in text
    assert to_markdown(sample_report()) == text


def test_chart__report__is_well_formed_svg_with_a_line_of_eleven_points_for_each_pair():
    report = sample_report()
    text = to_svg(report)
    root = ElementTree.fromstring(text)  # noqa: S314  # our own text
    space = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f".//{space}polyline")
    assert len(lines) == 3 and all(len((line.get("points") or "").split()) == 11 for line in lines)
    assert root.findtext(f"{space}desc") == report["recommendation"]["sentence"]
    assert "prefers-color-scheme: dark" in text and to_svg(sample_report()) == text
