"""What a killed command leaves behind: runs that it did in its own process, which nobody will finish."""

from __future__ import annotations

import socket
import time
from datetime import timedelta

import psutil
from django.conf import settings
from django.utils import timezone

from ledger.models import Run, RunState
from ledger.services import runs
from ledger.services.runs import IN_PROCESS

__all__ = ["IN_PROCESS", "end_leftovers"]


def end_leftovers(*, kind: str | None = None, scope: str | None = None) -> list[Run]:
    """Cancel live runs (of this kind and scope, else of any) whose process on this host is gone; return them.

    Only runs whose inputs say ``in_process``: a worker's run is retried by the reaper. A process that is gone must have
    been silent, too, since it may only be out of our sight; so this waits for up to two heartbeats.
    """
    ended: list[Run] = []
    silence = timedelta(seconds=2 * settings.RUN_HEARTBEAT_SECONDS)
    only = {name: value for name, value in {"kind": kind, "scope": scope}.items() if value is not None}
    live = Run.objects.filter(**only, attempt__gt=0, **{f"inputs__{IN_PROCESS}": True})
    for run in live.filter(state__in=[RunState.QUEUED, RunState.RUNNING]):
        host, _, pid = run.worker.rpartition(":")
        if host != socket.gethostname() or not pid.isdecimal() or psutil.pid_exists(int(pid)):
            continue
        if run.state == RunState.QUEUED:
            ended.append(runs.cancel(run_id=run.pk, actor=None))
        elif run.heartbeat_at is not None:
            time.sleep(max(0.0, (run.heartbeat_at + silence - timezone.now()).total_seconds()))
            silent = Run.objects.filter(pk=run.pk, state=RunState.RUNNING, heartbeat_at=run.heartbeat_at)
            if silent.update(heartbeat_at=run.queued_at - silence, cancel_requested_at=timezone.now()):
                ended += [
                    found for found in runs.reap(lost_after_seconds=silence.total_seconds()) if found.pk == run.pk
                ]
    return ended
