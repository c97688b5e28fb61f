"""Errors of the forecasting domain: the facts as attributes, and a message that says what to do next.

``exit_status`` is what a command ends with: 1 the data or a gate said no, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ledger.errors import DomainError


class ForecastingError(DomainError):
    """Base of this app's expected failures."""

    exit_status = 1


class WrongRequest(ForecastingError):
    """What was asked for cannot be asked for; nothing is wrong with the data."""

    code = "wrong_request"
    exit_status = 2


# --- loading and training ---------------------------------------------------------------------------------------------


class NoDemandLoaded(ForecastingError):
    """There is no demand to learn from."""

    code = "no_demand"

    def __init__(self) -> None:
        super().__init__("No demand is loaded. Load some first: manage.py onboard SCHEMA --contract CONTRACT --data FILES.")


class AsOfOutsideData(WrongRequest):
    """The as-of date lies where there is no demand."""

    code = "as_of_outside_data"

    def __init__(self, as_of: date, first_day: date, newest_day: date) -> None:
        self.as_of, self.first_day, self.newest_day = as_of, first_day, newest_day
        side = "after" if as_of > newest_day else "before"
        end = f"the newest day of demand ({newest_day})" if side == "after" else f"the first day of demand ({first_day})"
        super().__init__(f"The as-of date {as_of} is {side} {end}. Choose a day between {first_day} and {newest_day}.")


class HistoryShort(ForecastingError):
    """The history cannot hold the backtest and the sealed holdout."""

    code = "history_too_short"

    def __init__(self, available: int, needed: int, detail: str = "") -> None:
        self.available, self.needed = available, needed
        super().__init__(
            f"The history covers {available} days but {needed} days are needed{detail}. "
            "Load more history, or ask for a shorter horizon."
        )


class SeriesUnusable(ForecastingError):
    """No series has an observation that a model could learn from."""

    code = "no_usable_series"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"0 usable series: {reason}. Check the ingest report for rejected rows, then load demand.")


class TrainingRefused(ForecastingError):
    """The engine cannot train on, or forecast from, what is there; its message says why."""

    code = "training_refused"


class FamilyUnknown(WrongRequest):
    """A family was named that does not exist."""

    code = "unknown_family"

    def __init__(self, names: Sequence[str], known: Sequence[str]) -> None:
        self.names, self.known = tuple(names), tuple(known)
        super().__init__(f"Unknown model family {', '.join(names) or '(none)'}. Known: {', '.join(known)}.")


class NothingToRefresh(WrongRequest):
    """A refresh fits the champion's spec, and there is no champion."""

    code = "no_champion"

    def __init__(self, channel: str = "live") -> None:
        self.channel = channel
        super().__init__("There is no champion to refresh. Run a search, and have its request approved, first.")


class PartitionBroken(ForecastingError):
    """Rows past the end of the training window came through the loader. A defect, never the person's fault."""

    code = "partition_violation"


class HoldoutBudgetSpent(ForecastingError):
    """The sealed holdout was opened for this candidate already."""

    code = "holdout_budget_spent"

    def __init__(self, version: int, times: int) -> None:
        self.version, self.times = version, times
        super().__init__(
            f"The holdout of v{version} was opened {times} time(s) already. Give a reason to open it again; "
            "the reviewer will see it."
        )


# --- registry and artifacts -------------------------------------------------------------------------------------------


class ManifestInvalid(ForecastingError):
    """A version without a whole manifest cannot be registered."""

    code = "manifest_invalid"

    def __init__(self, role: str, problem: str) -> None:
        self.role, self.problem = role, problem
        super().__init__(f"The {role} fit's manifest is not valid: {problem}. The version was not registered.")


class ArtifactCorrupt(ForecastingError):
    """A stored artifact is not what the registry says."""

    code = "artifact_corrupt"

    def __init__(self, version: int, role: str, file: str, expected: str, found: str) -> None:
        self.version, self.role, self.file, self.expected, self.found = version, role, file, expected, found
        super().__init__(
            f"Artifact {role}/{file} of v{version} is corrupt: expected {expected[:16]}, found {found[:16]}. "
            "Restore it from the artifact store's backup, or retrain; it will not be served."
        )


class VersionUnknown(WrongRequest):
    """No version, or none with forecasts, answers to that name."""

    code = "unknown_version"


# --- forecasts --------------------------------------------------------------------------------------------------------


class OriginBeforeFit(WrongRequest):
    """A fit may not forecast days that it was trained on."""

    code = "origin_before_fit"

    def __init__(self, version: int, origin: date, as_of: date) -> None:
        self.version, self.origin, self.as_of = version, origin, as_of
        super().__init__(
            f"v{version} has seen data up to {as_of}; it cannot forecast from {origin}. Choose an origin on or after {as_of}."
        )
