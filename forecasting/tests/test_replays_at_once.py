"""Replays that are at work in the same moment, and people who act on one in the same moment: real transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.signals import post_save
from django_tenants.utils import tenant_context

from conftest import Lasting
from forecasting.errors_replay import ReplayNotResumable, ReplayQuestionClosed
from forecasting.models import Demand, Replay, ReplayDay, ReplayDecision, ReplayState
from forecasting.services.replay_decisions import decide_in_replay
from forecasting.services.replay_request import REPLAY, cancel_replay, make_replay, resume_replay, start_replay
from forecasting.services.replaying import replay_inline
from forecasting.tests.factories import make_person
from forecasting.tests.replay_world import ask, easy_policy, hashes, make_noisy, work_off
from ledger.execution import execute
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection as tenant_connection
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tenants.roles import Role

Answers = list[Any]


def at_once(schema_name: str, *acts: Callable[[], Any]) -> Answers:
    """Each act in a thread with a connection of its own, all let go in the same moment; what each gave or raised."""
    gate = threading.Barrier(len(acts))
    answers: Answers = [None] * len(acts)

    def do(place: int, act: Callable[[], Any]) -> None:
        tenant_connection.set_schema(schema_name)
        try:
            connection.ensure_connection()
            gate.wait(30)
            answers[place] = act()
        except Exception as error:  # noqa: BLE001  # told to the test
            answers[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return answers


@contextmanager
def together(count: int) -> Iterator[None]:
    """No replay gets past its eve before `count` of them have come to it: they are at work in the same moment."""
    gate = threading.Barrier(count)

    def came(instance: ReplayDay, **_: Any) -> None:
        if instance.step < 0:
            gate.wait(60)

    post_save.connect(came, sender=ReplayDay)
    try:
        yield
    finally:
        post_save.disconnect(came, sender=ReplayDay)
    assert not gate.broken


def test_replays__of_one_tenant_and_of_another__at_work_in_the_same_moment__each_ends_as_alone(
    throwaway: Tenant, lasting: Lasting, artifact_folder: Path
) -> None:
    make_noisy()
    one, other = (start_replay(config=ask(days), actor=None, reason="At once") for days in (2, 3))
    with lasting() as neighbour:
        make_noisy()
        Demand.objects.update(quantity=F("quantity") * 2 + 1)
        theirs = start_replay(config=ask(2), actor=None, reason="Next door")
    work = [(throwaway, one), (throwaway, other), (neighbour, theirs)]
    calls = []
    for tenant, replay in work:
        with tenant_context(tenant):
            calls.append((tenant.schema_name, str(Replay.objects.get(pk=replay.pk).run_id)))
    with together(3):
        states = at_once("public", *[lambda call=call: execute(*call) for call in calls])
    assert states == [RunState.SUCCEEDED] * 3
    found = {}
    for tenant, replay in work:
        with tenant_context(tenant):
            replay.refresh_from_db()
            assert (replay.state, replay.error) == (ReplayState.FINISHED, "")
            assert replay.days.count() == replay.steps + 1
            alone = make_replay(config=ask(replay.steps), actor=None)
            found[tenant.schema_name, replay.steps] = hashes(replay)
            assert hashes(replay_inline(replay=alone)) == hashes(replay)
            assert all(not file["path"].startswith("..") for file in replay.files) and verify_chain().intact
    assert len({tuple(sorted(one.items())) for one in found.values()}) == 3
    with tenant_context(neighbour):
        assert Replay.objects.count() == 2 and Run.objects.filter(kind=REPLAY).count() == 2
        assert AuditEvent.objects.filter(event="replay.finished").count() == 2
    with tenant_context(throwaway):
        assert Replay.objects.count() == 4 and ReplayDay.objects.count() == 2 * (3 + 4)
    assert not [path for path in artifact_folder.glob("*/replays/*") if any(path.iterdir())]


def test_start__twice_in_the_same_moment__two_replays_side_by_side(throwaway: Tenant) -> None:
    make_noisy()
    config = ask(1)

    def start() -> Replay:
        return start_replay(config=config, actor=None, reason="Twice")

    made = at_once(throwaway.schema_name, start, start)
    assert all(isinstance(one, Replay) for one in made) and made[0].pk != made[1].pk
    assert Run.objects.filter(kind=REPLAY, state=RunState.QUEUED).count() == 2
    work_off(throwaway)
    one, other = Replay.objects.order_by("pk")
    assert (one.state, other.state) == (ReplayState.FINISHED,) * 2 and hashes(one) == hashes(other)


def test_resume__twice_in_the_same_moment__one_is_heard_and_the_other_told_why_not(throwaway: Tenant) -> None:
    make_noisy()
    replay = start_replay(config=ask(1), actor=None, reason="Stopped")
    cancel_replay(replay_id=replay.pk, actor=None)

    def resume() -> Replay:
        return resume_replay(replay_id=replay.pk, actor=None)

    answers = at_once(throwaway.schema_name, resume, resume)
    refused = [one for one in answers if isinstance(one, Exception)]
    assert len(refused) == 1 and isinstance(refused[0], ReplayNotResumable) and "queued" in str(refused[0])
    assert Run.objects.filter(kind=REPLAY, state=RunState.QUEUED).count() == 1
    assert AuditEvent.objects.filter(event="replay.resumed").count() == 1


def test_decide_and_cancel__in_the_same_moment__one_decision_counts_and_nothing_hangs(throwaway: Tenant) -> None:
    make_noisy()
    easy_policy()
    replay = start_replay(config=ask(1, hitl="interactive"), actor=None, reason="Many hands")
    work_off(throwaway)
    question = ReplayDecision.objects.get()
    people = [make_person(name, Role.REVIEWER) for name in ("rita", "rob")]

    def deciding(place: int) -> Callable[[], Any]:
        return lambda: decide_in_replay(
            decision_id=question.pk, actor=people[place], verdict="rejected", code="risk", reason="No"
        )

    answers = at_once(throwaway.schema_name, deciding(0), deciding(1))
    refused = [one for one in answers if isinstance(one, Exception)]
    assert len(refused) == 1 and isinstance(refused[0], ReplayQuestionClosed)
    assert AuditEvent.objects.filter(event="replay.decided").count() == 1
    assert Run.objects.filter(kind=REPLAY, state=RunState.QUEUED).count() == 1
    cancelled, late = at_once(
        throwaway.schema_name, lambda: cancel_replay(replay_id=replay.pk, actor=None), deciding(0)
    )
    assert cancelled.state == ReplayState.CANCELLED and isinstance(late, ReplayQuestionClosed)
    assert not Run.objects.filter(kind=REPLAY, state=RunState.QUEUED).exists()
