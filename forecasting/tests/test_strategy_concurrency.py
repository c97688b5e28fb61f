"""Two people who decide on one strategy cycle at the same moment: real connections, really committed."""

from __future__ import annotations

from forecasting.errors_strategy import AlreadyDecided, DecidedMeanwhile
from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.services.strategy_decisions import decide_strategy, standing_decision
from forecasting.tests.concurrently import Act, together, while_uncommitted
from forecasting.tests.factories import make_person
from forecasting.tests.strategy_sample import make_cycle
from ledger.models import AuditEvent
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tenants.roles import Role


def decide(cycle: StrategyCycle, name: str, point: str, seen: int | None) -> Act:
    person = make_person(name, Role.ANALYST)
    return lambda: decide_strategy(cycle_id=cycle.pk, point=point, actor=person, reason=f"As {name} sees it", seen=seen)


def test_decisions__two_at_the_same_moment__nobody_is_overruled_unseen(throwaway: Tenant) -> None:
    cycle = make_cycle()
    proposal = cycle.decisions.get()
    ann, bob = "pair:lightgbm:prophet:0.7", "pair:lightgbm:prophet:0.3"
    assert proposal.point not in (ann, bob)

    results = together(
        throwaway, decide(cycle, "ann", ann, proposal.pk), decide(cycle, "bob", bob, proposal.pk)
    )  # whoever comes first, the other is told of it
    assert sorted(type(one).__name__ for one in results) == ["DecidedMeanwhile", "StrategyDecision"]
    made = next(one for one in results if isinstance(one, StrategyDecision))
    told = next(one for one in results if isinstance(one, DecidedMeanwhile))
    assert (told.standing, told.decided_by) == (made.pk, made.decided_by_name)
    assert StrategyDecision.objects.filter(cycle=cycle).count() == 2

    other = bob if made.point == ann else ann
    results = while_uncommitted(
        throwaway, decide(cycle, "ann", other, made.pk), decide(cycle, "bob", "pair:lightgbm:prophet:0.5", made.pk)
    )
    assert isinstance(results[1], DecidedMeanwhile) and standing_decision(cycle).point == other

    last = standing_decision(cycle)
    results = while_uncommitted(
        throwaway,
        decide(cycle, "ann", proposal.point, last.pk),
        decide(cycle, "bob", proposal.point, None),
    )  # the same decision, and one who looked at nothing
    assert isinstance(results[1], AlreadyDecided)
    rows = list(StrategyDecision.objects.filter(cycle=cycle).order_by("pk"))
    assert standing_decision(cycle) == rows[-1] and len(rows) == 4
    assert AuditEvent.objects.filter(event="strategy.decided").count() == 3
    assert not verify_chain().broken
