"""What a job process does: take a message, do its run, tell its parent; until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from ledger import wakeups
from ledger.execution import execute
from ledger.queues import Message, Queue, Taker, finish

logger = logging.getLogger(__name__)
_JOBS = 20
"""After so many a process ends and a fresh one takes its place: what libraries keep in memory goes with it."""
_FINISH_TRIES = 5


@dataclass(frozen=True)
class Began:
    """Told to the parent: this message is being worked on."""

    message: Message


@dataclass(frozen=True)
class Ended:
    """Told to the parent: nothing is being worked on any more."""


class Stopping:
    """Whether this process was told to stop; the current job is not disturbed."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """From now on SIGTERM is remembered, and Ctrl-C is the parent's business."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the parent blocks it while it forks

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True

    def sleep(self, seconds: float) -> None:
        """Sleep, but not for long after it was asked."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))


def name_of(pid: int) -> str:
    """How a run names the process ``pid`` of this host."""
    return f"{socket.gethostname()}:{pid}"


def do_jobs(queue: Queue, parent: Connection) -> None:
    """The life of a job process."""
    stopping = Stopping()
    stopping.listen()
    taker = Taker(queue)
    done = 0
    while not stopping.asked and done < _JOBS:
        try:
            close_old_connections()
            message = taker.take()
        except DatabaseError as error:
            logger.warning("cannot look into the %s queue; trying again (%s)", queue, str(error).strip()[:200])
            connections.close_all()
            stopping.sleep(settings.Q_CLUSTER["poll"])
            continue
        if message is None:
            if not wakeups.wait(queue, lambda: stopping.asked):
                stopping.sleep(settings.Q_CLUSTER["poll"])
            continue
        parent.send(Began(message))
        try:
            execute(message.schema_name, message.run_id)
        except Exception:
            logger.exception("process %s could not do run %s", os.getpid(), message.run_id)
            connections.close_all()
        _finish(message, stopping)
        parent.send(Ended())
        done += 1
    if stopping.asked:  # a token that came too late for us, or a tenant's turn that we made free, is for another one
        wakeups.wake(queue)
    connections.close_all()


def _finish(message: Message, stopping: Stopping) -> None:
    """Take the message away. Where that cannot be, its lease ends, and whoever gets it again finds its run done."""
    for _ in range(_FINISH_TRIES):
        try:
            finish(message)
        except DatabaseError:
            connections.close_all()
            stopping.sleep(0.5)
        else:
            return
