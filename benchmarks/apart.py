"""A module of the benchmark in a process of its own, so that its memory and its warm caches are its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


class Interrupted(Exception):
    """The process ended badly or took too long; the message says which."""


def apart(module: str, *words: str, limit: float) -> dict[str, Any]:
    """Run ``python -m module words``, at most `limit` seconds; the JSON of its last line. Raises `Interrupted`."""
    command = [sys.executable, "-m", module, *words]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise Interrupted(f"{module} took more than {limit:.0f} s") from error
    if done.returncode:
        raise Interrupted(f"{module} ended with status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
