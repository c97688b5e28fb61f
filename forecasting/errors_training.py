"""Errors of the processes that training runs on."""

from __future__ import annotations

from forecasting.errors import ForecastingError


class SchedulerUnreachable(ForecastingError):
    """The Dask scheduler that the settings name does not answer."""

    code = "scheduler_unreachable"

    def __init__(self, address: str, detail: str = "") -> None:
        self.address, self.detail = address, detail
        super().__init__(
            f"The Dask scheduler at {address} does not answer{': ' + detail if detail else ''}. Start it, correct "
            "DASK_SCHEDULER_ADDRESS, or unset it to train in processes of this machine."
        )


class TrainingProcessLost(ForecastingError):
    """A process that trained ended before its work was done."""

    code = "training_process_lost"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(
            f"A training process ended before its work was done{': ' + detail if detail else ''}. The usual cause is "
            "memory: lower FORECOURT_SEGMENT_SERIES or FORECOURT_TRAIN_PROCESSES, then start again."
        )
