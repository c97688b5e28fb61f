"""Who decides: questions, decisions with reason codes, and the three reviewers.

A question is bound to the hash of what it shows; a decision answers that hash and no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from forecasting.engine.replay.config import Hitl, ReplayConfig
from forecasting.engine.replay.orders import HIGH, LOW, QUIET
from forecasting.engine.types import canonical_json, sha256_text

PROMOTION, ORDERS = "promotion", "orders"
APPROVE, REJECT, EDIT = "approve", "reject", "edit"
POLICY_NAME, NOBODY = "policy", "nobody"
_BESIDE = frozenset({"kind", "day", "question"})
"""What the file of decisions says beside each of them."""


@dataclass(frozen=True)
class Question:
    """One thing to decide on a day. body: what the reviewer is shown, as JSON values."""

    kind: str
    day: date
    body: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Names the question within a replay."""
        return f"{self.kind}:{self.day.isoformat()}"

    @property
    def sha256(self) -> str:
        """Hash of what is shown."""
        return sha256_text(canonical_json([self.kind, self.day.isoformat(), self.body]))


@dataclass(frozen=True)
class Decision:
    """The answer. code: what it rests on; rule: which rule of the policy said so ("" for a person). edits: of orders,
    series name -> quantity in units (0 rejects the line)."""

    key: str
    question_sha256: str
    verdict: str
    code: str
    reason: str
    by: str
    rule: str = ""
    edits: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Inverse of `to_json`. Raises ValueError where it is no decision."""
        try:
            own = {key: value for key, value in data.items() if key not in _BESIDE}
            made = cls(**{**own, "edits": {str(k): float(v) for k, v in dict(data.get("edits") or {}).items()}})
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"this is no decision: {error}") from error
        if made.verdict not in {APPROVE, REJECT, EDIT} or not made.code or not str(made.reason).strip():
            raise ValueError(
                f"the decision on {made.key} needs a verdict ({APPROVE}, {EDIT}, {REJECT}), code and reason"
            )
        if any(not 0 <= amount < float("inf") for amount in made.edits.values()):
            raise ValueError(f"the decision on {made.key} orders an amount that is negative or not finite")
        return made


class Paused(Exception):  # no error: the walk waits for a person
    """A person has to decide before the walk goes on."""

    def __init__(self, question: Question) -> None:
        self.question = question
        super().__init__(f"{question.key} waits for a decision")


@dataclass(frozen=True)
class Reviewer:
    """Answers questions as the replay's mode says. given: decisions by key, taken earlier or by people meanwhile."""

    config: ReplayConfig
    given: Mapping[str, Decision] = field(default_factory=dict)

    def decide(self, question: Question) -> Decision:
        """The decision. Raises Paused where a person has not answered yet.

        Recorded decisions fail closed: one that is missing, or was taken on other evidence, promotes nothing; orders
        then go out as proposed.
        """
        if self.config.hitl == Hitl.POLICY:
            return by_policy(question, self.config)
        known = self.given.get(question.key)
        if known is not None and known.question_sha256 == question.sha256:
            return known
        if self.config.hitl == Hitl.INTERACTIVE:
            raise Paused(question)
        code, why = ("not_recorded", "No decision was recorded for this day.")
        if known is not None:
            code, why = ("evidence_changed", "The recorded decision was taken on other evidence.")
        verdict = REJECT if question.kind == PROMOTION else APPROVE
        return Decision(question.key, question.sha256, verdict, code, why, NOBODY, "recorded")


def by_policy(question: Question, config: ReplayConfig) -> Decision:
    """The deterministic reviewer: the first of its named rules that applies decides."""
    return _promotion(question, config) if question.kind == PROMOTION else _orders(question)


def _promotion(question: Question, config: ReplayConfig) -> Decision:
    """Rules in order: R1 rest, R2 data, R3 store, R4 first, R5 evidence, R6 cost."""
    body, rules = question.body, config.review

    def said(rule: str, verdict: str, code: str, reason: str) -> Decision:
        return Decision(question.key, question.sha256, verdict, code, reason, POLICY_NAME, rule)

    since = body.get("days_since_promotion")
    if since is not None and since < rules.rest_days:
        return said("R1_rest", REJECT, "timing", f"The last promotion was {since} day(s) ago; {rules.rest_days} rest.")
    drifted = body.get("input_drift") or []
    if drifted:
        names = ", ".join(sorted(one["column"] for one in drifted))
        return said("R2_data", REJECT, "data_doubt", f"The inputs drifted ({names}): what was judged may not last.")
    worst = body.get("worst_store")
    if worst is not None and worst["rise"] > rules.max_store_rise:
        told = f"Cost of {worst['store']} would rise by {worst['rise']:.1%}, more than {rules.max_store_rise:.0%}."
        return said("R3_store", REJECT, "risk", told)
    if body.get("champion") is None:
        return said("R4_first", APPROVE, "first_champion", "It beats seasonal naive, and nothing else serves.")
    sure = body.get("p_lower")
    if sure is None or sure < rules.min_p_lower:
        told = "not known" if sure is None else f"{sure:.3f}"
        return said("R5_evidence", REJECT, "weak_evidence", f"P(cost lower) is {told}, below {rules.min_p_lower:g}.")
    return said("R6_cost", APPROVE, "lower_cost", f"Lower cost with probability {sure:.3f}, every gate passed.")


_ORDER_RULES = {
    QUIET: ("O1_quiet", "no_demand", "ends the line: nothing was sold for weeks"),
    HIGH: ("O2_high", "above_history", "cut to the most that was sold in as many days"),
    LOW: ("O3_low", "below_history", "raised to the least that was sold in as many days"),
}


def _orders(question: Question) -> Decision:
    """Rules a line: O1 rejects what does not sell any more, O2 cuts, O3 raises."""
    edits, used = {}, []
    for line in question.body["lines"]:
        rule, _, _ = _ORDER_RULES[line["why"]]
        used.append(rule)
        if line["why"] == QUIET:
            edits[line["series"]] = 0.0
        else:
            bound = line["largest"] if line["why"] == HIGH else line["least"]
            edits[line["series"]] = round(max(bound - line["position"], 0.0), 3)
    names = sorted(set(used))
    told = "; ".join(f"{used.count(rule)} × {rule}: {text}" for rule, _, text in _ORDER_RULES.values() if rule in names)
    codes = [code for rule, code, _ in _ORDER_RULES.values() if rule in names]
    return Decision(question.key, question.sha256, EDIT, codes[0], told, POLICY_NAME, "+".join(names), edits)


def by_key(decisions: Sequence[Mapping[str, Any]]) -> dict[str, Decision]:
    """Decisions of a file by the question they answer. Raises ValueError."""
    return {one.key: one for one in map(Decision.from_json, decisions)}
