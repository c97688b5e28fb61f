"""Who serves after a training: each lane by its own rule; the governed one by the reviewer's word."""

from __future__ import annotations

from datetime import date
from typing import Any

from forecasting.engine.gates import ELIGIBLE
from forecasting.engine.replay.config import ReplayConfig
from forecasting.engine.replay.lanes import ALWAYS, GATES, GOVERNED, NAIVE, NEVER, UNREVIEWED, Lane
from forecasting.engine.replay.offering import facts_of
from forecasting.engine.replay.review import APPROVE, PROMOTION, Decision, Question
from forecasting.engine.replay.state import State


def promotion_question(state: State, config: ReplayConfig) -> Question | None:
    """What the reviewer is asked after this training; None where the gates let nothing pass, or nothing new came."""
    offer = state.offer or {}
    shown = offer.get("gates", {}).get(GOVERNED)
    if shown is None or shown["verdict"] != ELIGIBLE:
        return None
    since = None if state.promoted_step is None else (state.step - state.promoted_step) * config.step_days
    day: date = config.day(state.step)
    body = {**shown, "triggers": list(state.triggers), "input_drift": list(state.input_drift),
            "days_since_promotion": since}  # fmt: skip
    return Question(PROMOTION, day, body)


def apply_offer(state: State, config: ReplayConfig, question: Question | None, decision: Decision | None) -> None:
    """Let every lane serve what its rule says, and write down what was decided and why."""
    offer: dict[str, Any] = state.offer or {}
    day = config.day(state.step).isoformat()
    approved = decision is not None and decision.verdict == APPROVE
    before = state.lanes[GOVERNED].facts.get("sha")
    outcomes = {
        GOVERNED: _governed(state.lanes[GOVERNED], offer, day, approved),
        GATES: _governed(state.lanes[GATES], offer, day, offer["gates"].get(GATES, {}).get("verdict") == ELIGIBLE),
    }
    always, never = state.lanes[ALWAYS], state.lanes[NEVER]
    outcomes[ALWAYS] = _promote(always, offer, day)
    outcomes[NEVER] = "held" if never.model else _promote(never, offer, day)
    _floor(state.lanes[NAIVE], offer, day)
    governed, same = state.lanes[GOVERNED], state.lanes[UNREVIEWED]
    same.model, same.facts = governed.model, dict(governed.facts)
    same.sums |= {name: governed.sums[name] for name in ("promotions", "refreshes")}
    if governed.facts.get("sha") != before:  # a refit of what was approved is still held to what it promised
        state.watched = []
    told = offer["refreshes"].get(GOVERNED, {}).get("why", "")
    state.line["decision"] = {
        "outcome": outcomes[GOVERNED], "promoted": outcomes[GOVERNED] == "promoted", "lanes": outcomes,
        "asked": question is not None, "guard": told,
        **({"verdict": decision.verdict, "code": decision.code, "rule": decision.rule, "by": decision.by,
            "reason": decision.reason} if decision is not None else {}),
    }  # fmt: skip
    if question is not None and decision is not None:
        state.decisions.append({**decision.to_json(), "kind": question.kind, "day": day, "question": question.body})


def _governed(lane: Lane, offer: dict[str, Any], day: str, approved: bool) -> str:
    """Promote what was approved; else refresh what serves where the guard holds, or leave it as it is."""
    if approved:
        return _promote(lane, offer, day)
    refresh = offer["refreshes"].get(lane.name)
    if refresh is not None and refresh["holds"]:
        lane.model = refresh["model"]
        lane.facts = facts_of(refresh, day, approved=lane.facts, lane=lane)
        lane.sums["refreshes"] += 1
        return "refreshed"
    if not lane.model or lane.facts.get("floor"):
        _floor(lane, offer, day)
        return "floor"
    return "held"


def _promote(lane: Lane, offer: dict[str, Any], day: str) -> str:
    lane.model = offer["model"]
    lane.facts = facts_of(offer, day)
    lane.sums["promotions"] += 1
    return "promoted"


def _floor(lane: Lane, offer: dict[str, Any], day: str) -> None:
    lane.model = offer["floor"]["model"]
    lane.facts = facts_of(offer["floor"], day, floor=True, lane=lane)
