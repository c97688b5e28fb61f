"""A replay through the real queue and worker, whose process is killed on the way: it goes on and ends in the same
bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

from forecasting.models import Replay, ReplayState
from forecasting.services.replay_request import REPLAY, make_replay, start_replay
from forecasting.services.replaying import folder_of, replay_inline
from forecasting.tests.replay_world import ask, easy_policy, hashes, make_noisy
from ledger.models import AuditEvent, Run, RunState
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tests.test_worker_kill import _wait, start_worker  # noqa: F401  # a fixture

DAYS, WALKED = 6, 1


def written_by(replay: Replay) -> dict[int, str]:
    """Which transaction wrote each day last: one that is walked again would be written again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT step, xmin::text FROM forecasting_replayday WHERE replay_id = %s ORDER BY step", [replay.pk]
        )
        return dict(cursor.fetchall())


def test_replay__worker_killed_on_the_way__goes_on_from_its_checkpoint_to_the_same_bytes(
    throwaway: Tenant,
    start_worker: Callable[[], subprocess.Popen[bytes]],  # noqa: F811
) -> None:
    make_noisy()
    easy_policy()
    config = ask(DAYS, cadence="daily")
    replay = start_replay(config=config, actor=None, reason="With a kill")
    start_worker()

    def run() -> Run:
        return Run.objects.get(kind=REPLAY)

    assert _wait(lambda: Replay.objects.get(pk=replay.pk).step >= WALKED, 150), (run().state, run().error)
    os.kill(int(run().worker.rpartition(":")[2]), signal.SIGKILL)
    before = written_by(replay)
    assert max(before) < DAYS - 1, "the kill has to come before the last day"
    assert any((folder_of(replay) / "state").iterdir()), "a killed walk leaves its checkpoint"

    assert _wait(lambda: run().state == RunState.SUCCEEDED, 150), (run().state, run().error)
    assert [one["outcome"] for one in run().attempts_log] == ["lost", "succeeded"] and run().attempt == 2
    events = AuditEvent.objects.filter(subject_id=str(run().pk)).order_by("sequence").values_list("event", flat=True)
    assert list(events) == ["run.queued", "run.lost", "run.retried", "run.succeeded"]
    replay.refresh_from_db()
    after = written_by(replay)
    assert replay.state == ReplayState.FINISHED and sorted(after) == list(range(-1, DAYS))
    assert {step: after[step] for step in before} == before, "no day that was kept is walked again"

    whole = replay_inline(replay=make_replay(config=config, actor=None))
    assert hashes(whole) == hashes(replay)
    assert AuditEvent.objects.filter(event="replay.finished").count() == 2 and verify_chain().intact
    assert not folder_of(replay).exists()
    shutil.rmtree(Path(settings.MEDIA_ROOT) / throwaway.schema_name, ignore_errors=True)
