"""Errors of the simulations."""

from __future__ import annotations

from ledger.errors import DomainError


class SimulationRefused(DomainError):
    """It may not or cannot be simulated here; nothing was damaged."""

    code = "simulation_refused"


class SimulationFailed(DomainError):
    """Something did not happen in time; what was damaged is put back."""

    code = "simulation_failed"
