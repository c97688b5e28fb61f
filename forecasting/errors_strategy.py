"""Errors of deciding on a strategy cycle."""

from __future__ import annotations

from datetime import date

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


class DecisionUnknown(WrongRequest):
    """There is no such decision in this tenant."""

    code = "decision_unknown"

    def __init__(self, decision: int) -> None:
        self.decision = decision
        super().__init__(
            f"There is no strategy decision {decision}. Open “Strategy” for the cycles and what they came to."
        )


class DecisionMissing(WrongRequest):
    """What was decided can only be trained with the decision, and only in that mode."""

    code = "decision_missing"

    def __init__(self, mode: str) -> None:
        self.mode = mode
        super().__init__(
            "To train what was decided, name the decision."
            if mode == "decided"
            else f"A {mode} does not train a decision. Leave the decision out, or leave the mode out."
        )


class DecisionOutdated(WrongRequest):
    """The data are no longer what the cycle was made for."""

    code = "decision_outdated"

    def __init__(self, cycle: int, grain: str) -> None:
        self.cycle, self.grain = cycle, grain
        super().__init__(
            f"Strategy cycle {cycle} was made for {grain} data, and the data have another grain now. Run a new cycle."
        )


class DecidedOnLaterData(WrongRequest):
    """The sealed days of the training would be days that the decision was made on."""

    code = "decided_on_later_data"

    def __init__(self, cycle: int, seen: date, as_of: date) -> None:
        self.cycle, self.seen, self.as_of = cycle, seen, as_of
        super().__init__(
            f"Strategy cycle {cycle} has compared forecasts on days up to {seen}, and a training as of {as_of} would "
            "be judged on some of them. Train as of a later day, or run a cycle as of that day first."
        )


class DecidedMeanwhile(ForecastingError):
    """Somebody else decided after the person had opened the page."""

    code = "decided_meanwhile"

    def __init__(
        self, cycle: int, standing: int, label: str, decided_by: str, then: str = "your decision is to replace it"
    ) -> None:
        self.cycle, self.standing, self.label, self.decided_by = cycle, standing, label, decided_by
        super().__init__(
            f"{decided_by} has decided on cycle {cycle} since you opened this page: {label}. Nothing was recorded. "
            f"Send the form again if {then}."
        )
