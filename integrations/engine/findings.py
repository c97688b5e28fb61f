"""What a check says to a person: findings, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding weighs: an error stops the load, a warning and an info do not."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Verdict(StrEnum):
    """The answer to "can these files become demand under this contract?"."""

    PASSED = "passed"
    FAILED = "failed"
    REQUIRES_CUSTOM_ADAPTER = "requires_custom_adapter"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation, in a shop owner's words.

    `code` is stable and machine-readable, `column` names the source column or contract key (None: the whole file),
    `rows` counts the rows concerned (None: not a matter of rows), `fix` says what to do next.
    `adapter` marks what no contract can express; it decides between `failed` and `requires_custom_adapter`.
    """

    code: str
    severity: Severity
    message: str
    column: str | None = None
    rows: int | None = None
    fix: str = ""
    adapter: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values, without the internal `adapter` mark."""
        values = {
            key: value.replace("\0", "␀") if isinstance(value, str) else value for key, value in asdict(self).items()
        }
        del values["adapter"]
        values["severity"] = self.severity.value
        return values


def error(code: str, message: str, *, fix: str, column: str | None = None, rows: int | None = None) -> Finding:
    """A finding that stops the load and that the person can mend in the file or in the contract."""
    return Finding(code, Severity.ERROR, message, column, rows, fix)


def adapter(code: str, message: str, *, fix: str, column: str | None = None, rows: int | None = None) -> Finding:
    """A finding that no contract can express: the source needs a custom adapter, or another export."""
    return Finding(code, Severity.ERROR, message, column, rows, fix, adapter=True)


def warning(code: str, message: str, *, fix: str = "", column: str | None = None, rows: int | None = None) -> Finding:
    """A finding the person should know of; it does not stop the load."""
    return Finding(code, Severity.WARNING, message, column, rows, fix)


def info(code: str, message: str, *, fix: str = "", column: str | None = None, rows: int | None = None) -> Finding:
    """A plain remark."""
    return Finding(code, Severity.INFO, message, column, rows, fix)


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """The verdict that follows: an adapter reason outweighs a failure, a failure outweighs everything else."""
    verdict = Verdict.PASSED
    for finding in findings:
        if finding.severity is Severity.ERROR:
            if finding.adapter:
                return Verdict.REQUIRES_CUSTOM_ADAPTER
            verdict = Verdict.FAILED
    return verdict
