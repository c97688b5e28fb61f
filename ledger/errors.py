"""Errors of the ledger's domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.models import Run


class LedgerError(Exception):
    """Base of the ledger's errors; the message tells a person what to do next."""


class DomainError(Exception):
    """Base of every app's expected failures: the message is for the person at the door, ``code`` for programs."""

    code = "refused"

    def __reduce__(self) -> tuple[Any, ...]:
        """It comes back whole from another process: its facts are kept, its constructor is not asked again."""
        return _again, (type(self), self.args, dict(self.__dict__))


def _again(kind: type[DomainError], args: tuple[Any, ...], facts: dict[str, Any]) -> DomainError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class UnknownJobKind(LedgerError):
    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"No job of kind {kind!r} is registered.")


class RunAlreadyLive(DomainError):
    """Another run of the same kind and scope is queued or running."""

    code = "run_already_live"

    def __init__(self, run: Run) -> None:
        self.run = run
        super().__init__(
            f"{run.kind} is {run.get_state_display().lower()} already (started by {run.requested_by_name}). "
            "Wait for it or cancel it first."
        )


class OperatorRequired(DomainError):
    """The person may look at runs, but not cancel or resume them."""

    code = "operator_required"

    def __init__(self, username: str) -> None:
        self.username = username
        super().__init__(f"{username} may look at runs, not steer them. An analyst or a tenant admin can.")


class TransitionRefused(DomainError):
    code = "transition_refused"

    def __init__(self, what: str, current: str, wanted: str) -> None:
        self.what, self.current, self.wanted = what, current, wanted
        super().__init__(f"{what} is {current}; it cannot become {wanted}.")


class TreeEnded(DomainError):
    """Of runs that belong together none is live any more."""

    code = "tree_ended"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} and all its steps have ended; there is nothing to cancel.")


class RunCancelled(LedgerError):
    """Raised inside a job at its next sign of progress after somebody asked for its end."""


class LeaseLost(LedgerError):
    """This attempt no longer owns its run (it was called lost and retried); nothing it does may be kept."""
