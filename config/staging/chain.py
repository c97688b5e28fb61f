"""One chain through the queue and a worker, watched to its end; in a second pass the worker is killed on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from config.staging.worker import OwnWorker
from forecasting.services.chain import start_chain
from ledger.jobs import job_title
from ledger.models import Run, RunState
from ledger.selectors import Tree, tree_of

_POLL_SECONDS = 0.25
Say = Callable[[str], None]


@dataclass
class Pass:
    """A chain that was watched to its end. killed: what was going on when the worker was killed, empty where it was
    not."""

    name: str
    root: Run
    killed: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> Tree:
        """Its runs as they are now."""
        return tree_of(Run.objects.get(pk=self.root.pk))


def drive(
    name: str,
    *,
    families: Sequence[str] | None,
    timeout: float,
    say: Say,
    worker: OwnWorker | None = None,
    kill_in: str | None = None,
) -> Pass:
    """Queue a chain in the current tenant and wait for its end. kill_in: the step in whose middle ``worker`` is killed;
    another takes its place. Raises CommandError after ``timeout`` seconds, or where the step was over before."""
    root = start_chain(actor=None, mode="search", families=families, reason="Staging validation of the runtime chain")
    done = Pass(name, root)
    deadline, said = time.monotonic() + timeout, ""
    while True:
        tree = done.tree
        if kill_in is not None and not done.killed and worker is not None:
            target = next((run for run in tree.runs if run.kind == kill_in), None)
            if target is not None and _in_the_middle(target):
                done.killed = _killed(target, worker)
                say(f"{name}: the worker was killed during “{job_title(kill_in)}”; another one starts")
                worker.start()
            elif target is not None and not target.is_live:
                raise CommandError(f"“{job_title(kill_in)}” was over before its worker could be killed; try again.")
        now = ", ".join(f"{job_title(run.kind)} {run.get_state_display().lower()}" for run in tree.runs if run.is_live)
        if now and now != said:
            said = now
            say(f"{name}: {now}")
        if not tree.is_live:
            return done
        if time.monotonic() > deadline:
            raise CommandError(f"The chain did not end within {timeout:.0f} s; it goes on: see run {root.pk}.")
        time.sleep(_POLL_SECONDS)


def _in_the_middle(run: Run) -> bool:
    return run.state == RunState.RUNNING and run.attempt == 1 and run.progress_done > 0


def _killed(run: Run, worker: OwnWorker) -> dict[str, Any]:
    worker.kill()
    seen = Run.objects.get(pk=run.pk)
    return {
        "step": seen.kind,
        "run": str(seen.pk),
        "state_in_the_table": seen.state,
        "progress": f"{seen.progress_done} of {seen.progress_total}: {seen.progress_message}",
        "lost_after_seconds": settings.RUN_LOST_AFTER_SECONDS,
    }
