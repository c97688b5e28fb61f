"""A panel that a run hands to its own processes on this machine, so that not each of them reads it from the database.

It lies in a file without a name: nobody else finds it, and it is gone with the process that made it, however that ends.
Where there is no such thing (another machine, another system), a process reads the database as before.
"""

from __future__ import annotations

import os
import pickle
import socket
import tempfile
from dataclasses import dataclass
from typing import IO

from forecasting.engine.panel import Panel

_files: dict[str, IO[bytes]] = {}


@dataclass(frozen=True)
class Handed:
    """Where a panel lies: an open file of a process of this machine."""

    host: str
    process: int
    number: int

    def panel(self) -> Panel | None:
        """The panel; None where this process cannot see it."""
        if self.host != socket.gethostname():
            return None
        try:
            with open(f"/proc/{self.process}/fd/{self.number}", "rb") as file:
                found = pickle.load(file)  # noqa: S301  # between a run's own processes, never stored
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return found if isinstance(found, Panel) else None


def hand(token: str, panel: Panel) -> Handed:
    """Lay a panel down under a token until `take_back`; once for each token."""
    if token not in _files:
        file = tempfile.TemporaryFile(prefix="forecourt-")  # noqa: SIM115  # until it is taken back
        pickle.dump(panel, file, protocol=pickle.HIGHEST_PROTOCOL)
        file.flush()
        _files[token] = file
    return Handed(socket.gethostname(), os.getpid(), _files[token].fileno())


def laid_down(token: str) -> Panel | None:
    """The panel that this process laid down under a token; None without one."""
    file = _files.get(token)
    if file is None:
        return None
    file.seek(0)
    found = pickle.load(file)  # noqa: S301  # this process wrote it
    return found if isinstance(found, Panel) else None


def take_back() -> None:
    """Close every file: their room is free again."""
    while _files:
        _files.popitem()[1].close()
