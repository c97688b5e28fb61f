"""The memory of a process and of all that it started, together, pages that they share counted once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil

EVERY_SECONDS = 2.0


class PeakShare:
    """Highest proportional set size (PSS) of this process and its children in MiB, sampled from a thread.

    The kernel reckons each page by how many processes share it (`/proc/PID/smaps_rollup`), so that the sum is what is
    really taken; resident sizes added up would count the libraries' pages once for every process. Reckoning takes time:
    `processor` has the seconds, so that they can be left out of what is measured.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self.processor = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-share", daemon=True)

    def __enter__(self) -> PeakShare:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while True:
            every = [me.pid, *(child.pid for child in me.children(recursive=True))]
            self.peak_mib = max(self.peak_mib, sum(map(share_of, every)))
            self.processor = time.thread_time()
            if self._stop.wait(EVERY_SECONDS):
                return


def share_of(pid: int) -> float:
    """PSS of a process in MiB; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
