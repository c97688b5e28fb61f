"""Processes that end with their parent, so that a kill leaves no orphans at work."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to send ``sig`` to this process when its parent ends. Linux only; elsewhere it does nothing."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0)
    if os.getppid() != parent:  # it ended in between
        os.kill(os.getpid(), sig)


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
