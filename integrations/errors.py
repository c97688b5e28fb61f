"""Errors of the integrations' domain; ``exit_status`` ends a command: 1 the data said no, 2 wrong usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.errors import DomainError

if TYPE_CHECKING:
    from integrations.engine.changes import ContractChanges
    from integrations.engine.contract import ContractInvalid


def one_line(text: str) -> str:
    """The text without line ends and unprintable signs: a cell of a file may be quoted in a message."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


class IntegrationError(DomainError):
    """Base of this app's expected failures."""

    exit_status = 2


class NoDemandSink(IntegrationError):
    code = "no_demand_sink"

    def __init__(self) -> None:
        super().__init__("No app stores demand here. Add the forecasting app to INSTALLED_APPS and start again.")


class ContractUnusable(IntegrationError):
    """A contract's text breaks the format; ``findings`` name each key and its fix."""

    code = "contract_invalid"

    def __init__(self, problem: ContractInvalid, name: str = "") -> None:
        self.findings = problem.findings
        super().__init__(one_line(f"{name}: {problem}" if name else str(problem)))


class ContractOfAnotherTenant(IntegrationError):
    code = "contract_of_another_tenant"

    def __init__(self, contract_tenant: str, schema_name: str) -> None:
        self.contract_tenant, self.schema_name = contract_tenant, schema_name
        super().__init__(
            f"The contract is for tenant {contract_tenant!r}, not for {schema_name!r}. "
            f"Use that tenant's name, or write 'tenant: {schema_name.replace('_', '-')}' into the contract."
        )


class ContractAltered(IntegrationError):
    """A stored body no longer has the hash it was saved with."""

    code = "contract_altered"

    def __init__(self, label: str) -> None:
        super().__init__(f"The stored contract {label} was altered outside the application. Save it as a new version.")


class BreakingChangeUnconfirmed(IntegrationError):
    """A version breaks what the active one promised; ``changes`` say what, ``changes.digest`` confirms them."""

    code = "breaking_change_unconfirmed"

    def __init__(self, label: str, active_label: str, changes: ContractChanges) -> None:
        self.changes = changes
        listed = " ".join(f"{number}. {found.why}" for number, found in enumerate(changes.breaking_changes, 1))
        super().__init__(
            one_line(
                f"{label} breaks what {active_label} promised: {listed} "
                "If that is meant, confirm it: on the activation page, or with --confirm-breaking."
            )
        )


class SourceRefused(IntegrationError):
    """A source cannot be made or changed as asked."""

    code = "source_refused"

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.name, self.problems = name, tuple(problems)
        super().__init__(f"Source {name!r}: {' '.join(problems)}")


class SourceTypeDiffers(IntegrationError):
    code = "source_type_differs"

    def __init__(self, name: str, existing: str, wanted: str) -> None:
        self.name, self.existing, self.wanted = name, existing, wanted
        super().__init__(
            f"Source {name!r} is of type {existing}, the contract says {wanted}. "
            "Correct source_type, or name another source."
        )


class ContractOfAnotherSource(IntegrationError):
    code = "contract_of_another_source"

    def __init__(self, contract_source: str, name: str) -> None:
        self.contract_source, self.name = contract_source, name
        super().__init__(
            f"The contract is for source {contract_source!r}, not for {name!r}. Save it under that source."
        )


class SourcePaused(IntegrationError):
    code = "source_paused"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Source {name!r} is paused and takes no files. Resume it first.")


class TenantSuspended(IntegrationError):
    code = "tenant_suspended"

    def __init__(self, schema_name: str, reason: str) -> None:
        self.schema_name, self.reason = schema_name, reason
        why = f" ({reason})" if reason else ""
        super().__init__(f"Tenant {schema_name!r} is suspended{why}. A platform operator has to activate it first.")


class FilesMissing(IntegrationError):
    """No file fits a role that the contract needs."""

    code = "files_missing"

    def __init__(self, role: str, patterns: Mapping[str, str], folder: Path, found: Sequence[str]) -> None:
        self.role, self.patterns, self.folder, self.found = role, dict(patterns), folder, tuple(found)
        wanted = ", ".join(f"{name} {pattern!r}" for name, pattern in patterns.items())
        there = ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "")
        super().__init__(
            f"No {role} file in {folder}. The contract looks for {wanted}; the folder holds {there or 'no files'}. "
            "Rename the file, or correct the pattern."
        )


class FileUnusable(IntegrationError):
    """A file is not there, is no file, or may not be read."""

    code = "file_unusable"

    def __init__(self, path: Path | str, problem: str, fix: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} {problem}. {fix}")


class FileFitsSeveralRoles(IntegrationError):
    code = "file_fits_several_roles"

    def __init__(self, name: str, roles: Sequence[str]) -> None:
        self.name, self.roles = name, tuple(roles)
        super().__init__(
            f"{name} fits the patterns of {' and '.join(roles)} alike. "
            "Make the patterns under the contract's files distinct."
        )


class FileChangedWhileRead(IntegrationError):
    code = "file_changed"
    exit_status = 1

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} changed while it was read; nothing was loaded. Send it again when it is complete.")


class TooManyUnits(IntegrationError):
    """The quantities add up to more than the database keeps."""

    code = "too_many_units"
    exit_status = 1

    def __init__(self, units: float) -> None:
        self.units = units
        super().__init__(
            f"The file adds up to {units:.3g} units, which cannot be sales. Nothing was loaded. "
            "Check which column is the quantity, and its unit."
        )


class OnboardingEnded(IntegrationError):
    """The run ended without a verdict: somebody cancelled it, or it was called lost."""

    code = "onboarding_ended"
    exit_status = 1

    def __init__(self, label: str, state: str) -> None:
        self.state = state
        super().__init__(f"{label} is {state}; nothing was loaded by it. Start it again.")


class BatchRefused(IntegrationError):
    """The data did not pass: the batch and its rejected rows are kept, nothing was loaded."""

    code = "batch_refused"
    exit_status = 1

    def __init__(self, report: Mapping[str, Any], *, batch_id: int | None) -> None:
        self.report, self.batch_id = report, batch_id
        errors = [found for found in report["findings"] if found["severity"] == "error"]
        first = f"{errors[0]['message']} {errors[0]['fix']}" if errors else "See the report."
        more = f" And {len(errors) - 1} more errors in the report." if len(errors) > 1 else ""
        verdict = str(report["verdict"]).replace("_", " ")
        super().__init__(one_line(f"Verdict: {verdict}. Nothing was loaded. {first}{more}"))
