"""Stops the embedded PostgreSQL when the last process that uses it is gone. Started by ``embedded``; kept light."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

LINGER_SECONDS = 5.0  # a script of several commands keeps its server between them
STOP_SECONDS = 60.0


def main(data_dir: Path) -> None:
    """Wait until nobody holds the server of ``data_dir``, stop it, and end."""
    keeper = os.open(data_dir / "postgres.keeper", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    holders = os.open(data_dir / "postgres.holders", os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        fcntl.flock(holders, fcntl.LOCK_EX)
        fcntl.flock(holders, fcntl.LOCK_UN)
        time.sleep(LINGER_SECONDS)
        try:
            fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        break
    # Who comes now waits for the exclusive lock, so the server is never stopped under a new process.
    os.close(keeper)
    stop(data_dir)


def stop(data_dir: Path) -> None:
    """Ask the server for a fast shutdown (clients are disconnected, data is written) and wait for its end."""
    pid_file = data_dir / "postgres" / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
        os.kill(pid, signal.SIGINT)
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + STOP_SECONDS
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
