"""What the tenant's active contract says about its demand, as the engine needs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from forecasting.engine.types import RegressorSet
from integrations.engine.contract import DataContract
from integrations.models import Contract
from integrations.models.source import ContractState

ONLY_CATEGORY = RegressorSet(static=("category",))
DAILY_HORIZON, WEEKLY_HORIZON = 14, 4


@dataclass(frozen=True)
class DataProfile:
    """Grain, regressors and calendar of the tenant's demand; the defaults hold where no contract is active."""

    grain: str = "D"
    missing_days: str = "zero"
    country: str | None = None
    regressors: RegressorSet = ONLY_CATEGORY
    fills: tuple[tuple[str, float], ...] = ()

    @property
    def default_horizon(self) -> int:
        """Steps ahead where nobody says otherwise: 14 days or 4 weeks."""
        return DAILY_HORIZON if self.grain == "D" else WEEKLY_HORIZON

    @property
    def season_length(self) -> int:
        """Steps of the main season."""
        return 7 if self.grain == "D" else 52

    @property
    def step_days(self) -> int:
        """Days of one step."""
        return 1 if self.grain == "D" else 7


def active_profile() -> DataProfile:
    """The profile of the active contract; of several sources, the one that was synchronised last."""
    row = (
        Contract.objects.filter(state=ContractState.ACTIVE)
        .order_by("-source__last_sync_at", "-activated_at", "-pk")
        .values_list("body", flat=True)
        .first()
    )
    return DataProfile() if row is None else _profile_of_text(json.dumps(row, sort_keys=True))


@lru_cache(maxsize=64)
def _profile_of_text(body: str) -> DataProfile:
    """Validating a contract takes a while, and a run asks for its profile at every step."""
    return profile_of(DataContract.model_validate_json(body))


def profile_of(contract: DataContract) -> DataProfile:
    """The profile that a contract describes."""
    declared = contract.covariates
    static = declared.static if "category" in declared.static else (*declared.static, "category")
    fills: dict[str, Any] = {name: contract.fill_for(name) for name in declared.known_future}
    return DataProfile(
        grain="W" if contract.grain.value == "weekly" else "D",
        missing_days=contract.missing_days.value,
        country=contract.country_code,
        regressors=RegressorSet(
            known_future=declared.known_future, historic_only=declared.historic_only, static=tuple(static)
        ),
        fills=tuple((name, float(value)) for name, value in fills.items() if isinstance(value, (int, float))),
    )
