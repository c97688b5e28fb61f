"""Ensemble or single: the simplest mode that costs no more than the best, beyond noise; and that in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.bootstrap import MIN_SERIES, Evidence, paired_bootstrap, resampled_totals
from forecasting.engine.strategy import COST, FITTED_PAIR, WAPE, Sweep, SweepPoint
from forecasting.engine.strategy_figures import rounded
from forecasting.engine.strategy_points import SINGLE

SAME = 0.0005
"""A relative change below this is called none."""


@dataclass(frozen=True)
class Contender:
    """A mode beside the best one: its value, how much more it is (evidence, paired over series), and whether that is
    within the noise: the 95% interval of the change reaches zero."""

    key: str
    value: float
    against_best: Evidence
    within_noise: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "key": self.key,
            "value": rounded(self.value),
            "against_best": _evidence(self.against_best),
            "within_noise": self.within_noise,
        }


@dataclass(frozen=True)
class Change:
    """A relative change with its central 95% interval; the interval is None where there are too few series."""

    change: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: rounded(value) for name, value in self.__dict__.items()}


@dataclass(frozen=True)
class Recommendation:
    """What a cycle proposes.

    key: the point. measure: total_cost, or wape where costs are not known (`measure_why`). best: the mode with the
    least. single: the best single. mixture: the one proposed, else the best (None where none may be chosen), and its
    change of the measure from the best single. lowest: the point of the sweep with the least, found by looking at the
    origins that it is judged on, and its change from what is proposed. beside_single: key of every point -> change of
    the measure from the best single, paired over series.
    """

    key: str
    measure: str
    measure_why: str
    best: str
    single: str
    mixture: str | None
    mixture_against_single: Evidence | None
    lowest: str
    lowest_against: Evidence | None
    contenders: tuple[Contender, ...]
    beside_single: Mapping[str, Change]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        between, lowest = self.mixture_against_single, self.lowest_against
        return {
            **{k: getattr(self, k) for k in ("key", "measure", "measure_why", "best", "single", "mixture", "lowest")},
            "mixture_against_single": None if between is None else _evidence(between),
            "lowest_against": None if lowest is None else _evidence(lowest),
            "contenders": [one.to_json() for one in self.contenders],
            "beside_single": {key: one.to_json() for key, one in self.beside_single.items()},
            "sentence": self.sentence,
        }


def recommend(sweep: Sweep) -> Recommendation:
    """The simplest mode whose cost is within the noise of the best: a single before a pair, a pair before a mixture of
    more. A mixture has to cost less than the best single beyond noise, too. Judged by WAPE where a cost is not known.
    Without enough series to tell noise, it is the best single."""
    measure, why = _measure(sweep)
    points = [sweep.get(key) for key in sweep.modes]
    order = sorted(points, key=lambda one: (_rank(one), _value(one, measure), one.key))
    best = min(order, key=lambda one: _value(one, measure))
    single = next(one for one in order if one.point.kind == SINGLE)
    contenders = {one.key: _beside(sweep, measure, one, best) for one in points}
    gains = {one.key: _compare(sweep, measure, single, one) for one in order if one.point.kind != SINGLE}
    sure = [key for key, gain in gains.items() if gain.high is not None and gain.high < 0]
    proposed = next((one for one in order if one.key in sure and contenders[one.key].within_noise), single)
    if contenders[single.key].within_noise:
        proposed = single
    mixture = (
        proposed
        if proposed is not single
        else min((one for one in order if one.key in gains), key=lambda one: _value(one, measure), default=None)
    )
    between = None if mixture is None else gains[mixture.key]
    lowest = min(sweep.points, key=lambda one: (rounded(_value(one, measure)), one.point.kind != SINGLE, one.key))
    return Recommendation(
        key=proposed.key,
        measure=measure,
        measure_why=why,
        best=best.key,
        single=single.key,
        mixture=None if mixture is None else mixture.key,
        mixture_against_single=between,
        lowest=lowest.key,
        lowest_against=None if lowest.key == proposed.key else _compare(sweep, measure, proposed, lowest),
        contenders=tuple(contenders.values()),
        beside_single=_beside_single(sweep, measure, single.key),
        sentence=_sentence(proposed, single, mixture, between, measure, why),
    )


def _measure(sweep: Sweep) -> tuple[str, str]:
    """What to go by, and why where it is not the cost."""
    for point in sweep.points:
        figure = point.figures[COST]
        if figure.value is None:
            return WAPE, figure.reason or "not computed"
    if not any((point.figures[COST].value or 0.0) > 0 for point in sweep.points):
        return WAPE, "every point costs nothing"
    return COST, ""


def _value(point: SweepPoint, measure: str) -> float:
    value = point.figures[measure].value
    return float("inf") if value is None else value


def _rank(point: SweepPoint) -> int:
    """How simple: a single, a pair, a mixture of more families or with weights of a demand class's own."""
    if point.point.kind == SINGLE:
        return 0
    return 1 if point.key == FITTED_PAIR else 2


def _beside(sweep: Sweep, measure: str, one: SweepPoint, best: SweepPoint) -> Contender:
    evidence = _compare(sweep, measure, best, one)
    value = _value(one, measure)
    within = one.key == best.key or (evidence.low is not None and evidence.low <= 0)
    return Contender(one.key, value, evidence, within or value <= _value(best, measure))


def _beside_single(sweep: Sweep, measure: str, single: str) -> dict[str, Change]:
    """The change of the measure from the best single to every point, all on the same draws of series."""
    losses = sweep.losses[measure]
    side, at = np.column_stack(list(losses.values())), list(losses).index(single)
    whole = side.sum(axis=0)
    if not whole[at] > 0:
        return {}
    change = whole / whole[at] - 1.0
    if len(side) < MIN_SERIES:
        return {key: Change(float(value), None, None) for key, value in zip(losses, change, strict=True)}
    totals = resampled_totals(side, seed=sweep.seed)
    usable = totals[:, at] > 0
    low, high = np.quantile(totals[usable] / totals[usable, at][:, None] - 1.0, [0.025, 0.975], axis=0)
    rows = zip(losses, change, low, high, strict=True)
    return {key: Change(float(mid), float(least), float(most)) for key, mid, least, most in rows}


def _compare(sweep: Sweep, measure: str, before: SweepPoint, after: SweepPoint) -> Evidence:
    """The change of the measure from one point to another, on the same draws of series."""
    sides = [pd.Series(np.asarray(sweep.losses[measure][point.key])) for point in (before, after)]
    return paired_bootstrap(sides[0], sides[1], seed=sweep.seed)


def _evidence(evidence: Evidence) -> dict[str, Any]:
    plain = evidence.to_json()
    return {k: rounded(v) if isinstance(v, float) else v for k, v in plain.items()}


# --- words ------------------------------------------------------------------------------------------------------------


def plain_name(point: SweepPoint) -> str:
    """A point for people: "lightgbm", "lightgbm 0.7 and prophet 0.3", "weights per demand class"."""
    rows = {name: shares_text(row) for name, row in point.point.weights.items()}
    return next(iter(rows.values())) if len(set(rows.values())) == 1 else "weights per demand class"


def shares_text(row: Mapping[str, float]) -> str:
    """Weights of families for people, the largest first: "lightgbm 0.7 and prophet 0.3"."""
    used = sorted(((w, f) for f, w in row.items() if w > 0), key=lambda pair: (-pair[0], pair[1]))
    if len(used) == 1:
        return _words(used[0][1])
    *first, last = [f"{_words(family)} {weight:.2g}" for weight, family in used]
    return f"{', '.join(first)} and {last}"


def _words(family: str) -> str:
    return family.replace("_", " ")


def _sentence(
    proposed: SweepPoint,
    single: SweepPoint,
    mixture: SweepPoint | None,
    between: Evidence | None,
    measure: str,
    why: str,
) -> str:
    verb = "costs" if measure == COST else "errs"
    if proposed.point.kind == SINGLE:
        text = f"One model, {plain_name(proposed)}, is enough: {_no_mixture(mixture, between, verb)}"
    else:
        text = f"A mixture, {plain_name(proposed)}, {verb} {_less(between)} than the best single, {plain_name(single)}."
    if measure == WAPE:
        text += f" Costs are not known ({why}), so this goes by the error (WAPE) alone."
    return text


def _no_mixture(mixture: SweepPoint | None, between: Evidence | None, verb: str) -> str:
    if mixture is None or between is None:
        return "a mixture that is fitted puts all its weight on one family."
    if between.change is None or between.low is None or between.high is None:
        return f"whether a mixture {verb} less cannot be told ({between.reason})."
    name = f"the best mixture, {plain_name(mixture)},"
    if between.change > SAME:
        return f"{name} {verb} {between.change:.1%} more ({_span(between)})."
    if between.change >= -SAME:
        return f"{name} {verb} the same ({_span(between)})."
    return f"{name} {verb} {-between.change:.1%} less, which is within the noise ({_span(between)})."


def _span(evidence: Evidence) -> str:
    """The 95% interval of a change: "95%: 1.2% to 4.8% less", "95%: 2.1% less to 0.5% more"."""
    low, high = evidence.low or 0.0, evidence.high or 0.0
    if high <= 0:
        return f"95%: {-high:.1%} to {-low:.1%} less"
    return f"95%: {low:.1%} to {high:.1%} more" if low >= 0 else f"95%: {-low:.1%} less to {high:.1%} more"


def _less(evidence: Evidence | None) -> str:
    """How much less: a mixture is only proposed where it is surely less."""
    if evidence is None or evidence.change is None:
        return "less"
    return f"{-evidence.change:.1%} less ({_span(evidence)})"
