"""Errors of deciding on a strategy cycle."""

from __future__ import annotations

from forecasting.errors import ForecastingError, WrongRequest


class CycleUnknown(WrongRequest):
    """There is no such cycle in this tenant."""

    code = "cycle_unknown"

    def __init__(self, cycle: int) -> None:
        self.cycle = cycle
        super().__init__(f"There is no strategy cycle {cycle}. Open “Strategy” for those that exist.")


class PointUnknown(WrongRequest):
    """The sweep holds no such point."""

    code = "point_unknown"

    def __init__(self, cycle: int, point: str) -> None:
        self.cycle, self.point = cycle, point
        super().__init__(f"The sweep of cycle {cycle} has no point {point!r}. Choose one of its table.")


class AlreadyDecided(ForecastingError):
    """The same decision stands already."""

    code = "already_decided"

    def __init__(self, cycle: int, label: str, decided_by: str) -> None:
        self.cycle, self.label, self.decided_by = cycle, label, decided_by
        super().__init__(
            f"{decided_by} has decided the same on cycle {cycle} already: {label}. Choose another point, or leave it."
        )
