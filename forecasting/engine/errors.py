"""Errors of the forecasting engine: the facts as attributes, and a message that says what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any


class EngineError(Exception):
    """Base of every error the engine raises on purpose. It comes back whole from another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, dict(self.__dict__))


def _again(kind: type[EngineError], args: tuple[Any, ...], facts: dict[str, Any]) -> EngineError:
    """The same error without asking its facts again: pickle would hand the message to a constructor of facts."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class PartitionViolation(EngineError):
    """Rows past the end of the training window reached a place that may only see training data."""

    def __init__(self, rows: int, first_bad_day: date, train_end: date) -> None:
        self.rows, self.first_bad_day, self.train_end = rows, first_bad_day, train_end
        super().__init__(
            f"{rows} row(s) lie after the end of training ({train_end}); the first is {first_bad_day}. "
            "Load the data through a TrainingWindow, which filters it."
        )


class HistoryTooShort(EngineError):
    """The history cannot hold the backtest that was asked for."""

    def __init__(self, available: int, needed: int, unit: str = "days") -> None:
        self.available, self.needed, self.unit = available, needed, unit
        super().__init__(
            f"The history covers {available} {unit} but {needed} are needed. "
            "Load more history, or ask for a shorter horizon or fewer origins."
        )


class NoUsableSeries(EngineError):
    """No series has an observation that a model could learn from."""

    def __init__(self, reason: str = "there are no rows") -> None:
        self.reason = reason
        super().__init__(f"No usable series: {reason}. Check the ingest report for rejected rows, then load demand.")


class MissingRegressor(EngineError):
    """A declared regressor has no column, or no values for the days to be forecast."""

    def __init__(self, names: Iterable[str], first_missing: date | None = None, rows: int | None = None) -> None:
        self.names, self.first_missing, self.rows = tuple(names), first_missing, rows
        where = "" if first_missing is None else f" from {first_missing} on"
        count = "" if rows is None else f" ({rows} value(s))"
        super().__init__(
            f"Known-future regressor(s) {', '.join(self.names)} are missing{where}{count}. "
            "Load a covariates file that covers the whole horizon, or declare them historic_only."
        )


class DuplicateDays(EngineError):
    """A series has more than one row for a day."""

    def __init__(self, rows: int, example: tuple[int, date]) -> None:
        self.rows, self.example = rows, example
        super().__init__(
            f"{rows} duplicate row(s) for the same series and day, e.g. series {example[0]} on {example[1]}. "
            "Set dedupe_keys and dedupe_policy in the contract."
        )


class WeeksApart(EngineError):
    """Weekly rows end on different weekdays, so that they share no grid."""

    def __init__(self, rows: int, example: tuple[int, date], newest: date) -> None:
        self.rows, self.example, self.newest = rows, example, newest
        super().__init__(
            f"{rows} weekly row(s) are not whole weeks before the newest day ({newest:%A}, {newest}), e.g. series "
            f"{example[0]} on {example[1]:%A}, {example[1]}. Date every week by the same weekday in the source, or set "
            "grain: daily in the contract."
        )


class UnknownFamily(EngineError):
    """A spec names a family that is not registered."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"Unknown model family {name!r}. Known: {', '.join(known)}.")


class ArtifactCorrupt(EngineError):
    """A stored artifact is not what the manifest says."""

    def __init__(self, file: str, expected: str, found: str) -> None:
        self.file, self.expected, self.found = file, expected, found
        super().__init__(
            f"Artifact file {file} is corrupt: expected {expected}, found {found}. "
            "Restore it from the artifact store's backup, or retrain; it will not be served."
        )
