"""The processes that training uses: a pool of this machine, or a Dask cluster. Gone when their parent is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings

from forecasting.errors_training import SchedulerUnreachable

RETRIES = 3
"""How often a cluster tries a task again whose worker was lost."""
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ARROW_NUM_THREADS",
    "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "STAN_NUM_THREADS",
)  # fmt: skip
_LOOK_EVERY_SECONDS = 1.0
_CONNECT_SECONDS = 10
_current: ContextVar[Executor | None] = ContextVar("training_pool", default=None)


def _begin(parent: int) -> None:
    """In a child, before anything heavy is imported: one thread for each library, and an end with its parent."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    _end_with(parent)


def _end_with(parent: int) -> None:
    """In a child: end this process as soon as its parent is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


@contextmanager
def training_pool() -> Iterator[Executor | None]:
    """An executor for training; None where one process has to do. Inside another, that one.

    With ``DASK_SCHEDULER_ADDRESS`` that cluster's; else ``TRAIN_PROCESSES`` spawned processes, each of which starts
    with the first task it gets, so that an unused pool costs nothing. Raises SchedulerUnreachable.
    """
    running = _current.get()
    if running is not None:
        yield running
        return
    if settings.DASK_SCHEDULER_ADDRESS:
        opened = _cluster(settings.DASK_SCHEDULER_ADDRESS)
    elif settings.TRAIN_PROCESSES >= 2:
        opened = _processes(settings.TRAIN_PROCESSES)
    else:
        yield None
        return
    with opened as executor:
        token = _current.set(executor)
        try:
            yield executor
        finally:
            _current.reset(token)


@contextmanager
def _processes(count: int) -> Iterator[Executor]:
    pool = ProcessPoolExecutor(
        max_workers=count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    import distributed

    try:
        client: Any = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]  # distributed has no types
    except (OSError, ValueError, TimeoutError) as error:
        raise SchedulerUnreachable(address, str(error)) from error
    try:
        yield client.get_executor(pure=False, retries=RETRIES)
    finally:
        with contextlib.suppress(OSError, TimeoutError):
            client.close(timeout=_CONNECT_SECONDS)
