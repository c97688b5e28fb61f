"""The gate policy: validated, versioned, changed with a reason."""

from __future__ import annotations

from dataclasses import fields

import pytest
from django.db import IntegrityError, transaction

from forecasting.engine.business import BusinessPolicy
from forecasting.engine.gates import GatePolicyBody
from forecasting.errors import PolicyInvalid, ReasonMissing
from forecasting.models import GatePolicy, RequestState
from forecasting.services.policy import GateThresholds, PolicyBody, active_policy, body_of, change_policy, parse_body
from forecasting.tests.factories import make_pending_request, make_person
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role

DESIGN = {
    "min_origins": 4, "min_series_origins": 30, "min_holdout_days": 14, "holdout_access_budget": 1, "min_fva": 0.0,
    "max_wape_ratio": 1.02, "max_wrmsse_ratio": 1.02, "bias_tolerance": 0.01, "coverage80_target": 0.80,
    "coverage80_tolerance": 0.05, "max_winkler_ratio": 1.02, "stockout_rate_tolerance": 0.005,
    "overstock_rate_tolerance": 0.005, "max_cost_ratio": 1.005, "max_total_cost_ratio": 0.99,
    "max_total_cost_ratio_with_fewer_stockouts": 1.005, "min_p_lower": 0.80, "max_upper95_change": 0.01,
    "bootstrap_resamples": 2000, "max_slo_critical": 0, "max_open_sev1": 0,
    "min_readiness": "production_tier_candidate",
}  # fmt: skip


@pytest.fixture
def admin(alpha: Tenant):
    return make_person("admin", Role.TENANT_ADMIN)


def test_policy__first_use__has_the_defaults_of_the_design(alpha: Tenant) -> None:
    policy = active_policy()
    assert (policy.version, policy.created_by_name) == (1, "system")
    assert policy.body["gates"] == {**DESIGN, "bootstrap_seed": GatePolicyBody.bootstrap_seed}
    assert (policy.body["request_valid_days"], policy.body["refresh_mode"]) == (7, "automatic")
    assert policy.body["readiness"]["min_history_days"] == 90
    assert active_policy() == policy and GatePolicy.objects.count() == 1
    assert body_of(policy).gate_thresholds() == GatePolicyBody()
    assert body_of(policy).business_policy() == BusinessPolicy()


def test_policy__engine_thresholds__are_all_in_the_policy() -> None:
    assert set(GateThresholds.model_fields) == {field.name for field in fields(GatePolicyBody)}


def test_change__partial_body__makes_a_new_version_that_keeps_the_rest(admin) -> None:
    first = active_policy()
    second = change_policy(body={"gates": {"max_wape_ratio": 1.05}}, actor=admin, reason=" Season ")
    third = change_policy(body={"gates": {"min_p_lower": 0.9}}, actor=admin, reason="Stricter")
    assert [second.version, third.version] == [2, 3]
    assert (third.body["gates"]["max_wape_ratio"], third.body["gates"]["min_p_lower"]) == (1.05, 0.9)
    assert GatePolicy.objects.get(is_active=True) == third
    first.refresh_from_db()
    assert not first.is_active and first.body["gates"]["max_wape_ratio"] == 1.02, "old versions stay as they were"
    event = AuditEvent.objects.filter(event="policy.changed").latest("sequence")
    assert event.actor_name == "admin"
    assert event.data["changes"] == {"gates.min_p_lower": [0.8, 0.9]}


def test_change__same_content__is_no_new_version(admin) -> None:
    before = active_policy()
    assert change_policy(body=PolicyBody().model_dump(), actor=admin, reason="Nothing") == before
    assert not AuditEvent.objects.filter(event="policy.changed").exists()


def test_change__lapses_the_pending_request(admin) -> None:
    request = make_pending_request()
    change_policy(body={"request_valid_days": 3}, actor=admin, reason="Faster")
    request.refresh_from_db()
    assert request.state == RequestState.LAPSED and request.gate_report.policy.version == 1


@pytest.mark.parametrize("roles", [(), (Role.ANALYST,), (Role.REVIEWER,), (Role.VIEWER,)])
def test_change__without_tenant_admin__is_refused(alpha: Tenant, roles: tuple[Role, ...]) -> None:
    person = make_person("x", *roles)
    person.is_superuser = True
    for actor in (person, None):
        with pytest.raises(RoleRequired):
            change_policy(body={"request_valid_days": 3}, actor=actor, reason="Faster")
    assert not GatePolicy.objects.filter(version=2).exists()


def test_change__without_a_reason__is_refused(admin) -> None:
    with pytest.raises(ReasonMissing):
        change_policy(body={"request_valid_days": 3}, actor=admin, reason=" ")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"gates": {"min_p_lower": 1.5}}, "gates.min_p_lower"),
        ({"gates": {"min_p_lower": "high"}}, "gates.min_p_lower"),
        ({"gates": {"max_wape_ratio": float("nan")}}, "gates.max_wape_ratio"),
        ({"gates": {"min_readiness": "ready"}}, "gates.min_readiness"),
        ({"gates": {"wape": 1}}, "gates.wape"),
        ({"gates": None}, "gates"),
        ({"business": {"default_margin_rate": 1}}, "business.default_margin_rate"),
        ({"refresh_mode": "never"}, "refresh_mode"),
        ({"request_valid_days": 0}, "request_valid_days"),
        ({"skip_four_eyes": True}, "skip_four_eyes"),
    ],
)
def test_change__impossible_value__names_the_key_and_changes_nothing(admin, body, key: str) -> None:
    before = active_policy()
    with pytest.raises(PolicyInvalid) as refused:
        change_policy(body=body, actor=admin, reason="Try")
    assert key in refused.value.problems and key in str(refused.value)
    assert active_policy() == before


def test_policy__two_active_ones__are_refused_by_the_database(alpha: Tenant) -> None:
    policy = active_policy()
    with pytest.raises(IntegrityError), transaction.atomic():
        GatePolicy.objects.create(version=9, body=policy.body, sha256=policy.sha256, is_active=True)


def test_parse_body__stored_body__comes_back_the_same(alpha: Tenant) -> None:
    assert parse_body(active_policy().body) == PolicyBody()
