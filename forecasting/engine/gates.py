"""The gate table of evaluation.md: it fails closed, and every result explains itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from forecasting.engine.bootstrap import Evidence
from forecasting.engine.business import UNAVAILABLE, BusinessScores
from forecasting.engine.scores import ScoreSet

ELIGIBLE, BLOCKED, INSUFFICIENT = "eligible", "blocked", "insufficient_evidence"
CHAMPION, NAIVE = "champion", "seasonal_naive"
READINESS_ORDER = ("cold_start", "warming", "production_tier_candidate", "production_tier_active")
REQUIRED_SCORES = ("wape", "wrmsse", "bias", "coverage80", "winkler80")
REQUIRED_BUSINESS = ("lost_sales_qty", "stockout_miss_rate", "overstock_rate")
SLACK = 1e-12
"""Rounding in the last digit of a float does not fail a gate."""


@dataclass(frozen=True)
class GatePolicyBody:
    """Thresholds of a tenant's gate policy; the defaults of evaluation.md."""

    min_origins: int = 4
    min_series_origins: int = 30
    min_holdout_days: int = 14
    holdout_access_budget: int = 1
    free_candidates_per_holdout: int = 1
    max_candidates_per_holdout: int = 20
    min_fva: float = 0.0
    max_wape_ratio: float = 1.02
    max_wrmsse_ratio: float = 1.02
    bias_tolerance: float = 0.01
    coverage80_target: float = 0.80
    coverage80_tolerance: float = 0.05
    max_winkler_ratio: float = 1.02
    stockout_rate_tolerance: float = 0.005
    overstock_rate_tolerance: float = 0.005
    max_cost_ratio: float = 1.005
    max_total_cost_ratio: float = 0.99
    max_total_cost_ratio_with_fewer_stockouts: float = 1.005
    min_p_lower: float = 0.80
    max_upper95_change: float = 0.01
    bootstrap_resamples: int = 2000
    bootstrap_seed: int = 2017
    max_slo_critical: int = 0
    max_open_sev1: int = 0
    min_readiness: str = "production_tier_candidate"

    def __post_init__(self) -> None:
        if self.free_candidates_per_holdout < 1:
            raise ValueError("free_candidates_per_holdout is at least 1")
        if self.min_readiness not in READINESS_ORDER:
            raise ValueError(f"min_readiness must be one of {', '.join(READINESS_ORDER)}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GatePolicyBody:
        """Inverse of `to_json`; an unknown key is a TypeError."""
        return cls(**data)


@dataclass(frozen=True)
class Side:
    """Champion or candidate as judged: scores on the sealed holdout, and on which rows."""

    scores: ScoreSet
    business: BusinessScores
    rows_sha256: str
    origins: tuple[date, ...]
    manifest_valid: bool | None = None

    @classmethod
    def of(cls, assessment: Any, *, manifest_valid: bool | None = None) -> Side:
        """From a `train.Assessment`."""
        a = assessment
        return cls(a.scores, a.business, a.rows_sha256, a.origins, manifest_valid)


@dataclass(frozen=True)
class GateInputs:
    """All a judgement rests on. None means not known, and what is not known fails its gate.

    champion_kind "seasonal_naive" (no champion yet) needs no manifest of the champion. holdout_accesses counts the
    openings including this one; reasons_given says that every opening beyond the budget has a reason.
    holdout_candidates: how many different specs were judged on (about) these days, this one included.
    """

    candidate: Side
    champion: Side
    evidence: Evidence
    champion_kind: str = CHAMPION
    holdout_sealed: bool | None = None
    holdout_accesses: int | None = None
    reasons_given: bool = False
    holdout_candidates: int | None = None
    series_origins: int | None = None
    holdout_days: int | None = None
    slo_critical: int | None = None
    open_sev1: int | None = None
    readiness: str | None = None


@dataclass(frozen=True)
class GateResult:
    """One gate. champion, candidate and threshold are numbers or short texts; `missing` marks an absent input."""

    name: str
    scope: str
    champion: float | str | None
    candidate: float | str | None
    threshold: float | str | None
    passed: bool
    reason: str
    missing: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateResult:
        """Inverse of `to_json`."""
        return cls(**data)


@dataclass(frozen=True)
class GateReport:
    """The verdict and the gates behind it."""

    verdict: str
    results: tuple[GateResult, ...]

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the gates that did not pass."""
        return tuple(r.name for r in self.results if not r.passed)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"verdict": self.verdict, "results": [r.to_json() for r in self.results]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateReport:
        """Inverse of `to_json`."""
        return cls(data["verdict"], tuple(GateResult.from_json(r) for r in data["results"]))


def judge(inputs: GateInputs, policy: GatePolicyBody | None = None) -> GateReport:
    """Judge a candidate against the champion (or seasonal naive) by every gate of the table.

    eligible: all pass. insufficient_evidence: the partition is sound, but scores are missing or the samples are too
    few to tell. blocked: anything else. Never raises for a missing input: the gate fails and says what is missing.
    """
    policy = policy or GatePolicyBody()
    results = tuple(result for gate in GATES for result in gate(inputs, policy))
    failing = {r.name for r in results if not r.passed}
    if not failing:
        return GateReport(ELIGIBLE, results)
    unsure = bool(failing & {"inputs", "samples"}) and "partition" not in failing
    return GateReport(INSUFFICIENT if unsure else BLOCKED, results)


def _missing(name: str, scope: str, what: str, threshold: float | str | None = None) -> GateResult:
    return GateResult(name, scope, None, None, threshold, False, what, missing=True)


def _inputs(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    problems = []
    for who, side in (("candidate", i.candidate), ("champion", i.champion)):
        problems += [
            f"{who} {n}: {side.scores.get(n).reason}" for n in REQUIRED_SCORES if side.scores.get(n).value is None
        ]
        problems += [f"{who} {n}: {side.business.get(n).score.reason}" for n in REQUIRED_BUSINESS
                     if side.business.get(n).value is None]  # fmt: skip
    if i.candidate.rows_sha256 != i.champion.rows_sha256:
        problems.append("champion and candidate were not judged on the same rows")
    if i.candidate.origins != i.champion.origins:
        problems.append("champion and candidate were not judged at the same origins")
    reason = "; ".join(problems) or "every required score is present for both, on the same rows and origins"
    sides = (i.champion.rows_sha256[:12], i.candidate.rows_sha256[:12])
    yield GateResult("inputs", "evidence", *sides, "same rows and origins", not problems, reason, bool(problems))


def _partition(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    problems, missing = [], False
    facts = {"the candidate's manifest": i.candidate.manifest_valid, "the holdout's seal": i.holdout_sealed}
    if i.champion_kind != NAIVE:
        facts["the champion's manifest"] = i.champion.manifest_valid
    for name, value in facts.items():
        if value is None:
            missing = True
            problems.append(f"{name} is not known")
        elif not value:
            problems.append(f"{name} is not valid")
    if i.holdout_accesses is None:
        missing = True
        problems.append("the number of holdout openings is not known")
    elif i.holdout_accesses > p.holdout_access_budget and not i.reasons_given:
        problems.append(f"the holdout was opened {i.holdout_accesses} times without a reason for each repeat")
    if i.holdout_candidates is None:
        missing = True
        problems.append("how many candidates were judged on these days is not known")
    elif i.holdout_candidates > p.max_candidates_per_holdout:
        problems.append(
            f"{i.holdout_candidates} candidates were judged on these days, {p.max_candidates_per_holdout} are allowed: "
            "one of so many passes by luck, so wait for newer days"
        )
    reason = "; ".join(problems) or (
        f"manifests valid, holdout sealed, opened {i.holdout_accesses} time(s), "
        f"the {ordinal(i.holdout_candidates or 1)} candidate judged on these days"
    )
    yield GateResult(
        "partition", "evidence", None, i.holdout_accesses, p.holdout_access_budget, not problems, reason, missing
    )


def _samples(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    have = {"origins": len(i.candidate.origins), "series-origins": i.series_origins, "holdout days": i.holdout_days}
    need = {"origins": p.min_origins, "series-origins": p.min_series_origins, "holdout days": p.min_holdout_days}
    threshold = ", ".join(f"≥ {n} {name}" for name, n in need.items())
    unknown = [name for name, value in have.items() if value is None]
    if unknown:
        yield _missing("samples", "evidence", f"not known: {', '.join(unknown)}", threshold)
        return
    short = [
        f"{value} {name} < {need[name]}" for name, value in have.items() if value is not None and value < need[name]
    ]
    text = ", ".join(f"{value} {name}" for name, value in have.items())
    yield GateResult("samples", "evidence", None, text, threshold, not short, "; ".join(short) or "enough to tell")


def _beats_naive(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    score = i.candidate.scores.get("fva")
    if score.value is None:
        yield _missing("beats_naive", "ds", f"candidate fva: {score.reason}", p.min_fva)
        return
    good = score.value > p.min_fva
    reason = f"forecast value added over seasonal naive is {score.value:.4f}, must be above {p.min_fva:g}"
    yield GateResult("beats_naive", "ds", i.champion.scores.get("fva").value, score.value, p.min_fva, good, reason)


def _compare(
    name: str,
    scope: str,
    champion: float | None,
    candidate: float | None,
    why: str,
    *,
    factor: float = 1.0,
    slack: float = 0.0,
) -> GateResult:
    """candidate <= champion × factor + slack; a missing side fails."""
    if champion is None or candidate is None:
        side = "candidate" if candidate is None else "champion"
        return GateResult(name, scope, champion, candidate, None, False, f"{why} of the {side} is not known", True)
    threshold = champion * factor + slack
    good = candidate <= threshold + SLACK
    sign = "≤" if good else ">"
    return GateResult(
        name, scope, champion, candidate, threshold, good, f"{why} {candidate:.4f} {sign} {threshold:.4f}"
    )


def _accuracy(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    theirs, ours = i.champion.scores, i.candidate.scores
    for name, factor in (("wape", p.max_wape_ratio), ("wrmsse", p.max_wrmsse_ratio)):
        yield _compare(name, "ds", theirs.get(name).value, ours.get(name).value, name, factor=factor)
    bias = [None if s.get("bias").value is None else abs(float(s.get("bias").value or 0.0)) for s in (theirs, ours)]
    yield _compare("bias", "ds", bias[0], bias[1], "|bias|", slack=p.bias_tolerance)


def _calibration(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    coverage, width = i.candidate.scores.get("coverage80"), i.candidate.scores.get("winkler80")
    base = i.champion.scores.get("winkler80")
    threshold = f"{p.coverage80_target:g} ± {p.coverage80_tolerance:g}; Winkler80 ≤ champion × {p.max_winkler_ratio:g}"
    absent = [
        n for n, s in (("coverage80", coverage), ("winkler80", width), ("champion winkler80", base)) if s.value is None
    ]
    if coverage.value is None or width.value is None or base.value is None:
        yield _missing("calibration", "ds", f"not known: {', '.join(absent)}", threshold)
        return
    near = abs(coverage.value - p.coverage80_target) <= p.coverage80_tolerance + SLACK
    narrow = width.value <= base.value * p.max_winkler_ratio + SLACK
    reason = (
        f"coverage80 {coverage.value:.4f} is {'within' if near else 'outside'} the tolerance; "
        f"Winkler80 {width.value:.4f} {'≤' if narrow else '>'} {base.value * p.max_winkler_ratio:.4f}"
    )
    champion = i.champion.scores.get("coverage80").value
    yield GateResult("calibration", "ds", champion, coverage.value, threshold, near and narrow, reason)


def _business(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    theirs, ours = i.champion.business, i.candidate.business
    rates = (("stockout_miss_rate", "stockout_rate", p.stockout_rate_tolerance),
             ("overstock_rate", "overstock_rate", p.overstock_rate_tolerance))  # fmt: skip
    for field, name, slack in rates:
        yield _compare(name, "business", theirs.get(field).value, ours.get(field).value, field, slack=slack)
    for field, name in (
        ("lost_sales_qty", "lost_sales"),
        ("cost_stockout", "cost_stockout"),
        ("cost_overstock", "cost_overstock"),
    ):
        sides = (("champion", theirs.get(field)), ("candidate", ours.get(field)))
        unknown = [who for who, score in sides if score.confidence == UNAVAILABLE]
        if unknown:
            yield _missing(name, "business", f"{field} of the {' and the '.join(unknown)} is unavailable")
            continue
        yield _compare(name, "business", sides[0][1].value, sides[1][1].value, field, factor=p.max_cost_ratio)
    yield _total_cost(i, p)


def _total_cost(i: GateInputs, p: GatePolicyBody) -> GateResult:
    theirs, ours = i.champion.business.total_cost, i.candidate.business.total_cost
    if UNAVAILABLE in (theirs.confidence, ours.confidence):
        why = next(s.score.reason for s in (ours, theirs) if s.confidence == UNAVAILABLE)
        return _missing("total_cost", "business", f"total cost is unavailable: {why or 'no price or cost is known'}")
    before, after = i.champion.business.stockout_miss_rate.value, i.candidate.business.stockout_miss_rate.value
    improved = before is not None and after is not None and after < before
    factor = p.max_total_cost_ratio_with_fewer_stockouts if improved else p.max_total_cost_ratio
    why = "total cost, with fewer stockouts," if improved else "total cost"
    return _compare("total_cost", "business", theirs.value, ours.value, why, factor=factor)


def needed_p_lower(candidates: int | None, p: GatePolicyBody) -> float:
    """How sure it must be that cost is lower, for the k-th candidate judged on the same days.

    The best of k candidates looks good by luck k times as easily. So the doubt that the policy lets pass is shared
    among them (Bonferroni): with 0.80 for one candidate, 0.90 for the 2nd, 0.95 for the 4th. Not known counts as one,
    because the partition gate fails then.
    """
    shares = max(candidates or 1, p.free_candidates_per_holdout) / p.free_candidates_per_holdout
    return 1.0 - (1.0 - p.min_p_lower) / shares


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _evidence(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    e, least = i.evidence, needed_p_lower(i.holdout_candidates, p)
    threshold = f"P(cost lower) ≥ {least:.3g}; 95% upper bound ≤ {p.max_upper95_change:+.1%}"
    if e.p_lower is None or e.upper95 is None:
        yield _missing("evidence", "evidence", e.reason or "the bootstrap was not made", threshold)
        return
    good = e.p_lower >= least - SLACK and e.upper95 <= p.max_upper95_change + SLACK
    reason = (
        f"P(total cost lower) = {e.p_lower:.3f}, 95% upper bound of the change {e.upper95:+.2%}, {e.n_series} series"
    )
    if least > p.min_p_lower:
        reason += (
            f"; the {ordinal(i.holdout_candidates or 1)} candidate judged on these days has to be surer "
            f"({least:.3g} instead of {p.min_p_lower:.3g})"
        )
    yield GateResult("evidence", "evidence", None, e.p_lower, threshold, good, reason)


def _operations(i: GateInputs, p: GatePolicyBody) -> Iterable[GateResult]:
    threshold = f"no SLO critical, no open sev1, readiness ≥ {p.min_readiness}"
    facts = {"SLO state": i.slo_critical, "incidents": i.open_sev1, "readiness": i.readiness}
    unknown = [name for name, value in facts.items() if value is None]
    if i.slo_critical is None or i.open_sev1 is None or i.readiness is None:
        yield _missing("operations", "operations", f"not known: {', '.join(unknown)}", threshold)
        return
    problems = []
    if i.slo_critical > p.max_slo_critical:
        problems.append(f"{i.slo_critical} SLO(s) critical")
    if i.open_sev1 > p.max_open_sev1:
        problems.append(f"{i.open_sev1} open sev1 incident(s)")
    order = READINESS_ORDER
    if i.readiness not in order or order.index(i.readiness) < order.index(p.min_readiness):
        problems.append(f"readiness is {i.readiness}, needs {p.min_readiness}")
    yield GateResult(
        "operations",
        "operations",
        None,
        i.readiness,
        threshold,
        not problems,
        "; ".join(problems) or "operations are sound",
    )


GATES: tuple[Callable[[GateInputs, GatePolicyBody], Iterable[GateResult]], ...] = (
    _inputs, _partition, _samples, _beats_naive, _accuracy, _calibration, _business, _evidence, _operations,
)  # fmt: skip
GATE_NAMES = (
    "inputs", "partition", "samples", "beats_naive", "wape", "wrmsse", "bias", "calibration", "stockout_rate",
    "overstock_rate", "lost_sales", "cost_stockout", "cost_overstock", "total_cost", "evidence", "operations",
)  # fmt: skip
