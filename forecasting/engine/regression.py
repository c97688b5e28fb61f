"""Whether forecasts in service are worse than what was approved: one rule, for the live champion and for the drill.

An error alone does not tell: some weeks are harder than others. So a model has regressed only where its error is above
what its approval promised, and above what seasonal naive had of the same days promises: a week that is hard for naive,
too, is no fault of the model's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

GONE, SLIPPED = "gone", "slipped"


@dataclass(frozen=True)
class InService:
    """What came of forecasts in service: sums over the same series-days of absolute errors, of seasonal naive's
    absolute errors and of actuals (units); days and rows (series-days) that they are of."""

    absolute: float
    naive: float
    actual: float
    days: int
    rows: int

    @property
    def wape(self) -> float | None:
        """Error as a share of what sold; None where nothing did."""
        return self.absolute / self.actual if self.actual > 0 else None

    @property
    def against_naive(self) -> float | None:
        """Error as a share of seasonal naive's on the same rows; None where that had none."""
        return self.absolute / self.naive if self.naive > 0 else None


@dataclass(frozen=True)
class Promise:
    """What a version was approved with: its WAPE, and that of seasonal naive on the same rows. None: not known."""

    wape: float | None
    wape_naive: float | None

    @property
    def against_naive(self) -> float | None:
        """Its error as a share of naive's."""
        if self.wape is None or not self.wape_naive:
            return None
        return self.wape / self.wape_naive


@dataclass(frozen=True)
class RegressionRules:
    """From how many days and series-days on the rule speaks, and how much worse is too much: both ratios are error in
    service to promised error. One gone wholly astray is called after fewer days."""

    min_days: int = 3
    min_rows: int = 30
    max_ratio: float = 1.25
    gone_days: int = 1
    gone_ratio: float = 2.0


@dataclass(frozen=True)
class Regression:
    """The rule's answer. severity: "gone", "slipped" or "" where it does not fire; reason: in words, either way.

    ratio: error in service to promised error; naive_ratio: the same of both errors as shares of naive's.
    """

    severity: str
    reason: str
    wape: float | None
    ratio: float | None
    naive_ratio: float | None

    @property
    def detected(self) -> bool:
        """Whether the rule fires."""
        return bool(self.severity)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "detected": self.detected}


def detect_regression(seen: InService, promised: Promise, rules: RegressionRules) -> Regression:
    """Hold what came against what was promised. What cannot be known is no alarm; the reason says so."""
    wape, ratio, naive_ratio = seen.wape, None, None
    if wape is None:
        return Regression("", "nothing sold on the days that came, so there is no error to speak of", None, None, None)
    if promised.wape is None or promised.wape <= 0:
        return Regression("", "the error it was approved with is not known", wape, None, None)
    ratio = wape / promised.wape
    if seen.against_naive is not None and promised.against_naive is not None:
        naive_ratio = seen.against_naive / promised.against_naive
    worst = ratio if naive_ratio is None else min(ratio, naive_ratio)
    told = _told(wape, promised.wape, ratio, naive_ratio)
    if seen.rows < rules.min_rows or seen.days < min(rules.min_days, rules.gone_days):
        enough = f"{seen.days} day(s) and {seen.rows} series-days have come; the rule needs more"
        return Regression("", f"{told}; {enough}", wape, ratio, naive_ratio)
    if worst > rules.gone_ratio and seen.days >= rules.gone_days:
        return Regression(GONE, f"{told}; above {rules.gone_ratio:g} times", wape, ratio, naive_ratio)
    if worst > rules.max_ratio and seen.days >= rules.min_days:
        return Regression(SLIPPED, f"{told}; above {rules.max_ratio:g} times", wape, ratio, naive_ratio)
    return Regression("", f"{told}; within {rules.max_ratio:g} times, or of too few days", wape, ratio, naive_ratio)


def _told(wape: float, promised: float, ratio: float, naive_ratio: float | None) -> str:
    beside = "" if naive_ratio is None else f", {naive_ratio:.2f} times beside seasonal naive"
    return f"error in service (WAPE) {wape:.3f} against {promised:.3f} promised: {ratio:.2f} times{beside}"
