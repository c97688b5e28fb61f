"""Errors of the forecasting domain: the facts as attributes, and a message that says what to do next.

``exit_status`` is what a command ends with: 1 the data or a gate said no, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from ledger.errors import DomainError


class ForecastingError(DomainError):
    """Base of this app's expected failures."""

    exit_status = 1


class WrongRequest(ForecastingError):
    """What was asked for cannot be asked for; nothing is wrong with the data."""

    code = "wrong_request"
    exit_status = 2


class HorizonShort(WrongRequest):
    """Forecasts that end before the order that they are for has been sold."""

    code = "horizon_short"

    def __init__(self, steps: int, needed: int, protection_days: int) -> None:
        self.steps, self.needed, self.protection_days = steps, needed, protection_days
        super().__init__(
            f"A horizon of {steps} step(s) is shorter than the protection interval of {protection_days} days (the "
            f"policy's lead time + review period), so the gate could not pass it. Ask for {needed} step(s) or more."
        )


# --- loading and training ---------------------------------------------------------------------------------------------


class NoDemandLoaded(ForecastingError):
    """There is no demand to learn from."""

    code = "no_demand"

    def __init__(self) -> None:
        super().__init__(
            "No demand is loaded. Load some first: manage.py onboard SCHEMA --contract CONTRACT --data FILES."
        )


class AsOfOutsideData(WrongRequest):
    """The as-of date lies where there is no demand."""

    code = "as_of_outside_data"

    def __init__(self, as_of: date, first_day: date, newest_day: date) -> None:
        self.as_of, self.first_day, self.newest_day = as_of, first_day, newest_day
        side = "after" if as_of > newest_day else "before"
        end = (
            f"the newest day of demand ({newest_day})" if side == "after" else f"the first day of demand ({first_day})"
        )
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


class ChainStopped(ForecastingError):
    """A step of a chain ended without a result."""

    code = "chain_stopped"

    def __init__(self, step: str, state: str) -> None:
        self.step, self.state = step, state
        super().__init__(f"The step {step!r} ended as {state}; the chain stopped there. Start it again.")


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
            f"Artifact {role}/{file} of v{version} is corrupt: expected {_short(expected)}, found {_short(found)}. "
            "Restore it from the artifact store's backup, or retrain; it will not be served."
        )


def _short(told: str) -> str:
    """The beginning of a hash; words as they are."""
    return told[:16] if len(told) == 64 else told


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
            f"v{version} has seen data up to {as_of}; it cannot forecast from {origin}. "
            f"Choose an origin on or after {as_of}."
        )


# --- policy, gate and promotion -------------------------------------------------------------------------------------


class ReasonMissing(ForecastingError):
    """A decision without a reason."""

    code = "reason_missing"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"Say why you {what}: the reason is kept with the decision, and others will read it.")


class PolicyInvalid(ForecastingError):
    """A gate policy whose values cannot hold; ``problems`` maps each key to what is wrong with it."""

    code = "policy_invalid"

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        listed = "; ".join(f"{key}: {problem}" for key, problem in self.problems.items())
        super().__init__(f"The policy was not changed. Correct these values: {listed}.")


class PolicyMoved(ForecastingError):
    """Somebody changed the policy while this change was being written."""

    code = "policy_moved"

    def __init__(self, seen: int, now: int, by: str) -> None:
        self.seen, self.now, self.by = seen, now, by
        super().__init__(
            f"The policy was v{seen} when you began and is v{now} now, by {by}. Nothing was changed. "
            "Look at what is in force, then change it again."
        )


class CandidateNotJudgeable(ForecastingError):
    """A version that cannot be put before the gate."""

    code = "candidate_not_judgeable"

    def __init__(self, label: str, why: str) -> None:
        self.label, self.why = label, why
        super().__init__(f"{label} cannot be judged: {why}")


class PromotionNotEligible(ForecastingError):
    """No eligible judgement stands behind this candidate; ``failing`` names the gates that did not pass."""

    code = "promotion_not_eligible"

    def __init__(self, label: str, why: str, failing: Sequence[str] = ()) -> None:
        self.label, self.why, self.failing = label, why, tuple(failing)
        gates = f" Failing gates: {', '.join(self.failing)}." if self.failing else ""
        super().__init__(f"{label} cannot be promoted: {why}{gates}")


class RequestAlreadyPending(ForecastingError):
    """A channel has one pending request at most."""

    code = "request_already_pending"

    def __init__(self, request_id: int, label: str, channel: str) -> None:
        self.request_id, self.label, self.channel = request_id, label, channel
        super().__init__(
            f"{label} is waiting for a decision on the {channel} channel already (request {request_id}). "
            "Have it decided or withdrawn first."
        )


class RequestNotFound(ForecastingError):
    code = "request_not_found"

    def __init__(self, request_id: object) -> None:
        self.request_id = request_id
        super().__init__(f"There is no promotion request {request_id}. Open Approvals to see those that exist.")


class RequestNotPending(ForecastingError):
    """The request was decided, lapsed or withdrawn already."""

    code = "request_not_pending"

    def __init__(self, request_id: int, state: str, by: str) -> None:
        self.request_id, self.state, self.by = request_id, state, by
        who = f" by {by}" if by else ""
        super().__init__(
            f"Request {request_id} is {state}{who} and cannot be decided again. Ask for a new one if needed."
        )


class RequestLapsed(ForecastingError):
    """What was judged is no longer what would be promoted."""

    code = "request_lapsed"

    def __init__(self, request_id: int, why: str) -> None:
        self.request_id, self.why = request_id, why
        super().__init__(
            f"Request {request_id} has lapsed: {why} Nothing was promoted. Judge again on the version's page."
        )


class CannotActOnOwnRequest(ForecastingError):
    """Four eyes: whoever asked cannot decide."""

    code = "own_request"

    def __init__(self, username: str, request_id: int) -> None:
        self.username, self.request_id = username, request_id
        super().__init__(f"{username} asked for request {request_id} and cannot decide on it. Another reviewer has to.")


class NotYourRequest(ForecastingError):
    """Only the requester (or a tenant admin) withdraws a request."""

    code = "not_your_request"

    def __init__(self, username: str, request_id: int, requester: str) -> None:
        self.username, self.request_id, self.requester = username, request_id, requester
        super().__init__(
            f"Request {request_id} was made by {requester}; only they or a tenant admin can withdraw it. "
            "A reviewer can reject it instead."
        )


class AssignmentRefused(ForecastingError):
    """A version cannot become champion."""

    code = "assignment_refused"

    def __init__(self, label: str, why: str) -> None:
        self.label, self.why = label, why
        super().__init__(f"{label} cannot become champion: {why}")
