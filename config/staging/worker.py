"""A worker process that is started, killed and stopped by us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

from config.processes import end_with_parent
from ledger.presence import worker_is_present

_READY_SECONDS, _STOP_SECONDS = 180, 60


class OwnWorker:
    """One worker of ours at a time; its words go to a file."""

    def __init__(self, log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is there. Raises CommandError where it does not come up."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as words:
            self.process = subprocess.Popen(  # noqa: S603  # our own command
                [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker"],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdout=words,
                stderr=words,
                preexec_fn=_child,
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not worker_is_present():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CommandError(f"The worker did not come up; its words are in {self.log}.")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power; its job processes end with it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Let it finish and end; kill it where it does not."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def _child() -> None:
    os.setpgrp()
    end_with_parent(signal.SIGTERM)
