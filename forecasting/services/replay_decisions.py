"""A person's decision in an interactive replay: the same rules as for a live promotion, and nothing live changes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction

from forecasting.errors import WrongRequest
from forecasting.errors_promotion import DecisionCodeUnknown
from forecasting.errors_replay import OrderEditWrong, OwnReplay, ReplayQuestionClosed, ReplayQuestionUnknown
from forecasting.models import OrderCode, Replay, ReplayDecision, ReplayDecisionState, ReplayState
from forecasting.models.promotion import APPROVAL_CODES, REJECTION_CODES
from forecasting.models.replay import ReplayQuestion
from forecasting.services.decision_clock import decision_time
from forecasting.services.policy import clean_reason
from forecasting.services.replay_request import live_run, locked, queue
from ledger.services.audit import actor_name, record
from tenants.errors import RoleRequired
from tenants.roles import Role, require_role


@transaction.atomic
def decide_in_replay(
    *,
    decision_id: int,
    actor: AbstractBaseUser | None,
    verdict: str,
    code: str,
    reason: str,
    edits: Mapping[str, float] | None = None,
) -> ReplayDecision:
    """Answer a replay's question; the walk goes on from where it waits.

    verdict: approved, rejected or, for orders, edited with ``edits`` (series -> units; series not named stay as
    proposed). Needs an active reviewer other than who started the replay. Raises RoleRequired, OwnReplay,
    ReasonMissing, DecisionCodeUnknown, OrderEditWrong, WrongRequest, ReplayQuestionUnknown, ReplayQuestionClosed.
    """
    reviewer = User.objects.filter(pk=actor.pk, is_active=True).first() if actor is not None else None
    if reviewer is None:
        raise RoleRequired(actor_name(actor), (Role.REVIEWER.value,))
    require_role(reviewer, Role.REVIEWER)
    replay, row = _locked(decision_id)
    if reviewer.pk == row.asked_by_id or reviewer.get_username().casefold() == row.asked_by_name.casefold():
        raise OwnReplay(reviewer.get_username(), row.replay_id)
    said = clean_reason(reason, "decide in this replay")
    changed = _checked(row, verdict, code, edits or {})
    if row.state != ReplayDecisionState.PENDING or replay.state not in (ReplayState.WAITING, ReplayState.RUNNING):
        raise ReplayQuestionClosed(row.pk, row.get_state_display().lower(), row.decided_by_name)
    row.state, row.code, row.reason, row.edits = verdict, code, said, changed
    row.decided_by, row.decided_by_name, row.decided_at = reviewer, reviewer.get_username(), decision_time()
    row.save()
    facts = {"replay": replay.pk, "kind": row.kind, "day": row.day, "verdict": verdict, "code": code, "reason": said}
    record(event="replay.decided", actor=reviewer, subject=row, data={**facts, "edits": changed})
    _go_on(replay)
    return row


def _go_on(replay: Replay) -> None:
    """Queue the rest of the locked replay, unless a run is still there for it: the one that asked, about to end, hands
    over when it does; one that is at work again finds the answer by itself."""
    if replay.state != ReplayState.WAITING:
        return
    replay.state = ReplayState.QUEUED
    replay.save(update_fields=["state"])
    if live_run(replay) is None:
        queue(replay, replay.created_by)


def codes_for(kind: str, verdict: str) -> tuple[str, ...]:
    """The codes that a verdict on such a question may rest on."""
    if kind == ReplayQuestion.ORDERS:
        return tuple(str(code) for code in OrderCode)
    known = APPROVAL_CODES if verdict == ReplayDecisionState.APPROVED else REJECTION_CODES
    return tuple(str(code) for code in known)


def _locked(decision_id: int) -> tuple[Replay, ReplayDecision]:
    """The replay and its question under lock, in the order in which a run that asks and a cancellation lock them."""
    replay_id = ReplayDecision.objects.filter(pk=decision_id).values_list("replay_id", flat=True).first()
    if replay_id is None:
        raise ReplayQuestionUnknown(decision_id)
    replay = locked(replay_id)
    row = ReplayDecision.objects.select_for_update(of=("self",)).get(pk=decision_id)
    row.replay = replay
    return replay, row


def _checked(row: ReplayDecision, verdict: str, code: str, edits: Mapping[str, float]) -> dict[str, float]:
    """The edits as numbers, where verdict, code and every amount make sense."""
    possible = {ReplayDecisionState.APPROVED, ReplayDecisionState.REJECTED}
    if row.kind == ReplayQuestion.ORDERS:
        possible.add(ReplayDecisionState.EDITED)
    if verdict not in possible:
        raise WrongRequest(f"This question is answered with {', '.join(sorted(possible))}; not {verdict!r}.")
    if code not in codes_for(row.kind, verdict):
        raise DecisionCodeUnknown(code, codes_for(row.kind, verdict))
    if verdict != ReplayDecisionState.EDITED:
        return {}
    asked = {line["series"] for line in row.question["lines"]}
    for series, amount in edits.items():
        if series not in asked:
            raise OrderEditWrong(series, "was not asked about; only the lines shown can be changed")
        if not (math.isfinite(amount) and 0 <= amount <= 1e9):
            raise OrderEditWrong(series, f"cannot be {amount}: give units, 0 or more")
    if not edits:
        raise WrongRequest("Change at least one line, or approve the orders as they are proposed.")
    return {series: float(amount) for series, amount in sorted(edits.items())}
