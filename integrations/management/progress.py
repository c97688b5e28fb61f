"""How a command shows how far it is: a bar on a terminal, else a line every tenth."""

from __future__ import annotations

import time
from typing import Protocol

_WIDTH = 30
_EVERY_SECONDS = 0.1


class Out(Protocol):
    """What Django's ``OutputWrapper`` and a text stream have in common."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class Progress:
    """Call it with (done, total, message), as jobs do; ``close`` ends the bar's line. Writes nothing else."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._bar = out.isatty()
        self._tenth = -1
        self._drawn_at = 0.0
        self._width = 0

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Show that ``done`` of ``total`` are done."""
        share = min(1.0, done / total) if total else 0.0
        if self._bar:
            self._draw(share, message)
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self._write(f"{self._tenth * 10:3d}% {message}".rstrip() + "\n")

    def close(self) -> None:
        """End the line of the bar, if one was drawn."""
        if self._bar and self._width:
            self._write("\n")
            self._width = 0

    def _draw(self, share: float, message: str) -> None:
        now = time.monotonic()
        if share < 1.0 and now - self._drawn_at < _EVERY_SECONDS:
            return
        self._drawn_at = now
        filled = int(share * _WIDTH)
        line = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {share:4.0%} {message}"[:110]
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def _write(self, text: str) -> None:
        # Django's wrapper adds a line end of its own unless told not to; its stream below does not.
        stream: Out = getattr(self._out, "_out", self._out)
        stream.write(text)
        stream.flush()
