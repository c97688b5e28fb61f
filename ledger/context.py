"""What a job's body gets: its inputs, a way to tell its progress, and the fence that stops a lost attempt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from ledger.errors import LeaseLost, RunCancelled
from ledger.models import Run, RunState
from ledger.schema import connection

# A job may report every row; the table is written at most this often.
_WRITE_EVERY_SECONDS = 0.5

Listener = Callable[[int, int, str], None]


class RunContext:
    """Handle of one attempt of one run."""

    def __init__(self, run: Run, *, listener: Listener | None = None) -> None:
        self.run = run
        self.attempt = run.attempt
        self.schema_name: str = connection.schema_name
        self._listener = listener
        self._written_at = 0.0

    @property
    def inputs(self) -> dict[str, Any]:
        inputs: dict[str, Any] = self.run.inputs
        return inputs

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say that ``done`` of ``total`` units are done.

        Raises ``RunCancelled`` where somebody asked for the end, ``LeaseLost`` where another attempt owns the run.
        """
        if self._listener is not None:
            self._listener(done, total, message)
        now = time.monotonic()
        if done < total and now - self._written_at < _WRITE_EVERY_SECONDS:
            return
        self._written_at = now
        changed = self._mine().update(
            progress_done=done, progress_total=total, progress_message=message[:240], heartbeat_at=timezone.now()
        )
        if not changed:
            raise LeaseLost(f"Attempt {self.attempt} of {self.run} no longer owns it.")
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raise ``RunCancelled`` where somebody asked for the end of this run."""
        if Run.objects.filter(pk=self.run.pk, cancel_requested_at__isnull=False).exists():
            raise RunCancelled(f"{self.run} was cancelled.")

    def fence(self) -> None:
        """Lock the run and make sure that this attempt still owns it.

        Call it first in the transaction that writes the job's results: an attempt that was called lost while it went
        on working raises ``LeaseLost`` here, and its transaction rolls back.
        """
        if not self._mine().select_for_update().exists():
            raise LeaseLost(f"Attempt {self.attempt} of {self.run} no longer owns it.")

    def _mine(self) -> Any:
        return Run.objects.filter(pk=self.run.pk, attempt=self.attempt, state=RunState.RUNNING)
