"""Which incidents can be simulated, and on whom: a higher app says so, the platform's pages offer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Simulations:
    """The kind of job that simulates (inputs: scenario and schema), the scenarios by name with their titles, and
    whether a schema is a demo tenant's."""

    kind: str
    scenarios: dict[str, str]
    is_demo: Callable[[str], bool]


_REGISTERED: list[Simulations] = []


def register_simulations(simulations: Simulations) -> None:
    """Called from the owning app's ``ready()``; the last one counts."""
    _REGISTERED[:] = [simulations]


def simulations() -> Simulations | None:
    """What was registered; None where nothing was."""
    return _REGISTERED[0] if _REGISTERED else None
