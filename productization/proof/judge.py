"""What the rows and the capabilities are, by their evidence. Nobody can say more than it proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from productization.declared import Capability, Evidence
from productization.proof.evidence import Finding, Kind, State, Status
from productization.proof.verify import Ground, look_at


class Level(StrEnum):
    """How far a capability is."""

    PILOT_VALIDATED = "pilot_validated"
    IMPLEMENTED = "implemented"
    PARTIAL = "partial"
    BLOCKED = "blocked"


RANK = {Level.BLOCKED: 0, Level.PARTIAL: 1, Level.IMPLEMENTED: 2, Level.PILOT_VALIDATED: 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row's status with its reason, and what was found of each piece of its evidence."""

    code: str
    status: Status
    reason: str
    findings: tuple[tuple[Evidence, Finding], ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """A capability's level with its reason."""

    capability: Capability
    level: Level
    reason: str


class Judge:
    """Judges rows and capabilities on one ground; each piece is looked at once.

    held: row -> why a person blocked it. That is the only word of a person that counts. after: a judge on the same
    ground; what it looked at is not looked at again. known: verdicts that stand.
    """

    def __init__(
        self,
        ground: Ground,
        held: Mapping[str, str] | None = None,
        after: Judge | None = None,
        known: Mapping[str, Verdict] | None = None,
    ) -> None:
        self.ground = ground
        self.held = held or {}
        self._verdicts: dict[str, Verdict] = dict(known or {})
        self._under_way: list[str] = []
        self._seen: dict[str, Finding] = dict(after._seen) if after is not None else {}

    def verdict(self, code: str) -> Verdict:
        """What a declared row is; KeyError where there is none of that id."""
        if code not in self._verdicts:
            item = self.ground.declared.item(code)
            if item is None:
                raise KeyError(code)
            self._under_way.append(code)
            findings = tuple((piece, self.finding(piece)) for piece in item.evidence)
            self._under_way.pop()
            status, reason = _status(findings, self.held.get(code))
            self._verdicts[code] = Verdict(code, status, reason, findings)
        return self._verdicts[code]

    def finding(self, piece: Evidence) -> Finding:
        """What a look at one piece finds."""
        if piece.kind is Kind.ITEM:
            return self._link(piece.ref)
        key = piece.model_dump_json()
        if key not in self._seen:
            self._seen[key] = look_at(piece, self.ground)
        return self._seen[key]

    def standing(self, capability: Capability) -> Standing:
        """How far a capability is: its own evidence first, then the rows that prove it at work."""
        findings = [(piece, self.finding(piece)) for piece in capability.built]
        rows = [self.verdict(code) for code in capability.pilot if self.ground.declared.item(code) is not None]
        unknown = [code for code in capability.pilot if self.ground.declared.item(code) is None]
        stopped = [one.reason for _, one in findings if one.state is State.BLOCKED]
        stopped += [f"{row.code}: {row.reason}" for row in rows if row.status is Status.BLOCKED]
        lacking = [f"{piece.ref}: {one.reason}" for piece, one in findings if not one.holds]
        if stopped:
            return Standing(capability, Level.BLOCKED, " ".join(stopped))
        if lacking:
            held = len(findings) - len(lacking)
            return Standing(capability, Level.PARTIAL, f"{held} of {len(findings)} proven. {' '.join(lacking)}")
        waiting = [row.code for row in rows if row.status is not Status.DONE] + unknown
        if waiting or not rows:
            said = f"Not proven at work yet: {', '.join(waiting)}." if waiting else "No pilot is declared for it."
            return Standing(capability, Level.IMPLEMENTED, said)
        return Standing(capability, Level.PILOT_VALIDATED, f"Proven at work by {', '.join(row.code for row in rows)}.")

    def _link(self, code: str) -> Finding:
        if code in self._under_way:
            ring = [*self._under_way[self._under_way.index(code) :], code]
            return Finding(State.FAILED, f"The evidence goes round in a circle: {' → '.join(ring)}.")
        if self.ground.declared.item(code) is None:
            return Finding(State.MISSING, f"There is no item {code}.")
        linked = self.verdict(code)
        if linked.status is Status.DONE:
            return Finding(State.VERIFIED)
        state = State.BLOCKED if linked.status is Status.BLOCKED else State.FAILED
        return Finding(state, f"{code} is {linked.status.replace('_', ' ')}: {linked.reason}")


def _status(findings: tuple[tuple[Evidence, Finding], ...], held: str | None) -> tuple[Status, str]:
    if held is not None:
        return Status.BLOCKED, held
    if not findings:
        return Status.OPEN, "No evidence is declared."
    stopped = [finding.reason for _, finding in findings if finding.state is State.BLOCKED]
    lacking = {
        piece.ref: finding.reason
        for piece, finding in findings
        if not finding.holds and finding.state is not State.BLOCKED
    }
    if stopped:
        also = f" Besides, this does not hold: {', '.join(lacking)}." if lacking else ""
        return Status.BLOCKED, " ".join(stopped) + also
    if lacking:
        return Status.IN_PROGRESS, " ".join(f"{ref}: {reason}" for ref, reason in lacking.items())
    return Status.DONE, f"All {len(findings)} pieces of evidence hold."
