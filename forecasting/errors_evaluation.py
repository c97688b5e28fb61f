"""Errors of an evaluation on rolling origins."""

from __future__ import annotations

from forecasting.errors import ForecastingError


class EvaluationStopped(ForecastingError):
    """An evaluation ended without a table."""

    code = "evaluation_stopped"

    def __init__(self, state: str) -> None:
        self.state = state
        super().__init__(f"The evaluation ended as {state}; nothing was kept. Start it again.")
