"""Memory that is free, and still held by the process."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return freed memory to the system.

    Results of other processes are unpacked piece by piece, in a thread of their own; glibc keeps the room of such
    pieces for later ones of the same size after they are freed, for a large tenant hundreds of MB. Does nothing where
    the C library has no `malloc_trim`.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
