"""The parent of the job processes: it starts them, sees what each works on, and ends what has to end.

Each process takes its messages itself. So no process waits for a lock that another one may have taken to its grave: one
that is killed at whatever moment is replaced, and the run that it had is queued again at once.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django_tenants.utils import schema_context

from config.worker.process import Began, Ended, do_jobs, name_of
from config.worker.upkeep import keep_up
from ledger import wakeups
from ledger.models import Run
from ledger.presence import Presence
from ledger.queues import Message, Queue, finish, renew
from ledger.services import attempts

logger = logging.getLogger(__name__)
_FORK = multiprocessing.get_context("fork")
_LOOK_SECONDS = 2.0
_QUICK_SECONDS = 5.0
_MOST_QUICK_DEATHS = 10


class ProcessesDie(Exception):
    """One process after the other ends as soon as it is started."""


@dataclass
class Child:
    """One process, and the message that it works on."""

    queue: Queue | None
    process: ForkProcess
    pipe: Connection
    born: float = field(default_factory=time.monotonic)
    message: Message | None = None
    since: float = 0.0

    @property
    def name(self) -> str:
        """How its runs name it."""
        return name_of(self.process.pid or 0)


class Pool:
    """All processes of one worker. ``upkeep``: with the one that finds lost runs and keeps promises."""

    def __init__(self, sizes: dict[Queue, int], presence: Presence, *, upkeep: bool = True) -> None:
        self.sizes = sizes
        self.presence = presence
        self.upkeep = upkeep
        self.children: list[Child] = []
        self._looked = 0.0
        self._renewed = 0.0
        self._quick_deaths = 0

    def start(self) -> None:
        """Start every process."""
        for queue, size in self.sizes.items():
            for _ in range(size):
                self._start(queue)
        if self.upkeep:
            self._start(None)

    def look(self, seconds: float = 0.5) -> None:
        """Wait for news, at most ``seconds``, and act on it. Raises ``ProcessesDie``."""
        self._listen(seconds)
        self._replace_the_dead()
        now = time.monotonic()
        if now - self._renewed >= min(settings.RUN_HEARTBEAT_SECONDS, settings.RUN_LOST_AFTER_SECONDS / 3):
            self._renewed = now
            self._safely(self._renew)
        if now - self._looked >= min(_LOOK_SECONDS, settings.CANCEL_SECONDS):
            self._looked = now
            self._end_what_has_to()

    def stop(self, seconds: float) -> None:
        """Take nothing new, let jobs end for ``seconds``, then hand back the runs of those that did not."""
        for child in self.children:
            child.process.terminate()
        until = time.monotonic() + seconds
        while (alive := self._alive()) and time.monotonic() < until:
            self._listen(0.2)
            now = time.monotonic()
            if now - self._renewed >= settings.RUN_HEARTBEAT_SECONDS:
                self._renewed = now
                self._safely(self._renew)
        for child in alive:
            self._end(child, attempts.hand_back)
        self._listen(0)
        for child in self.children:  # one that was killed meanwhile
            child.process.join()
            if child.message is not None and not any(child is one for one in alive):
                self._settle(child, attempts.hand_back)
        self.children.clear()

    def _alive(self) -> list[Child]:
        return [child for child in self.children if child.process.is_alive()]

    def _start(self, queue: Queue | None) -> None:
        connections.close_all()  # a forked process must not inherit a connection
        wakeups.close()
        mine, theirs = _FORK.Pipe(duplex=False)
        target: Callable[..., None] = _in_child
        others = [child.pipe for child in self.children]
        args = (self.presence, [mine, *others], queue, theirs)
        process = _FORK.Process(target=target, args=args, name=f"forecourt-{queue or 'upkeep'}", daemon=False)
        # A stop that comes before the process listens is kept for it; our own comes when we go on.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        theirs.close()
        self.children.append(Child(queue, process, mine))

    def _listen(self, seconds: float) -> None:
        pipes = {child.pipe: child for child in self.children if not child.pipe.closed}
        if not pipes:
            time.sleep(min(seconds, 0.1))
            return
        for pipe in wait(list(pipes), timeout=seconds):
            child = pipes[pipe]  # type: ignore[index]  # what was given to wait
            try:
                while child.pipe.poll():
                    told = child.pipe.recv()
                    child.message = told.message if isinstance(told, Began) else None
                    child.since = time.monotonic()
                    if isinstance(told, Ended):
                        self._quick_deaths = 0
            except (EOFError, OSError):
                child.pipe.close()

    def _replace_the_dead(self) -> None:
        for child in [child for child in self.children if not child.process.is_alive()]:
            self.children.remove(child)
            child.process.join()
            if child.process.exitcode:
                logger.error(
                    "job process %s ended with %s; another one takes its place", child.name, child.process.exitcode
                )
                self._count_death(child)
            if child.message is not None:
                self._settle(child, attempts.lose)
            self._start(child.queue)

    def _count_death(self, child: Child) -> None:
        if child.message is None and time.monotonic() - child.born < _QUICK_SECONDS:
            self._quick_deaths += 1
            if self._quick_deaths >= _MOST_QUICK_DEATHS:
                raise ProcessesDie
            time.sleep(min(0.1 * self._quick_deaths, 1.0))

    def _renew(self) -> None:
        ids = [child.message.id for child in self.children if child.message]
        if ids:
            renew(ids)

    def _end_what_has_to(self) -> None:
        for child in self.children:
            message = child.message
            if message is None or not child.process.is_alive():
                continue
            if time.monotonic() - child.since > settings.JOB_TIMEOUT:
                logger.error("run %s worked for more than %s s and is stopped", message.run_id, settings.JOB_TIMEOUT)
                self._end(child, attempts.end_overdue)
            elif self._safely(self._cancel_is_overdue, message):
                logger.warning("run %s was cancelled and did not look; its process is ended", message.run_id)
                self._end(child, attempts.end_cancelled)

    def _cancel_is_overdue(self, message: Message) -> bool:
        with schema_context(message.schema_name):
            return attempts.cancel_is_overdue(run_id=message.run_id, seconds=settings.CANCEL_SECONDS)

    def _end(self, child: Child, settle: Callable[..., Run | None]) -> None:
        """Kill the process, and settle the run that it had at that moment."""
        if child.process.pid is not None and child.process.is_alive():
            os.kill(child.process.pid, signal.SIGKILL)
        child.process.join()
        self._listen(0)  # what it had told before
        if child.message is not None:
            self._settle(child, settle)

    def _settle(self, child: Child, settle: Callable[..., Run | None]) -> None:
        """Say what became of the run of a process that is no more. Where the database is away the reaper does it."""
        message, child.message = child.message, None
        if message is not None:
            self._safely(_settle, message, child.name, settle)

    def _safely(self, act: Callable[..., Any], *args: Any) -> Any:
        try:
            return act(*args)
        except DatabaseError as error:
            logger.warning("the worker cannot reach its database; trying again (%s)", str(error).strip()[:200])
            connections.close_all()
            return None


def _settle(message: Message, worker: str, settle: Callable[..., Run | None]) -> None:
    with schema_context(message.schema_name):
        settle(run_id=message.run_id, worker=worker)
    finish(message)
    wakeups.wake(message.queue)  # who was woken by what was queued again may have found the tenant's turns still taken


def _in_child(presence: Presence, inherited: list[Connection], queue: Queue | None, parent: Connection) -> None:
    """In the new process: let go of what is the parent's, then begin."""
    presence.forget()
    for pipe in inherited:
        pipe.close()
    if queue is None:
        keep_up(parent)
    else:
        do_jobs(queue, parent)
