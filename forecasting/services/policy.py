"""The tenant's gate policy: validated, versioned, changed only with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecasting.engine.business import BusinessPolicy
from forecasting.engine.gates import GatePolicyBody
from forecasting.engine.regression import RegressionRules
from forecasting.engine.types import canonical_json, sha256_text
from forecasting.errors import PolicyInvalid, PolicyMoved, ReasonMissing
from forecasting.models import GatePolicy
from forecasting.services.policy_sense import Lapse, PolicyPreview, nonsense
from ledger.services.audit import actor_name, record
from tenants.roles import Role, require_role

_LOCK_SPACE = 0x666F7265
"""Key of the advisory lock under which a tenant's policy, requests and champion change."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GateThresholds(_Section):
    """Thresholds of the gate table; ratios are candidate to champion, tolerances are absolute."""

    min_origins: int = Field(GatePolicyBody.min_origins, ge=1, le=60)
    min_series_origins: int = Field(GatePolicyBody.min_series_origins, ge=1)
    min_holdout_days: int = Field(GatePolicyBody.min_holdout_days, ge=1, le=366)
    holdout_access_budget: int = Field(GatePolicyBody.holdout_access_budget, ge=1, le=20)
    free_candidates_per_holdout: int = Field(GatePolicyBody.free_candidates_per_holdout, ge=1, le=20)
    max_candidates_per_holdout: int = Field(GatePolicyBody.max_candidates_per_holdout, ge=1, le=200)
    min_fva: float = Field(GatePolicyBody.min_fva, ge=0, lt=1)
    max_wape_ratio: float = Field(GatePolicyBody.max_wape_ratio, gt=0, le=2)
    max_wrmsse_ratio: float = Field(GatePolicyBody.max_wrmsse_ratio, gt=0, le=2)
    bias_tolerance: float = Field(GatePolicyBody.bias_tolerance, ge=0, le=1)
    coverage80_target: float = Field(GatePolicyBody.coverage80_target, gt=0, lt=1)
    coverage80_tolerance: float = Field(GatePolicyBody.coverage80_tolerance, ge=0, le=0.5)
    max_winkler_ratio: float = Field(GatePolicyBody.max_winkler_ratio, gt=0, le=2)
    stockout_rate_tolerance: float = Field(GatePolicyBody.stockout_rate_tolerance, ge=0, le=1)
    overstock_rate_tolerance: float = Field(GatePolicyBody.overstock_rate_tolerance, ge=0, le=1)
    max_cost_ratio: float = Field(GatePolicyBody.max_cost_ratio, gt=0, le=2)
    max_total_cost_ratio: float = Field(GatePolicyBody.max_total_cost_ratio, gt=0, le=2)
    max_total_cost_ratio_with_fewer_stockouts: float = Field(
        GatePolicyBody.max_total_cost_ratio_with_fewer_stockouts, gt=0, le=2
    )
    min_p_lower: float = Field(GatePolicyBody.min_p_lower, ge=0.5, le=1)
    max_upper95_change: float = Field(GatePolicyBody.max_upper95_change, ge=-1, le=1)
    bootstrap_resamples: int = Field(GatePolicyBody.bootstrap_resamples, ge=200, le=20_000)
    bootstrap_seed: int = Field(GatePolicyBody.bootstrap_seed, ge=0)
    max_slo_critical: int = Field(GatePolicyBody.max_slo_critical, ge=0)
    max_open_sev1: int = Field(GatePolicyBody.max_open_sev1, ge=0)
    min_readiness: Literal["cold_start", "warming", "production_tier_candidate", "production_tier_active"] = (
        "production_tier_candidate"
    )


class BusinessRules(_Section):
    """What an order is about; the rates stand in where the tenant gave no price or cost."""

    lead_time_days: int = Field(BusinessPolicy.lead_time_days, ge=0, le=180)
    review_period_days: int = Field(BusinessPolicy.review_period_days, ge=1, le=180)
    default_margin_rate: float = Field(BusinessPolicy.default_margin_rate, gt=0, lt=1)
    default_holding_rate: float = Field(BusinessPolicy.default_holding_rate, gt=0, le=5)


class RefreshGuard(_Section):
    """Within what a refresh of the approved spec may serve by itself."""

    max_backtest_wape_ratio: float = Field(1.05, ge=1, le=2)
    max_realised_wape_ratio: float = Field(1.10, ge=1, le=2)
    realised_days: int = Field(28, ge=7, le=366)
    min_realised_days: int = Field(7, ge=1, le=366)


class RegressionWatch(_Section):
    """From when on the champion's error in service is an incident; ratios are error in service to promised error."""

    watched_days: int = Field(28, ge=1, le=366)
    min_watched_days: int = Field(RegressionRules.min_days, ge=1, le=366)
    min_watched_rows: int = Field(RegressionRules.min_rows, ge=1)
    max_regression_ratio: float = Field(RegressionRules.max_ratio, gt=1, le=10)
    gone_ratio: float = Field(RegressionRules.gone_ratio, gt=1, le=20)

    def regression_rules(self) -> RegressionRules:
        """The part that the pure rule takes."""
        return RegressionRules(
            min_days=self.min_watched_days,
            min_rows=self.min_watched_rows,
            max_ratio=self.max_regression_ratio,
            gone_ratio=self.gone_ratio,
        )


class ReadinessRules(_Section):
    """What a tenant needs before a version may serve in production."""

    min_history_days: int = Field(90, ge=1)
    min_stores: int = Field(1, ge=1)
    min_products: int = Field(1, ge=1)
    min_accuracy_samples: int = Field(30, ge=1)


class ShadowRules(_Section):
    """Who forecasts beside the champion, and how far back that is compared."""

    max_candidates: int = Field(3, ge=0, le=20)
    weeks: int = Field(12, ge=1, le=52)


class PolicyBody(_Section):
    """Everything a tenant decides about promotion. The defaults are those of the evaluation design."""

    gates: GateThresholds = GateThresholds()
    business: BusinessRules = BusinessRules()
    refresh: RefreshGuard = RefreshGuard()
    regression: RegressionWatch = RegressionWatch()
    readiness: ReadinessRules = ReadinessRules()
    shadow: ShadowRules = ShadowRules()
    refresh_mode: Literal["automatic", "review"] = "automatic"
    request_valid_days: int = Field(7, ge=1, le=90)

    def gate_thresholds(self) -> GatePolicyBody:
        """The part that the pure judgement takes."""
        return GatePolicyBody(**self.gates.model_dump())

    def business_policy(self) -> BusinessPolicy:
        """The part that the newsvendor takes."""
        return BusinessPolicy(**self.business.model_dump())


def lock_decisions() -> None:
    """Let one transaction at a time change this tenant's policy, requests and champion; held until commit.

    Rows are locked as well, but a first champion has no row yet, and one order for all keeps deadlocks out.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", [_LOCK_SPACE])


def clean_reason(reason: str, what: str) -> str:
    """The reason without the space around it; raises ``ReasonMissing`` where it says nothing."""
    if not any(character.isalnum() for character in reason):
        raise ReasonMissing(what)
    return reason.strip()


def body_of(policy: GatePolicy) -> PolicyBody:
    """The typed content of a stored policy."""
    return parse_body(policy.body)


def parse_body(body: Mapping[str, Any]) -> PolicyBody:
    """Validate a policy's content; raises ``PolicyInvalid`` naming each key."""
    try:
        return PolicyBody.model_validate(dict(body))
    except ValidationError as error:
        problems = {".".join(str(part) for part in e["loc"]) or "policy": _plain(e) for e in error.errors()}
        raise PolicyInvalid(problems) from error


def _plain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "is no key of a policy"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {error['input']!r}"


@transaction.atomic
def active_policy() -> GatePolicy:
    """The policy in force; version 1 with the defaults is made on first use."""
    found = GatePolicy.objects.filter(is_active=True).first()
    if found is not None:
        return found
    lock_decisions()
    found = GatePolicy.objects.filter(is_active=True).first()
    return found or _store(PolicyBody(), version=1, name="system", reason="Defaults")


def preview_policy(*, body: Mapping[str, Any]) -> PolicyPreview:
    """What putting ``body`` in force would do; changes nothing. Raises ``PolicyInvalid``."""
    from forecasting.models import PromotionRequest, RequestState

    before = active_policy()
    wanted = _sensible(before, body)
    changes = _changes(before.body, wanted.model_dump(mode="json"))
    pending = PromotionRequest.objects.filter(state=RequestState.PENDING).select_related("candidate")
    lapses = [Lapse(one.pk, one.candidate.label, one.requested_by_name) for one in pending] if changes else []
    return PolicyPreview(
        before.version, changes, tuple(lapses), sha256_text(canonical_json([before.version, _sha256(wanted)]))
    )


def _sensible(before: GatePolicy, body: Mapping[str, Any]) -> PolicyBody:
    """The whole policy that ``body`` asks for. Raises ``PolicyInvalid``."""
    wanted = parse_body(_merged(before.body, body))
    problems = nonsense(wanted)
    if problems:
        raise PolicyInvalid(problems)
    return wanted


@transaction.atomic
def change_policy(
    *, body: Mapping[str, Any], actor: AbstractBaseUser | None, reason: str, expected: int | None = None
) -> GatePolicy:
    """Put a new version of the policy in force and lapse what was asked under the old one.

    Keys (also within a section) that ``body`` leaves out keep their present value. The same content again changes
    nothing and returns the policy in force. Needs tenant_admin. expected: the version that the person looked at.
    Raises ``PolicyInvalid``, ``PolicyMoved``, ``ReasonMissing``, ``RoleRequired``.
    """
    from forecasting.services.promotion import lapse_stale

    require_role(actor, Role.TENANT_ADMIN)
    reason = clean_reason(reason, "change the policy")
    lock_decisions()
    before = active_policy()
    if expected is not None and before.version != expected:
        raise PolicyMoved(expected, before.version, before.created_by_name)
    wanted = _sensible(before, body)
    if _sha256(wanted) == before.sha256:
        return before
    GatePolicy.objects.filter(pk=before.pk).update(is_active=False)
    newest = GatePolicy.objects.order_by("-version").values_list("version", flat=True)[0]
    policy = _store(wanted, version=newest + 1, name=actor_name(actor), reason=reason)
    lapse_stale()
    record(
        event="policy.changed",
        actor=actor,
        subject=policy,
        data={"reason": reason, "from_version": before.version, "changes": _changes(before.body, policy.body)},
    )
    return policy


def _merged(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(present)
    for key, value in wanted.items():
        both = isinstance(value, Mapping) and isinstance(present.get(key), Mapping)
        merged[key] = {**present[key], **value} if both else value
    return merged


def _sha256(body: PolicyBody) -> str:
    return sha256_text(canonical_json(body.model_dump(mode="json")))


def _store(body: PolicyBody, *, version: int, name: str, reason: str) -> GatePolicy:
    return GatePolicy.objects.create(
        version=version,
        body=body.model_dump(mode="json"),
        sha256=_sha256(body),
        is_active=True,
        reason=reason,
        created_by_name=name,
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """Changed keys with their old and new values."""
    changes: dict[str, list[Any]] = {}
    for key in after:
        if isinstance(after[key], Mapping):
            changes |= _changes(before.get(key, {}), after[key], f"{prefix}{key}.")
        elif before.get(key) != after[key]:
            changes[f"{prefix}{key}"] = [before.get(key), after[key]]
    return changes
