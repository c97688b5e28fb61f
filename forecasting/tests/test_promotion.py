"""Promotion: asked with evidence, decided by somebody else, lapsed when it no longer holds."""

from __future__ import annotations

from forecasting.models import ChampionAssignment, RequestState
from forecasting.tests.factories import make_candidate, make_pending_request, promote
from tenants.models import Tenant


def test_promotion__first_candidate__becomes_champion_and_publishes(alpha: Tenant) -> None:
    candidate = make_candidate()
    assignment = promote(candidate)
    assert assignment.version == candidate
    assert ChampionAssignment.objects.get(to_at=None).version == candidate
    assert candidate.forecast_sets.get().published_at is not None
    assert assignment.request is not None and assignment.request.state == RequestState.APPROVED


def test_promotion__second_candidate__displaces_the_first(alpha: Tenant) -> None:
    first, second = promote(), make_candidate(family="prophet")
    request = make_pending_request(second)
    assert request.champion == first.version
