"""Errors of the doors that files come in by: nothing was kept, and the message says what to send instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings

from integrations.errors import FileUnusable, IntegrationError


class FileTooLarge(FileUnusable):
    code = "file_too_large"

    def __init__(self, name: str) -> None:
        self.limit: int = settings.UPLOAD_MAX_BYTES
        super().__init__(
            name,
            f"is larger than the {self.limit / 2**20:,.0f} MiB that a file may have",
            "Split it by period and send the parts.",
        )


class FileEmpty(FileUnusable):
    code = "file_empty"

    def __init__(self, name: str) -> None:
        super().__init__(name, "is empty", "Export it again and check its size.")


class FileNameUnusable(FileUnusable):
    code = "file_name_unusable"


class UploadBroken(IntegrationError):
    """The bytes stopped before their end, or cannot be unpacked."""

    code = "upload_broken"

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name} {problem}; nothing of it was kept. Send it again.")


class NothingReceived(IntegrationError):
    code = "nothing_received"

    def __init__(self) -> None:
        super().__init__("No file was sent. Choose at least the file with the sales.")


class TooManyFiles(IntegrationError):
    code = "too_many_files"

    def __init__(self, count: int, limit: int) -> None:
        self.count, self.limit = count, limit
        super().__init__(f"{count} files are more than the {limit} that one delivery may have. Send them in parts.")


class FileFitsNoRole(IntegrationError):
    """No pattern of the contract fits a file's name, and nobody said what it is for."""

    code = "file_fits_no_role"

    def __init__(self, name: str, patterns: Mapping[str, str]) -> None:
        self.name, self.patterns = name, dict(patterns)
        wanted = ", ".join(f"{role} {pattern!r}" for role, pattern in patterns.items())
        super().__init__(
            f"{name} fits none of the contract's files ({wanted}). Say what the file is for, or rename it."
        )


class RoleNotInContract(IntegrationError):
    code = "role_not_in_contract"

    def __init__(self, role: str, known: Sequence[str]) -> None:
        self.role, self.known = role, tuple(known)
        super().__init__(
            f"The contract has no {role} file; it has {', '.join(known)}. Choose one of those, or change the contract."
        )


class SalesMissing(IntegrationError):
    """A delivery without a transactions file."""

    code = "sales_missing"

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        super().__init__(f"The file with the sales is missing (the contract calls it {pattern!r}). Send it along.")


class NoContractInForce(IntegrationError):
    code = "no_contract_in_force"

    def __init__(self, source: str) -> None:
        self.source = source
        super().__init__(f"Source {source!r} has no contract in force, so no file can be read. Activate one first.")


class IdempotencyConflict(IntegrationError):
    """The key came before with other files."""

    code = "idempotency_conflict"

    def __init__(self, key: str, delivery_id: int) -> None:
        self.key, self.delivery_id = key, delivery_id
        super().__init__(
            f"The idempotency key {key!r} was used for other files (delivery {delivery_id}). "
            "Use a new key for new files; the same key repeats the same files only."
        )


class IdempotencyKeyUnusable(IntegrationError):
    code = "idempotency_key_unusable"

    def __init__(self) -> None:
        super().__init__("An idempotency key has 1 to 200 printable characters.")


class DeliveryClosed(IntegrationError):
    code = "delivery_closed"

    def __init__(self, label: str, state: str) -> None:
        self.state = state
        super().__init__(f"{label} is {state.lower()}: nothing more happens with it. Send the files again.")


class DeliveryHeld(IntegrationError):
    """Somebody has to decide before these files are read; they are kept meanwhile. No failure of the run."""

    code = "delivery_held"
    exit_status = 1

    def __init__(self, delivery_id: int, reason: str) -> None:
        self.delivery_id, self.reason = delivery_id, reason
        super().__init__(reason)


class BytesGone(IntegrationError):
    """The files are not kept any more."""

    code = "bytes_gone"

    def __init__(self, label: str) -> None:
        super().__init__(f"The files of {label} are not kept any more. Send them again.")


class ReasonMissing(IntegrationError):
    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__("Say why: the reason is kept.")
