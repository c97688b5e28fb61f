"""``/api/v1/strategy/``: the newest cycle, its sweep and what was decided."""

from __future__ import annotations

from django_tenants.utils import schema_context

from forecasting.services.strategy_decisions import decide_strategy
from forecasting.tests.api_helpers import get, viewer_key
from forecasting.tests.factories import make_person
from forecasting.tests.strategy_sample import make_cycle
from tenants.models import Tenant
from tenants.roles import Role


def test_strategy__no_cycle__404_says_how_to_make_one(alpha: Tenant) -> None:
    answer = get("alpha", "/api/v1/strategy/", viewer_key())
    assert answer.status_code == 404 and "run_strategy_cycle" in answer.json()["detail"]


def test_strategy__cycles__newest_with_its_sweep_and_the_standing_decision(alpha: Tenant) -> None:
    make_cycle()
    cycle, key = make_cycle(), viewer_key()
    body = get("alpha", "/api/v1/strategy/", key).json()
    assert (body["cycle"], body["measure"], body["sentence"]) == (cycle.pk, "total_cost", cycle.sentence)
    assert body["decision"]["kind"] == "proposed" and len(body["decisions"]) == 1
    points = {point["key"]: point for point in body["points"]}
    wanted = {point["key"]: point for point in cycle.report["sweep"]["points"]}
    assert set(points) == set(wanted)
    for key_of_point, point in points.items():
        assert point["figures"] == wanted[key_of_point]["figures"]
        assert point["weights"] == wanted[key_of_point]["weights"]
    actor = make_person("ann", Role.ANALYST)
    decide_strategy(cycle_id=cycle.pk, point="single:prophet", actor=actor, reason="Holidays")
    body = get("alpha", "/api/v1/strategy/", key).json()
    assert (body["decision"]["kind"], body["decision"]["decided_by"]) == ("chosen", "ann")
    assert [one["kind"] for one in body["decisions"]] == ["chosen", "proposed"]


def test_strategy__no_prices__cost_is_null_with_its_reason(alpha: Tenant) -> None:
    make_cycle(price=None)
    body = get("alpha", "/api/v1/strategy/", viewer_key()).json()
    cost = body["points"][0]["figures"]["total_cost"]
    assert body["measure"] == "wape" and cost["value"] is None and "unit_price" in cost["reason"]


def test_strategy__of_another_tenant__is_not_shown(alpha: Tenant, beta_tenant: Tenant) -> None:
    key = viewer_key()
    with schema_context("beta"):
        make_cycle()
    assert get("alpha", "/api/v1/strategy/", key).status_code == 404
