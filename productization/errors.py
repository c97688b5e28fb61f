"""Errors of the tracker's domain."""

from __future__ import annotations

from ledger.errors import DomainError


class DeclarationInvalid(DomainError):
    """A declaration (tracker, board or steps) cannot be read."""

    code = "declaration_invalid"
    exit_status = 2

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"{file} cannot be used: {why}")


class ItemUnknown(DomainError):
    code = "item_unknown"
    exit_status = 2

    def __init__(self, code: str, known: list[str]) -> None:
        self.item, self.known = code, known
        super().__init__(f"There is no item {code!r}. Items: {', '.join(known) or 'none yet: run verify_evidence'}.")


class ReasonRequired(DomainError):
    code = "reason_required"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"Say why you {what}: the reason is kept with it.")


class ItemNotBlocked(DomainError):
    code = "item_not_blocked"

    def __init__(self, code: str) -> None:
        self.item = code
        super().__init__(f"{code} was not blocked by a person; what its evidence says cannot be lifted by hand.")


class RecordUnreadable(DomainError):
    """A record of a test run cannot be used."""

    code = "record_unreadable"
    exit_status = 2

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path} is no record of a test run ({why}). Run the tests; they write it at their end.")


class ReleaseRefused(DomainError):
    """A release cannot be prepared, signed off or declined as asked; the message says why."""

    code = "release_refused"


class StepUnknown(DomainError):
    code = "step_unknown"
    exit_status = 2

    def __init__(self, name: str, known: list[str]) -> None:
        self.step, self.known = name, known
        super().__init__(f"There is no step {name!r}. Steps: {', '.join(known)}.")
