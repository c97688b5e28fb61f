"""The processes that training uses: a pool of this machine, or a Dask cluster. Gone when their parent is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing.context import BaseContext
from typing import Any

from django.conf import settings

from forecasting.errors_training import SchedulerUnreachable
from forecasting.services.pool_threads import THREADS

RETRIES = 3
"""How often a cluster tries a task again whose worker was lost."""
_SERVER = "forecasting.services.pool_server"
_CONNECT_SECONDS = 10
_served: dict[str, int] = {}
_current: ContextVar[Executor | None] = ContextVar("training_pool", default=None)


def _begin() -> None:
    """In a child, before anything heavy is imported: one thread for each library, and an end with its parent."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()  # until it is gone, however it went
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _context() -> BaseContext:
    """How processes are started: forked from a server that has imported everything once and does nothing else.

    The server is started with the first pool of a process and ends with it. A process that was forked while its parent
    had one cannot ask it: there, each process of a pool starts anew.
    """
    if _served.setdefault("by", os.getpid()) != os.getpid():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_SERVER])
    return context


@contextmanager
def training_pool() -> Iterator[Executor | None]:
    """An executor for training; None where one process has to do. Inside another, that one.

    With ``DASK_SCHEDULER_ADDRESS`` that cluster's; else ``TRAIN_PROCESSES`` processes of this machine, each of which
    starts with the first task it gets, so that an unused pool costs nothing. Raises SchedulerUnreachable.
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
        mp_context=_context(),
        initializer=_begin,
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
