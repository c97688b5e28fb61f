"""The gate policy: validated, versioned, changed with a reason."""

from __future__ import annotations

from dataclasses import fields

import pytest
from django.db import IntegrityError, transaction

from forecasting.engine.business import BusinessPolicy
from forecasting.engine.gates import GatePolicyBody
from forecasting.errors import PolicyInvalid, PolicyMoved, ReasonMissing
from forecasting.models import GatePolicy, RequestState
from forecasting.services.policy import (
    GateThresholds,
    PolicyBody,
    active_policy,
    body_of,
    change_policy,
    parse_body,
    preview_policy,
)
from forecasting.tests.factories import make_pending_request, make_person
from ledger.models import AuditEvent
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role

DESIGN = {
    "min_origins": 4, "min_series_origins": 30, "min_holdout_days": 14, "holdout_access_budget": 1,
    "free_candidates_per_holdout": 1, "max_candidates_per_holdout": 20, "min_fva": 0.0,
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


@pytest.mark.parametrize(
    ("body", "key", "said"),
    [
        ({"gates": {"max_wape_ratio": 0.02}}, "gates.max_wape_ratio", "write 1.02"),
        ({"gates": {"min_holdout_days": 29}}, "gates.min_holdout_days", "nothing could ever pass"),
        ({"gates": {"max_total_cost_ratio": 1.2}}, "gates.max_total_cost_ratio", "as if those were a fault"),
        ({"gates": {"coverage80_tolerance": 0.3}}, "gates.coverage80_tolerance", "everything does"),
        ({"gates": {"free_candidates_per_holdout": 9, "max_candidates_per_holdout": 8}},
         "gates.free_candidates_per_holdout", "more than the 8"),
        ({"refresh": {"min_realised_days": 60}}, "refresh.min_realised_days", "no refresh could ever serve"),
        ({"business": {"lead_time_days": 40}}, "business.lead_time_days", "no cost could be judged"),
    ],
)  # fmt: skip
def test_change__figures_that_make_no_sense_together__are_refused_with_the_reason(admin, body, key, said) -> None:
    before = active_policy()
    for ask in (
        lambda: preview_policy(body=body),
        lambda: change_policy(body=body, actor=admin, reason="Try"),
    ):
        with pytest.raises(PolicyInvalid) as refused:
            ask()
        assert said in refused.value.problems[key]
    assert active_policy() == before


def test_preview__pending_request__is_named_and_nothing_changes(admin) -> None:
    request = make_pending_request()
    seen = preview_policy(body={"gates": {"min_p_lower": 0.9}})
    assert (seen.from_version, seen.changes) == (1, {"gates.min_p_lower": [0.8, 0.9]})
    assert [(one.request_id, one.requested_by) for one in seen.lapses] == [(request.pk, "asker")]
    same = preview_policy(body={"gates": {"min_p_lower": 0.8}})
    assert (same.changes, same.lapses) == ({}, ()) and same.digest != seen.digest
    request.refresh_from_db()
    assert request.state == RequestState.PENDING and GatePolicy.objects.count() == 1


def test_change__policy_changed_by_another_meanwhile__is_refused(admin) -> None:
    active_policy()
    change_policy(body={"request_valid_days": 5}, actor=admin, reason="Mine")
    with pytest.raises(PolicyMoved, match="is v2 now, by admin"):
        change_policy(body={"request_valid_days": 6}, actor=admin, reason="Other", expected=1)
    assert active_policy().version == 2


def test_policy__of_an_old_request__stays_what_it_was_judged_by(admin) -> None:
    request = make_pending_request()
    change_policy(body={"gates": {"min_p_lower": 0.99}}, actor=admin, reason="Stricter")
    request.refresh_from_db()
    assert body_of(request.gate_report.policy).gates.min_p_lower == 0.8
