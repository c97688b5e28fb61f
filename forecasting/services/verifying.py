"""Are a version's files still what was registered? Every byte is read again; nothing is loaded or run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from forecasting import selectors
from forecasting.errors import ArtifactCorrupt
from forecasting.models import ModelVersion
from forecasting.services import alarms
from forecasting.services.artifacts import stored_state
from ledger.context import RunContext
from ledger.services.audit import record
from tenants.roles import Role, require_role


@dataclass(frozen=True)
class FileCheck:
    """One file: what the registry says, and what lies in the storage ("no file", or why it could not be read)."""

    role: str
    name: str
    expected: str
    found: str
    bytes: int

    @property
    def good(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.found

    @property
    def unread(self) -> bool:
        """Whether the storage did not give it out: then nobody knows what it holds."""
        return self.found.startswith("could not be read")

    @property
    def words(self) -> str:
        """What was found, for a person."""
        if self.good:
            return f"{self.bytes:,} bytes read again; the hash is the registered one"
        if len(self.found) == len(self.expected) and " " not in self.found:
            return f"changed: {self.bytes:,} bytes with the hash {self.found[:16]}…"
        return self.found


def verify_artifacts(*, version: ModelVersion, actor: AbstractBaseUser | None) -> list[FileCheck]:
    """Read every file of a version again and hold it against its registered hash; what was found is recorded.

    A file that is missing or changed is an incident, as it is when it would be loaded. Needs analyst, reviewer or
    tenant_admin, or None for the system (a large model takes a while to read). A version without files gives an empty
    list. Raises ``RoleRequired``.
    """
    if actor is not None:
        require_role(actor, Role.ANALYST, Role.REVIEWER, Role.TENANT_ADMIN)
    checks = []
    for row in version.artifacts.order_by("role", "name"):
        found, size = stored_state(row)
        checks.append(FileCheck(row.role, row.name, row.sha256, found, size))
    bad = [asdict(check) for check in checks if not check.good]
    with transaction.atomic():
        record(
            event="artifacts.verified",
            actor=actor,
            subject=version,
            data={"version": version.number, "files": len(checks), "good": bool(checks) and not bad, "bad": bad},
        )
        corrupt = next((check for check in checks if not check.good and not check.unread), None)
        if corrupt is not None:
            alarms.artifact_corrupt(
                ArtifactCorrupt(version.number, corrupt.role, corrupt.name, corrupt.expected, corrupt.found)
            )
    return checks


def verify_champion(*, ctx: RunContext) -> dict[str, Any]:
    """The job: verify what serves. A damaged file is an incident; the run succeeds, as it found what it looked for."""
    champion = selectors.current_champion()
    if champion is None:
        return {"version": None, "files": 0, "bad": 0}
    ctx.progress(0, 1, f"Reading the files of {champion.version.label}")
    checks = verify_artifacts(version=champion.version, actor=None)
    return {"version": champion.version.number, "files": len(checks), "bad": sum(not check.good for check in checks)}
