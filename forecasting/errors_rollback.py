"""Errors of rollback and of its drill."""

from __future__ import annotations

from datetime import date

from forecasting.errors import ForecastingError, WrongRequest


class NothingToRollBackTo(WrongRequest):
    """No such earlier time in service."""

    code = "no_earlier_assignment"

    def __init__(self, asked: object, channel: str, known: str) -> None:
        self.asked, self.channel = asked, channel
        there = f"These served: {known}." if known else "No other version has served there."
        super().__init__(f"{asked} has not served on the {channel} channel. {there}")


class RollbackRefused(ForecastingError):
    """What was asked for may not serve again."""

    code = "rollback_refused"

    def __init__(self, label: str, why: str) -> None:
        self.label, self.why = label, why
        super().__init__(f"{label} was not put back: {why} The champion stays.")


class ChampionMoved(ForecastingError):
    """Somebody or something else changed the champion in the meantime."""

    code = "champion_moved"

    def __init__(self, before: str, now: str) -> None:
        self.before, self.now = before, now
        super().__init__(
            f"The champion was {before} when this rollback began and is {now} now. Nothing was changed. "
            "Look at what serves, then decide again."
        )


class StorageUnavailable(ForecastingError):
    """The artifact store did not give a file that it may well have."""

    code = "storage_unavailable"

    def __init__(self, version: int, role: str, file: str, detail: str) -> None:
        self.version, self.role, self.file, self.detail = version, role, file, detail
        super().__init__(
            f"The artifact store did not give {role}/{file} of v{version} ({detail}). Nothing was changed. "
            "Restore the store, then try again."
        )


class DrillNotPossible(WrongRequest):
    """There is nothing to drill with yet."""

    code = "drill_not_possible"


class DrillFailed(ForecastingError):
    """The drill ended, and did not prove what it should."""

    code = "drill_failed"

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__(sentence)


class DrillOriginGone(ForecastingError):
    """Demand of the days that the drill began with is no longer there."""

    code = "drill_origin_gone"

    def __init__(self, origin: date) -> None:
        self.origin = origin
        super().__init__(f"The demand known on {origin} is no longer what the drill began with. Start another one.")
