"""Figures of a gate policy that are each within their limits and together make no sense; and what a change would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forecasting.services.windows import HOLDOUT_DAYS

if TYPE_CHECKING:
    from forecasting.services.policy import PolicyBody

_RATIOS = ("max_wape_ratio", "max_wrmsse_ratio", "max_winkler_ratio", "max_cost_ratio", "max_total_cost_ratio",
           "max_total_cost_ratio_with_fewer_stockouts")  # fmt: skip
LEAST_RATIO = 0.5


@dataclass(frozen=True)
class Lapse:
    """A pending request that a change would end."""

    request_id: int
    label: str
    requested_by: str


@dataclass(frozen=True)
class PolicyPreview:
    """What a change would do: the figures that differ (key: old and new value) and the requests that lapse.

    digest: of exactly this change of exactly this version, for a confirmation.
    """

    from_version: int
    changes: dict[str, list[Any]]
    lapses: tuple[Lapse, ...]
    digest: str


def nonsense(body: PolicyBody) -> dict[str, str]:
    """What is wrong with a policy whose figures are each allowed: key and problem. Empty where it makes sense."""
    gates, refresh, business = body.gates, body.refresh, body.business
    wrong: dict[str, str] = {}
    for name in _RATIOS:
        value = getattr(gates, name)
        if value < LEAST_RATIO:
            wrong[f"gates.{name}"] = (
                f"{value:g} asks for {value:.0%} of the champion's figure, which no candidate reaches; to let "
                f"{value:.0%} more pass, write {1 + value:g}"
            )
    if gates.min_holdout_days > HOLDOUT_DAYS:
        wrong["gates.min_holdout_days"] = f"the sealed holdout has {HOLDOUT_DAYS} days, so nothing could ever pass"
    if gates.max_total_cost_ratio > gates.max_total_cost_ratio_with_fewer_stockouts:
        wrong["gates.max_total_cost_ratio"] = (
            "it lets more cost pass than the figure for fewer stockouts, as if those were a fault of the candidate"
        )
    low, high = (gates.coverage80_target + sign * gates.coverage80_tolerance for sign in (-1, 1))
    if low <= 0 or high >= 1:
        wrong["gates.coverage80_tolerance"] = f"shares from {low:.0%} to {high:.0%} would pass: everything does"
    if gates.free_candidates_per_holdout > gates.max_candidates_per_holdout:
        wrong["gates.free_candidates_per_holdout"] = (
            f"more than the {gates.max_candidates_per_holdout} candidates that may be judged on the same days"
        )
    if refresh.min_realised_days > refresh.realised_days:
        wrong["refresh.min_realised_days"] = (
            f"only the last {refresh.realised_days} days are looked at, so no refresh could ever serve"
        )
    if business.lead_time_days + business.review_period_days > HOLDOUT_DAYS:
        wrong["business.lead_time_days"] = (
            f"an order would cover more days than the holdout has ({HOLDOUT_DAYS}), so no cost could be judged"
        )
    return wrong
