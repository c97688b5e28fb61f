"""Errors of the forecasts in shadow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forecasting.errors import ForecastingError


class NobodyServes(ForecastingError):
    """Without a champion there is nothing to stand in the shadow of."""

    code = "nobody_serves"

    def __init__(self) -> None:
        super().__init__("There is no champion yet, so nothing has a shadow. Approve a promotion request first.")


class ShadowIncomplete(ForecastingError):
    """Some versions could not forecast; the others did."""

    code = "shadow_incomplete"

    def __init__(self, failed: Mapping[int, str], made: Sequence[int]) -> None:
        self.failed, self.made = dict(failed), tuple(made)
        why = " ".join(f"v{number}: {reason}" for number, reason in self.failed.items())
        rest = f" The other {len(self.made)} forecast and are kept." if self.made else ""
        super().__init__(f"{len(self.failed)} version(s) could not forecast in the shadow. {why}{rest}")
