"""Replays in a tenant: live tables stay as they are, people decide as they do live, and a broken one goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from forecasting.engine.replay.artifacts import DECISIONS, FILES, LOG
from forecasting.errors import AsOfOutsideData, FamilyUnknown, ReasonMissing, WrongRequest
from forecasting.errors_promotion import DecisionCodeUnknown
from forecasting.errors_replay import (
    OrderEditWrong,
    OwnReplay,
    RecordedDecisionsUnusable,
    ReplayDataChanged,
    ReplayNotCancellable,
    ReplayNotPossible,
    ReplayNotResumable,
    ReplayQuestionClosed,
    ReplayUnknown,
)
from forecasting.models import Demand, Replay, ReplayDecision, ReplayState
from forecasting.services.arrivals import late_arrivals
from forecasting.services.replay_decisions import decide_in_replay
from forecasting.services.replay_request import (
    cancel_replay,
    make_replay,
    recorded_of,
    resume_replay,
    start_replay,
)
from forecasting.services.replaying import folder_of, replay_inline
from forecasting.tests.factories import AS_OF, make_person
from forecasting.tests.replay_world import ask, easy_policy, hashes, make_noisy, work_off
from forecasting.tests.synthetic import activate, make_contract
from integrations.models import IngestBatch
from ledger.errors import RunAlreadyLive
from ledger.models import AuditEvent, Run
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role

OWN = {"replay", "replayday", "replaydecision", "gatepolicy"}


def live_rows() -> dict[str, int]:
    """How many rows each table of forecasts, models and decisions has, but for the replay's own."""
    models = {str(model._meta.model_name): model for model in apps.get_app_config("forecasting").get_models()}
    return {name: model._default_manager.count() for name, model in models.items() if name not in OWN}


def test_replay__by_policy__finishes_with_files_and_leaves_live_tables_alone(alpha: Tenant, tmp_path: Path) -> None:
    make_noisy()
    before = live_rows()
    out = StringIO()
    call_command("replay", "alpha", "--holdout-days", "4", "--horizon", "7", "--families", "seasonal_average", "--out",
                 str(tmp_path), verbosity=0, stdout=out, stderr=StringIO())  # fmt: skip
    assert live_rows() == before
    replay = Replay.objects.get()
    assert replay.state == ReplayState.FINISHED and replay.sentence in out.getvalue()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [-1, 0, 1, 2, 3]
    assert list(replay.days.values_list("line", flat=True)) == lines
    assert not folder_of(replay).exists()
    again = replay_inline(replay=make_replay(config=ask(portfolio="auto"), actor=None))
    assert hashes(again) == hashes(replay)
    events = list(AuditEvent.objects.filter(event__startswith="replay.").values_list("event", flat=True))
    assert sorted(events) == ["replay.asked"] * 2 + ["replay.finished"] * 2
    with pytest.raises(DatabaseError), transaction.atomic():
        Replay.objects.filter(pk=replay.pk).update(sentence="Better than it was")


def test_replay__interactive__waits_for_another_person_and_goes_on(alpha: Tenant) -> None:
    make_noisy()
    easy_policy()
    ann = make_person("ann", Role.ANALYST, Role.REVIEWER)
    rita, vic = make_person("rita", Role.REVIEWER), make_person("vic", Role.VIEWER)
    replay = start_replay(config=ask(2, hitl="interactive"), actor=ann, reason="Before we trust it")
    before = live_rows()
    assert [run.outputs["kind"] for run in work_off(alpha)] == ["promotion"]
    question = ReplayDecision.objects.get()
    replay.refresh_from_db()
    assert replay.state == ReplayState.WAITING and question.question["verdict"] == "eligible"

    def decide(
        actor: User | None, *, code: str = "first_champion", reason: str = "Good enough", verdict: str = "approved"
    ) -> ReplayDecision:
        return decide_in_replay(decision_id=question.pk, actor=actor, verdict=verdict, code=code, reason=reason)

    with pytest.raises(OwnReplay):
        decide(ann)
    for person in (vic, None):
        with pytest.raises(RoleRequired):
            decide(person)
    with pytest.raises(ReasonMissing):
        decide(rita, reason=" … ")
    with pytest.raises(DecisionCodeUnknown):
        decide(rita, code="weak_evidence")
    with pytest.raises(WrongRequest):
        decide(rita, verdict="edited")
    with pytest.raises(ReplayNotResumable, match="Approvals"):
        resume_replay(replay_id=replay.pk, actor=ann)
    decide(rita)
    with pytest.raises(ReplayQuestionClosed, match="rita"):
        decide(rita)
    work_off(alpha)
    replay.refresh_from_db()
    assert replay.state == ReplayState.FINISHED and live_rows() == before
    kept = replay.summary["hitl_decisions"]
    assert kept[0]["by"] == "rita" and kept[0]["verdict"] == "approve"
    assert replay.summary["lanes"]["governed"]["promotions"] == 1
    with pytest.raises(DatabaseError), transaction.atomic():
        ReplayDecision.objects.filter(pk=question.pk).update(reason="Something else")
    recorded = make_replay(config=ask(2, hitl="recorded"), actor=None, recorded=recorded_of(replay.pk))
    same = replay_inline(replay=recorded)
    assert hashes(same)[DECISIONS] == hashes(replay)[DECISIONS] and hashes(same)[LOG] == hashes(replay)[LOG]


def test_replay__orders_of_a_dead_and_of_a_lively_series__a_person_changes_them(alpha: Tenant) -> None:
    series = make_noisy()
    dead = Demand.objects.filter(series=series[0], date__gt=AS_OF - timedelta(days=36))
    dead.update(quantity=0)
    replay = start_replay(config=ask(6, hitl="interactive"), actor=None, reason="Orders, too")
    work_off(alpha)
    question = ReplayDecision.objects.exclude(kind="promotion").get()
    name = question.question["lines"][0]["series"]
    rita = make_person("rita", Role.REVIEWER)

    def edit(edits: dict[str, float]) -> ReplayDecision:
        return decide_in_replay(
            decision_id=question.pk, actor=rita, verdict="edited", code="no_demand", reason="It is gone", edits=edits
        )

    for wrong in ({"another": 1.0}, {name: -1.0}, {name: float("nan")}):
        with pytest.raises(OrderEditWrong):
            edit(wrong)
    with pytest.raises(WrongRequest, match="at least one"):
        edit({})
    edit({name: 0.0})
    work_off(alpha)
    line = replay.days.get(day=question.day).line
    assert line["orders"]["changed"] == 1 and line["orders"]["by"] == "rita"
    cancelled = cancel_replay(replay_id=replay.pk, actor=None) if _waits(replay) else None
    assert cancelled is None or cancelled.state == ReplayState.CANCELLED


def _waits(replay: Replay) -> bool:
    replay.refresh_from_db()
    return replay.state == ReplayState.WAITING


def test_replay__cancelled_and_resumed__ends_in_the_same_bytes(alpha: Tenant) -> None:
    make_noisy()
    config = ask(3)
    whole = replay_inline(replay=make_replay(config=config, actor=None))
    replay = make_replay(config=config, actor=None)

    def stop(done: int, total: int, message: str) -> None:
        if done == 2:
            Run.objects.filter(pk=str(Replay.objects.get(pk=replay.pk).run_id)).update(
                cancel_requested_at=datetime.now(UTC)
            )

    stopped = replay_inline(replay=replay, listener=stop)
    assert stopped.state == ReplayState.CANCELLED and 0 <= stopped.step < 3
    assert folder_of(stopped).exists()
    ended = replay_inline(replay=stopped, resume=True)
    assert ended.state == ReplayState.FINISHED and hashes(ended) == hashes(whole)
    with pytest.raises(ReplayNotResumable):
        resume_replay(replay_id=ended.pk, actor=None)
    with pytest.raises(ReplayNotCancellable):
        cancel_replay(replay_id=ended.pk, actor=None)


def test_replay__two_at_once__each_ends_as_it_would_alone(alpha: Tenant) -> None:
    make_noisy()
    one, other = (start_replay(config=ask(days), actor=None, reason="Two") for days in (2, 3))
    with pytest.raises(RunAlreadyLive):
        from forecasting.services.replay_request import queue

        queue(one, None)
    work_off(alpha)
    for replay in (one, other):
        replay.refresh_from_db()
        assert replay.state == ReplayState.FINISHED
    alone = replay_inline(replay=make_replay(config=ask(2), actor=None))
    assert hashes(alone) == hashes(one) and hashes(one) != hashes(other)


def test_replay__demand_changed_while_it_was_stopped__is_refused_with_the_reason(alpha: Tenant) -> None:
    series = make_noisy()
    easy_policy()
    replay = start_replay(config=ask(2, hitl="interactive"), actor=None, reason="It waits")
    work_off(alpha)
    Demand.objects.filter(series=series[0], date=AS_OF).update(quantity=999)
    question = ReplayDecision.objects.get()
    decide_in_replay(decision_id=question.pk, actor=make_person("rita", Role.REVIEWER), verdict="rejected", code="risk",
                     reason="No")  # fmt: skip
    work_off(alpha)
    replay.refresh_from_db()
    assert replay.state == ReplayState.FAILED and "was changed since" in replay.error
    with pytest.raises(ReplayDataChanged):
        replay_inline(replay=replay, resume=True)


def test_arrivals__correction_received_later__is_late_and_history_is_not(alpha: Tenant) -> None:
    series = make_noisy(days=60)
    contract = activate(make_contract())
    days = [AS_OF - timedelta(days=back) for back in (30, 10, 0)]
    batches = [
        IngestBatch.objects.create(source=contract.source, contract=contract, fingerprint=str(k), state="loaded")
        for k in range(3)
    ]
    for batch, day in zip(batches, days, strict=True):
        at = datetime.combine(day, time(12), tzinfo=UTC)
        IngestBatch.objects.filter(pk=batch.pk).update(received_at=at)
    Demand.objects.update(batch_id=batches[0].pk)
    corrected = days[1] - timedelta(days=5)
    Demand.objects.filter(series=series[0], date=corrected).update(batch_id=batches[1].pk)
    Demand.objects.filter(series=series[1], date=days[1] - timedelta(days=1)).update(batch_id=batches[1].pk)
    Demand.objects.filter(series=series[2], date=AS_OF - timedelta(days=3)).update(batch_id=batches[2].pk)
    found = late_arrivals(AS_OF)
    days_of = (found[name].dt.date for name in ("ds", "arrived"))
    rows = set(zip(found["unique_id"].tolist(), *days_of, strict=True))
    assert rows == {(series[0].pk, corrected, days[1]), (series[2].pk, AS_OF - timedelta(days=3), AS_OF)}
    assert len(late_arrivals(corrected)) == 1


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"holdout_days": 119}, ReplayNotPossible, "Replay at most"),
        ({"holdout_days": 0}, WrongRequest, "ends before"),
        ({"holdout_days": -5}, WrongRequest, "ends before"),
        ({"holdout_days": 400}, WrongRequest, "1 to 365"),
        ({"holdout_days": 10**9}, WrongRequest, "."),
        ({"cadence": "hourly"}, WrongRequest, "daily, weekly, monthly"),
        ({"hitl": "nobody"}, WrongRequest, "policy"),
        ({"horizon": 2}, WrongRequest, "lead time"),
        ({"pack_size": 0.0}, WrongRequest, "pack"),
        ({"families": ["oracle"]}, FamilyUnknown, "oracle"),
        ({"as_of": AS_OF + timedelta(days=1)}, AsOfOutsideData, "2026"),
    ],
)
def test_check_replay__bad_input__says_what_to_do(
    alpha: Tenant, asked: dict[str, Any], error: type[Exception], told: str
) -> None:
    make_noisy(days=120)
    with pytest.raises(error, match=told):
        ask(**{"days": asked.pop("holdout_days", 4), **asked})


def test_replay__without_demand_or_decisions__is_refused(alpha: Tenant, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="demand"):
        call_command("replay", "alpha", verbosity=0)
    make_noisy()
    (tmp_path / "bad.json").write_text('{"not": "a list"}')
    (tmp_path / "worse.json").write_text("[{]")
    (tmp_path / "none.json").write_text('[{"key": "x", "verdict": "perhaps"}]')
    for text in ("bad.json", "worse.json", "none.json", "missing.json"):
        with pytest.raises(CommandError, match="decisions cannot be used"):
            call_command("replay", "alpha", "--holdout-days=2", "--horizon=7", "--hitl=recorded",
                         f"--decisions={tmp_path / text}", verbosity=0)  # fmt: skip
    with pytest.raises(RecordedDecisionsUnusable):
        make_replay(config=ask(2, hitl="recorded"), actor=None)
    with pytest.raises(ReplayUnknown):
        recorded_of(4711)
    with pytest.raises(CommandError, match="There is no replay 4711"):
        call_command("replay", "alpha", "--resume=4711", verbosity=0)
    with pytest.raises(RoleRequired):
        start_replay(config=ask(2), actor=make_person("vic", Role.VIEWER), reason="I look")
    assert not Replay.objects.exists()


def test_replay__files__are_read_back_as_they_were_kept(alpha: Tenant) -> None:
    make_noisy()
    replay = replay_inline(replay=make_replay(config=ask(1), actor=None))
    for file in replay.files:
        with default_storage.open(file["path"], "rb") as stored:
            assert len(stored.read()) == file["bytes"]
