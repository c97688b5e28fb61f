"""Processes that end with their parent, so that a kill leaves no orphans at work."""

from __future__ import annotations

import os

from ledger.processes import end_with_parent

__all__ = ["end_with_parent", "forks_end_with_parent"]


def forks_end_with_parent() -> None:
    """From now on, every process forked from this one (and from those) ends with the one that forked it.

    Direct children also get a process group of their own: a signal to our whole group (a terminal, ``timeout``, a
    supervisor) then reaches only us, who stop them in order.
    """
    main = os.getpid()

    def in_child() -> None:
        end_with_parent()
        if os.getppid() == main:
            os.setpgid(0, 0)

    os.register_at_fork(after_in_child=in_child)
