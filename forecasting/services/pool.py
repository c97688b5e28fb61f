"""Processes for the fits that go series by series. Started only when used, and gone when their parent is."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings

_LOOK_EVERY_SECONDS = 1.0
_current: ContextVar[Executor | None] = ContextVar("training_pool", default=None)


def _end_with(parent: int) -> None:
    """In a child: end this process as soon as its parent is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


@contextmanager
def training_pool() -> Iterator[Executor | None]:
    """An executor of ``TRAIN_PROCESSES`` spawned processes; None where one process has to do. Inside another, that one.

    A process starts with the first task it gets, so that an unused pool costs nothing.
    """
    running = _current.get()
    if running is not None or settings.TRAIN_PROCESSES < 2:
        yield running
        return
    pool = ProcessPoolExecutor(
        max_workers=settings.TRAIN_PROCESSES,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with,
        initargs=(os.getpid(),),
    )
    token = _current.set(pool)
    try:
        yield pool
    finally:
        _current.reset(token)
        pool.shutdown(wait=True, cancel_futures=True)
