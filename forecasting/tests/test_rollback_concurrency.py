"""Rollbacks that meet others: real connections, really committed. One wins; the other is told what serves now."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings

from forecasting import selectors
from forecasting.errors_rollback import ChampionMoved
from forecasting.models import ChampionAssignment, ForecastSet, PromotionRequest
from forecasting.services import champions
from forecasting.services.rollback import rollback_champion
from forecasting.tests.concurrently import Act, together, while_uncommitted
from forecasting.tests.factories import make_candidate, make_demand, make_pending_request, make_person, promote
from forecasting.tests.fitted import make_fitted
from forecasting.tests.test_promotion_concurrency import approve
from ledger.models import AuditEvent
from ledger.services.verify import verify_chain
from tenants.models import Tenant
from tenants.roles import Role


def back_to(number: int, expected: int | None = None) -> Act:
    person = make_person("rita", Role.REVIEWER)

    def act() -> Any:
        try:
            return rollback_champion(actor=person, reason="Errors doubled", version=number, expected=expected)
        except ChampionMoved as refused:
            return refused

    return act


def serving() -> int:
    found = selectors.current_champion()
    assert found is not None
    return found.version.number


def test_rollback__while_something_else_changes_the_champion__one_wins_and_the_other_is_told(
    throwaway: Tenant,
) -> None:
    make_demand(days=40)
    for seed in (1, 2, 3):
        promote(make_fitted(seed=seed))

    # Two at the same moment, from the same page.
    seen = ChampionAssignment.objects.get(to_at=None)
    results = together(throwaway, back_to(1, seen.pk), back_to(2, seen.pk))
    assert sorted(type(one).__name__ for one in results) == ["ChampionMoved", "Rollback"]
    assert serving() in (1, 2) and ChampionAssignment.objects.filter(kind="rollback").count() == 1

    # One after the other's work, before its commit: the second had verified its files for another champion.
    before = serving()
    results = while_uncommitted(throwaway, back_to(3), back_to(3 - before))
    assert isinstance(results[1], ChampionMoved) and results[1].now == "v3" and serving() == 3

    # A promotion is being applied.
    fresh = make_candidate(family="prophet")
    results = while_uncommitted(throwaway, approve(make_pending_request(fresh)), back_to(1))
    assert isinstance(results[1], ChampionMoved) and serving() == fresh.number

    # A refresh of the champion's spec is being applied.
    newer = make_candidate(family="prophet", mode="refresh")
    refresh = lambda: champions.assign(version=newer, kind="refresh")  # noqa: E731  # one of two acts
    results = while_uncommitted(throwaway, refresh, back_to(1))
    assert isinstance(results[1], ChampionMoved) and serving() == newer.number

    # An approval comes while a rollback is being applied: it was judged against what is displaced.
    request = make_pending_request(make_candidate(family="seasonal_naive"))
    while_uncommitted(throwaway, back_to(1), _refused(approve(request)))
    assert PromotionRequest.objects.get(pk=request.pk).state == "lapsed" and serving() == 1

    rows = list(ChampionAssignment.objects.order_by("from_at", "pk"))
    assert all(one.to_at == other.from_at for one, other in pairwise(rows))
    assert ChampionAssignment.objects.filter(to_at=None).count() == 1
    kept = AuditEvent.objects.filter(event="champion.rolled_back").count()
    assert kept == ChampionAssignment.objects.filter(kind="rollback").count() == 3
    assert ForecastSet.objects.get(version__number=1).published_at is not None
    assert verify_chain().intact
    shutil.rmtree(Path(settings.MEDIA_ROOT) / throwaway.schema_name, ignore_errors=True)


def _refused(act: Act) -> Act:
    """What the domain refuses is the result."""
    from ledger.errors import DomainError

    def run() -> Any:
        try:
            return act()
        except DomainError as error:
            return error

    return run
