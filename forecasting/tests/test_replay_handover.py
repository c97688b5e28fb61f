"""Between the question of a replay and the end of the run that asked it: whoever acts in that moment is heard.

What happens there happens for real: a signal of the question's own transaction opens the moment right after it was
committed, and other transactions are held open until somebody waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.signals import post_save

from forecasting.errors_replay import ReplayQuestionClosed
from forecasting.models import Replay, ReplayDecision, ReplayDecisionState, ReplayState
from forecasting.services.replay_decisions import decide_in_replay
from forecasting.services.replay_request import REPLAY, cancel_replay, make_replay, resume_replay, start_replay
from forecasting.services.replaying import replay_inline
from forecasting.tests.concurrently import somebody_waits_for_us
from forecasting.tests.factories import make_person
from forecasting.tests.replay_world import ask, easy_policy, hashes, make_noisy, work_off
from ledger.errors import LeaseLost
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection as tenant_connection
from ledger.services import runs
from tenants.models import Tenant
from tenants.roles import Role

pytestmark = pytest.mark.usefixtures("throwaway")


@contextmanager
def once(state: ReplayState, act: Callable[[], Any]) -> Iterator[None]:
    """Do `act` right after the first transaction that brings a replay into this state, before its caller goes on."""
    left = [act]

    def came(instance: Replay, **_: Any) -> None:
        if instance.state == state and left:
            transaction.on_commit(left.pop())

    post_save.connect(came, sender=Replay)
    try:
        yield
    finally:
        post_save.disconnect(came, sender=Replay)
    assert not left, f"no replay became {state}"


class Meanwhile:
    """Another session that does something and commits only when somebody waits for what it has locked."""

    def __init__(self, schema_name: str, act: Callable[[], Any]) -> None:
        self.schema_name, self.act = schema_name, act
        self.done, self.waited, self.error = threading.Event(), False, ""
        self.thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        """Returns when it is done and not yet committed."""
        self.thread.start()
        assert self.done.wait(30), self.error

    def _run(self) -> None:
        tenant_connection.set_schema(self.schema_name)
        try:
            with transaction.atomic():
                self.act()
                self.done.set()
                self.waited = somebody_waits_for_us()
        except Exception as error:  # noqa: BLE001  # told by the test
            self.error = repr(error)
            self.done.set()
        finally:
            connection.close()

    def finish(self) -> None:
        """Wait for its end; it was waited for, and all went well."""
        self.thread.join(60)
        assert not self.error and self.waited, self.error or "nobody waited for it"


def answer() -> ReplayDecision:
    """Rita answers what is asked."""
    question = ReplayDecision.objects.get(state=ReplayDecisionState.PENDING)
    return decide_in_replay(
        decision_id=question.pk, actor=make_person("rita", Role.REVIEWER), verdict="rejected", code="risk", reason="No"
    )


def asked(days: int = 1) -> Replay:
    """A queued replay that will ask."""
    make_noisy()
    easy_policy()
    return start_replay(config=ask(days, hitl="interactive"), actor=None, reason="Quick reviewers")


def ended_well(replay: Replay, runs_of_it: int) -> None:
    """It has finished, by so many runs, and each decision was acted on once."""
    replay.refresh_from_db()
    assert (replay.state, replay.error) == (ReplayState.FINISHED, "")
    mine = Run.objects.filter(kind=REPLAY, inputs__replay=replay.pk)
    assert sorted(mine.values_list("state", flat=True)) == [RunState.SUCCEEDED] * runs_of_it
    assert replay.summary["hitl_decisions"][0]["by"] == "rita"
    assert AuditEvent.objects.filter(event="replay.decided").count() == 1


def test_decision__right_after_the_question__the_run_that_asked_hands_over(throwaway: Tenant) -> None:
    replay = asked()
    with once(ReplayState.WAITING, answer):
        done = work_off(throwaway)
    assert [run.outputs.get("kind") for run in done] == ["promotion", None]
    ended_well(replay, 2)
    decisions = replay.summary["hitl_decisions"]
    whole = replay_inline(replay=make_replay(config=ask(1, hitl="recorded"), actor=None, recorded=decisions))
    assert hashes(whole)["replay_daily_log.jsonl"] == hashes(replay)["replay_daily_log.jsonl"]


def test_decision__not_committed_when_the_run_ends__the_run_waits_for_it_and_hands_over(throwaway: Tenant) -> None:
    replay = asked()
    other = Meanwhile(throwaway.schema_name, answer)
    with once(ReplayState.WAITING, other.begin):
        done = work_off(throwaway)
    other.finish()
    assert [run.outputs.get("kind") for run in done] == ["promotion", None]
    ended_well(replay, 2)


def test_decision__while_the_run_that_asked_is_dead__its_retry_goes_on_with_it(throwaway: Tenant) -> None:
    replay = asked()
    _die_after_asking(throwaway)
    answer()
    replay.refresh_from_db()
    assert replay.state == ReplayState.QUEUED and Run.objects.filter(kind=REPLAY).count() == 1
    assert [run.state for run in runs.reap(lost_after_seconds=0)] == [RunState.QUEUED]
    work_off(throwaway)
    ended_well(replay, 1)


def test_decision__while_a_retry_walks_to_the_same_question__is_not_asked_again(throwaway: Tenant) -> None:
    replay = asked()
    _die_after_asking(throwaway)
    runs.reap(lost_after_seconds=0)
    other = Meanwhile(throwaway.schema_name, answer)  # the retry reads what is decided before this is committed
    with once(ReplayState.RUNNING, other.begin):
        done = work_off(throwaway)
    other.finish()
    assert "decided" in done[0].outputs
    ended_well(replay, 2)


def test_retry__nobody_decided_meanwhile__asks_the_same_question_once(throwaway: Tenant) -> None:
    replay = asked()
    _die_after_asking(throwaway)
    runs.reap(lost_after_seconds=0)
    work_off(throwaway)
    assert ReplayDecision.objects.get().state == ReplayDecisionState.PENDING
    answer()
    work_off(throwaway)
    ended_well(replay, 2)


def test_cancel__right_after_the_question__the_question_lapses_and_is_asked_again_on_resuming(
    throwaway: Tenant,
) -> None:
    replay = asked()
    with once(ReplayState.WAITING, lambda: cancel_replay(replay_id=replay.pk, actor=None)):
        work_off(throwaway)
    replay.refresh_from_db()
    question = ReplayDecision.objects.get()
    assert (replay.state, question.state) == (ReplayState.CANCELLED, ReplayDecisionState.LAPSED)
    with pytest.raises(ReplayQuestionClosed):
        decide_in_replay(decision_id=question.pk, actor=make_person("rita", Role.REVIEWER), verdict="rejected",
                         code="risk", reason="No")  # fmt: skip
    resume_replay(replay_id=replay.pk, actor=None)
    work_off(throwaway)
    answer()
    work_off(throwaway)
    ended_well(replay, 3)


def test_cancel__while_a_run_is_about_to_ask__waits_for_the_run_and_holds_nothing_that_it_needs(
    throwaway: Tenant,
) -> None:
    """Run first, then replay: with another order, the run and the cancellation would wait for each other."""
    replay = asked()

    def cancel() -> None:
        tenant_connection.set_schema(throwaway.schema_name)
        try:
            cancel_replay(replay_id=replay.pk, actor=None)
        finally:
            connection.close()

    other = threading.Thread(target=cancel)
    with transaction.atomic():
        Run.objects.select_for_update().get(kind=REPLAY)  # as a run does before it writes
        other.start()
        assert somebody_waits_for_us()
        Replay.objects.select_for_update(nowait=True).get(pk=replay.pk)
    other.join(30)
    replay.refresh_from_db()
    assert replay.state == ReplayState.CANCELLED and Run.objects.get(kind=REPLAY).state == RunState.CANCELLED


def _die_after_asking(tenant: Tenant) -> None:
    """Work the queue off with a worker that is gone as soon as it has asked: its run never ends."""

    def gone() -> None:
        raise LeaseLost("the worker is gone")

    with once(ReplayState.WAITING, gone):
        done = work_off(tenant)
    assert [run.state for run in done] == [RunState.RUNNING]
