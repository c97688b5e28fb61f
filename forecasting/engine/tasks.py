"""Work in pieces on whatever processes there are: results come in the order of the pieces, not of their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from typing import Any, Protocol


class Task(Protocol):
    """A piece of work that can be pickled; it depends on nothing but itself."""

    def run(self) -> Any:
        """Do it."""
        ...


Told = Callable[[int, Any], None]
"""Called with the count of ended tasks and the one that ended last."""


def run_tasks(tasks: Sequence[Task], executor: Executor | None = None, told: Told | None = None) -> list[Any]:
    """The results of all tasks, in their order. executor: None works in this process, one after the other.

    What a task or `told` raises ends the whole, and the tasks that have not begun are taken back.
    """
    if executor is None:
        out = []
        for task in tasks:
            out.append(task.run())
            if told is not None:
                told(len(out), task)
        return out
    futures: list[Future[Any]] = []
    try:
        futures = [executor.submit(perform, task) for task in tasks]
        places = {future: place for place, future in enumerate(futures)}
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()  # the first failure ends the wait
            if told is not None:
                told(done, tasks[places[future]])
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def perform(task: Task) -> Any:
    """Do one task: what other processes are asked for by name."""
    return task.run()
