"""What people decide on a strategy cycle. A decision changes nothing that serves: training, gates and a reviewer do."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.errors_strategy import AlreadyDecided, CycleUnknown, DecidedMeanwhile, PointUnknown
from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.models.strategy import DecisionKind
from forecasting.services.chain import start_chain
from forecasting.services.policy import clean_reason
from ledger.models import Run
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role


@transaction.atomic
def decide_strategy(
    *, cycle_id: int, point: str, actor: AbstractBaseUser | None, reason: str, seen: int | None = None
) -> StrategyDecision:
    """Accept what a cycle proposed, or choose another point of its sweep. A person decides: analyst or tenant_admin.

    seen: the decision that stood when the person looked (the proposal counts as one); a newer one is not overruled
    unseen. Raises RoleRequired, ReasonMissing, CycleUnknown, PointUnknown, AlreadyDecided, DecidedMeanwhile.
    """
    require_role(actor, Role.ANALYST, Role.TENANT_ADMIN)
    reason = clean_reason(reason, "decide on this cycle")
    cycle = StrategyCycle.objects.select_for_update().filter(pk=cycle_id).first()
    if cycle is None:
        raise CycleUnknown(cycle_id)
    proposal = cycle.decisions.get(kind=DecisionKind.PROPOSED)
    spec = spec_of_point(cycle, proposal, point)
    standing = cycle.decisions.exclude(kind=DecisionKind.PROPOSED).order_by("-pk").first()
    if standing is not None and standing.point == point:
        raise AlreadyDecided(cycle.pk, standing.spec_label, standing.decided_by_name)
    if seen is not None and standing is not None and standing.pk != seen:
        raise DecidedMeanwhile(cycle.pk, standing.pk, standing.spec_label, standing.decided_by_name)
    decision = StrategyDecision.objects.create(
        cycle=cycle,
        kind=DecisionKind.ACCEPTED if point == proposal.point else DecisionKind.CHOSEN,
        point=point,
        mode=spec.mode,
        spec_label=spec.label,
        spec=spec.to_json(),
        spec_sha256=spec.sha256,
        reason=reason,
        decided_by_id=actor.pk if actor is not None else None,
        decided_by_name=actor_name(actor),
    )
    record(
        event="strategy.decided",
        actor=actor,
        subject=cycle,
        data={
            "decision": decision.pk,
            "kind": str(decision.kind),
            "point": point,
            "mode": decision.mode,
            "spec_label": decision.spec_label,
            "spec_sha256": decision.spec_sha256,
            "proposed": proposal.point,
            "reason": reason,
        },
    )
    return decision


def train_decided(*, cycle_id: int, actor: AbstractBaseUser | None, reason: str, seen: int | None = None) -> Run:
    """Queue a training chain of exactly the spec of the standing decision (before anybody decided, of the proposal):
    its families, weights and parameters, fitted on the newest data. Gates and a reviewer decide whether it serves.

    seen: the decision that stood when the person looked; another one is not trained unseen. Raises CycleUnknown,
    ReasonMissing, DecidedMeanwhile, and the errors of `chain.start_chain`.
    """
    reason = clean_reason(reason, "train what was decided")
    decision = decided_in(cycle_id)
    if seen is not None and decision.pk != seen:
        raise DecidedMeanwhile(
            cycle_id, decision.pk, decision.spec_label, decision.decided_by_name, "that is what is to be trained"
        )
    label = f"Strategy cycle {cycle_id}, {decision.spec_label}"
    return start_chain(actor=actor, decision=decision.pk, reason=f"{label}: {reason}")


def decided_in(cycle_id: int) -> StrategyDecision:
    """The standing decision of a cycle; raises CycleUnknown."""
    cycle = StrategyCycle.objects.filter(pk=cycle_id).defer("report").first()
    if cycle is None:
        raise CycleUnknown(cycle_id)
    return standing_decision(cycle)


def standing_decision(cycle: StrategyCycle) -> StrategyDecision:
    """The last word of a person on a cycle; the proposal where nobody has decided.

    Decisions follow one another under the cycle's lock, so their keys tell the order; clocks of two hosts may not.
    """
    return max(cycle.decisions.all(), key=lambda one: (one.kind != DecisionKind.PROPOSED, one.pk))


def decision_record(cycle: StrategyCycle) -> dict[str, Any]:
    """What a cycle was made from and what it came to, as JSON values: run, data, files with hashes, every decision."""
    return {
        "cycle": cycle.pk,
        "run": str(cycle.run_id),
        "made": cycle.created_at.isoformat(timespec="seconds"),
        "as_of": cycle.as_of.isoformat(),
        "train_end": cycle.window["train_end"],
        "fingerprint": cycle.fingerprint,
        "report_sha256": cycle.report_sha256,
        "files": {file["name"]: file["sha256"] for file in cycle.files},
        "decisions": [
            {
                "kind": str(one.kind),
                "point": one.point,
                "mode": one.mode,
                "spec_label": one.spec_label,
                "spec_sha256": one.spec_sha256,
                "reason": one.reason,
                "decided_by": one.decided_by_name,
                "decided": one.created_at.isoformat(timespec="seconds"),
            }
            for one in cycle.decisions.all()
        ],
    }


def spec_of_point(cycle: StrategyCycle, proposal: StrategyDecision, key: str) -> EngineSpec:
    """The spec that a point of the sweep stands for; raises PointUnknown."""
    for point in cycle.report["sweep"]["points"]:
        if point["key"] == key:
            body = {**proposal.spec, "families": point["families"], "weights": point["weights"]}
            return EngineSpec.from_json(body)
    raise PointUnknown(cycle.pk, key)
