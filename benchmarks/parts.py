"""A part of the benchmark: what it measured so far, kept in a file, so that an interrupted run keeps what it has."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks import BUILD

ROOT, KEPT = BUILD.parent.parent, BUILD / "parts"


@dataclass(frozen=True)
class Figure:
    """A value and what it should reach; `value` is None where it could not be measured, and `note` says why or how.

    better: "lower" or "higher". reached: None for a figure without an aim (`to_reach` is None then).
    """

    name: str
    value: float | None
    to_reach: float | None
    better: str = "lower"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is met; what was not measured is not met."""
        if self.to_reach is None:
            return None
        if self.value is None:
            return False
        return self.value <= self.to_reach if self.better == "lower" else self.value >= self.to_reach

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "value": None if self.value is None else round(self.value, 6), "reached": self.reached}


@dataclass
class Part:
    """Figures, and lines of Markdown that say how they were made. Written after every step (`keep`).

    `load` is the machine's load of one minute when the part began and at every step: above 1 other programs ran.
    """

    name: str
    title: str
    quick: bool = False
    figures: list[Figure] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    revision: str = field(default_factory=lambda: revision())
    load: list[float] = field(default_factory=lambda: [round(os.getloadavg()[0], 2)])
    started: float = field(default_factory=time.monotonic)

    def keep(self, *, complete: bool = False) -> None:
        """Write what there is."""
        self.complete = complete
        self.load.append(round(os.getloadavg()[0], 2))
        KEPT.mkdir(parents=True, exist_ok=True)
        target = _file(self.name, self.quick)
        fresh = target.with_suffix(".new")
        fresh.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(target)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "part": self.name,
            "title": self.title,
            "quick": self.quick,
            "complete": self.complete,
            "when": self.when,
            "seconds": round(time.monotonic() - self.started, 1),
            "revision": self.revision,
            "load": self.load,
            "figures": [figure.to_json() for figure in self.figures],
            "text": self.text,
            "facts": self.facts,
            "machine": machine(),
        }


def _file(name: str, quick: bool) -> Path:
    return KEPT / f"{name}{'.quick' if quick else ''}.json"


def kept_part(name: str, *, quick: bool) -> dict[str, Any] | None:
    """What a part wrote last in this place, or None."""
    path = _file(name, quick)
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def revision() -> str:
    """The commit that is checked out, with a + where files differ from it; "unknown" outside of a repository."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words],
            cwd=BUILD.parent.parent,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, Any]:
    """What the run was made on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
