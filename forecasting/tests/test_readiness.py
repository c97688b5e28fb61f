"""Readiness: a ladder that is walked step by step, each step recorded with its facts; and its page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from forecasting.engine.gates import READINESS_ORDER
from forecasting.models import Demand
from forecasting.services.readiness import (
    CHANGED,
    READINESS_TRANSITIONS,
    Readiness,
    keep_readiness,
    readiness_now,
    review_readiness,
    steps_between,
)
from forecasting.tests.factories import make_candidate, make_demand, make_person
from integrations.incidents import all_watches
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Heartbeat, Tenant
from tenants.roles import Role

PAGE = "admin:forecasting_gatepolicy_readiness"


def kept() -> str:
    return Heartbeat.objects.get(schema_name="alpha").readiness


def steps() -> list[tuple[str, str]]:
    events = AuditEvent.objects.filter(event=CHANGED).order_by("sequence")
    return [(event.data["from"], event.data["to"]) for event in events]


@given(before=st.sampled_from(READINESS_ORDER), after=st.sampled_from(READINESS_ORDER))
def test_steps__between_any_two__are_transitions_of_the_table(before: str, after: str) -> None:
    path = steps_between(before, after)
    for step in path:
        assert step in READINESS_TRANSITIONS[before]
        before = step
    assert before == after


def test_review__much_at_once_and_then_less__walks_up_and_down_with_a_snapshot_each(alpha: Tenant) -> None:
    make_demand(days=120)
    make_candidate()
    assert review_readiness(actor=None) == ["warming", "production_tier_candidate"]
    assert review_readiness(actor=None) == [] and kept() == "production_tier_candidate"
    Demand.objects.all().delete()
    assert review_readiness(actor=None) == ["warming", "cold_start"]
    assert steps() == [
        ("cold_start", "warming"), ("warming", "production_tier_candidate"),
        ("production_tier_candidate", "warming"), ("warming", "cold_start"),
    ]  # fmt: skip
    first = AuditEvent.objects.filter(event=CHANGED).earliest("sequence").data
    assert first["found"] == "production_tier_candidate" and first["facts"]["history_days"] == 120


def test_watch__hourly__keeps_the_readiness(alpha: Tenant) -> None:
    make_demand(days=10)
    dict(all_watches())["tier"]()
    assert kept() == "warming" and readiness_now().missing[0] == "10 days of history, needs 90"


def test_keep__a_state_that_is_none__is_refused_and_changes_nothing(alpha: Tenant) -> None:
    with pytest.raises(ValueError, match="ready"):
        keep_readiness(Readiness("ready", {}, ()))
    assert steps() == []


def test_page__looks_without_keeping_and_assesses_by_post(alpha: Tenant, client_of: Callable[..., Client]) -> None:
    make_demand(days=60)
    client = client_of("alpha", make_person("ann", Role.ANALYST))
    text = client.get(reverse(PAGE)).content.decode()
    assert "Assessed at this moment it would be" in text and "It has stood here from the beginning" in text
    assert steps() == []
    text = client.post(reverse(PAGE), follow=True).content.decode()
    assert steps() == [("cold_start", "warming")] and "90 days of history (60 so far)" in text
    assert AuditEvent.objects.get(event=CHANGED).data["facts"]["stores"] == 2 and "60 days, 2 stores" in text


def test_page__viewer__sees_it_and_may_not_assess(alpha: Tenant, client_of: Callable[..., Client]) -> None:
    vera = make_person("vera", Role.VIEWER)
    client = client_of("alpha", vera)
    assert "Assess now" not in client.get(reverse(PAGE)).content.decode()
    with pytest.raises(RoleRequired):
        review_readiness(actor=vera)
    make_demand(days=60)
    client.post(reverse(PAGE))
    assert steps() == []
