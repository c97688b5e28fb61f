"""The strategy cycle: is one family enough, or does a mixture pay? A sweep of weights on the rolling origins.

Every point is judged as if each origin had been sealed: families train before it, and its intervals and orders are
calibrated on the other origins. Fixed shares are fitted to nothing; fitted weights come from the other origins, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.backtest import Backtest, Progress
from forecasting.engine.business import BusinessPolicy
from forecasting.engine.combine import FALLBACKS, MIN_COVERED, Weights, study
from forecasting.engine.errors import EngineError
from forecasting.engine.strategy_figures import RESAMPLES, Figure, Resampler
from forecasting.engine.strategy_points import FITTED, PAIR, SINGLE, Ground, Judged, Point, judge_all
from forecasting.engine.types import ANY_CLASS, ModelSpec

STEPS = 10
FLOOR = "seasonal_naive"
WAPE, COST = "wape", "total_cost"
FITTED_PAIR, FITTED_MIXTURE = "fitted:pair", "fitted:mixture"


class NothingToSweep(EngineError):
    """There is nothing that one mode could be told from another by."""

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        super().__init__(f"A strategy cycle is not possible: {reason}. {advice}")


@dataclass(frozen=True)
class SweepPoint:
    """A point with its figures by name of the measure.

    spec: what would be trained. why_not: why it may not be recommended; empty where it may. missing, stood_in: rows
    that nothing forecast, and rows for which a family without weight stepped in.
    """

    point: Point
    spec: ModelSpec
    figures: Mapping[str, Figure]
    missing: int
    stood_in: int
    why_not: str = ""

    @property
    def key(self) -> str:
        """Name of the point, such as pair:lightgbm:prophet:0.7."""
        return self.point.key

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        by_origin = {day.isoformat(): _plain(row) for day, row in self.point.by_origin.items()}
        return {
            "key": self.key,
            "kind": self.point.kind,
            "label": self.spec.label,
            "mode": self.spec.mode,
            "families": list(self.spec.families),
            "weights": _plain(self.point.weights),
            "weights_by_origin": by_origin,
            "spec_sha256": self.spec.sha256,
            "why_not": self.why_not,
            "missing_rows": self.missing,
            "stood_in_rows": self.stood_in,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
        }


@dataclass(frozen=True)
class Sweep:
    """Every point judged. `modes` are those between which the recommendation chooses, the simplest kind first. absent:
    families that declined every row; they are in no point.

    pairs: (one, other, keys of the points from one alone to the other alone). rows: known rows, with series and demand
    classes. losses: measure (wape, total_cost) -> key -> error or cost of each series.
    """

    points: tuple[SweepPoint, ...]
    pairs: tuple[tuple[str, str, tuple[str, ...]], ...]
    modes: tuple[str, ...]
    absent: tuple[str, ...]
    origins: tuple[date, ...]
    horizon: int
    grain: str
    series: int
    rows: int
    classes: Mapping[str, int]
    policy: BusinessPolicy
    seed: int
    resamples: int
    losses: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict, compare=False, repr=False)

    def get(self, key: str) -> SweepPoint:
        """The point of that name; raises KeyError."""
        for point in self.points:
            if point.key == key:
                return point
        raise KeyError(key)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "origins": [day.isoformat() for day in self.origins],
            "horizon": self.horizon,
            "grain": self.grain,
            "series": self.series,
            "rows": self.rows,
            "classes": dict(self.classes),
            "policy": self.policy.to_json(),
            "bootstrap": {"seed": self.seed, "resamples": self.resamples, "over": "series"},
            "pairs": [{"one": one, "other": other, "points": list(keys)} for one, other, keys in self.pairs],
            "modes": list(self.modes),
            "absent": list(self.absent),
            "points": [point.to_json() for point in self.points],
        }


def sweep(
    backtest: Backtest,
    base: ModelSpec,
    classes: pd.Series,
    values: pd.DataFrame,
    policy: BusinessPolicy,
    *,
    resamples: int = RESAMPLES,
    steps: int = STEPS,
    week_steps: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Judge every single family, every pair in tenths, the fitted pair and the fitted mixture.

    backtest: of all families of `base`. classes: index unique_id. values: as from `business.unit_values`, of the
    training side. steps: of a pair's sweep, from one alone to the other alone; a divisor of ten. Raises NothingToSweep:
    fewer than two families or origins, or nothing sold.
    """
    compared = backtest.families
    backtest = _present(backtest)
    ground = Ground.of(
        backtest, classes, values, policy, grain=base.grain, week_steps=week_steps or {"D": 7, "W": 1}[base.grain]
    )
    found = _Findings(Resampler(base.seed, resamples))
    batches = _batches(backtest, steps)
    whole = len(batches) + 1
    for number, (batch, judged) in enumerate(_judged(ground, batches, executor)):
        found.take(batch, judged)
        if progress is not None:
            progress(number + 1, whole, f"Judged {len(found.points)} mixtures")
    fitted = tuple(_fitted(backtest, base, classes, found))
    found.take(fitted, judge_all(ground, fitted))
    if progress is not None:
        progress(whole, whole, "Judged the fitted weights")
    refused = _refused(found.judged, backtest)
    points = tuple(
        _pointed(point, found.judged[key], backtest, base, found.figures[key], refused.get(key, ""))
        for key, point in found.points.items()
    )
    modes = tuple(point.key for point in points if not point.why_not and point.point.kind != PAIR)
    return Sweep(
        points=points,
        pairs=tuple(_pairs(backtest.families, steps)),
        modes=modes,
        absent=tuple(name for name in compared if name not in backtest.families),
        origins=tuple(backtest.origins),
        horizon=backtest.horizon,
        grain=base.grain,
        series=len(ground.ids),
        rows=max(point.figures[WAPE].n for point in points),
        classes={str(k): int(v) for k, v in classes.reindex(ground.ids).value_counts().sort_index().items()},
        policy=policy,
        seed=base.seed,
        resamples=resamples,
        losses=found.losses,
    )


# --- what is tried ----------------------------------------------------------------------------------------------------


def _present(backtest: Backtest) -> Backtest:
    """The backtest without families that declined every row, if there is something to compare in it."""
    if len(backtest.families) < 2:
        raise NothingToSweep(f"{backtest.families[0]} is the only family", "Name at least one family beside it.")
    families = tuple(name for name in backtest.families if backtest.frame[name].notna().any())
    if len(families) < 2:
        raise NothingToSweep(
            f"no more than one of {', '.join(backtest.families)} made a forecast", "Compare more families."
        )
    if len(backtest.origins) < 2:
        raise NothingToSweep(
            "there is one origin only", "Weights and intervals come from the other origins: ask for two or more."
        )
    known = backtest.frame.loc[~backtest.frame["censored"], "y"]
    if not known.abs().sum() > 0:
        raise NothingToSweep(
            "nothing was sold on the days of these origins", "Ask for more origins, or load demand that sold."
        )
    absent = [name for name in backtest.families if name not in families]
    return replace(backtest, frame=backtest.frame.drop(columns=absent), families=families)


def spec_families(weights: Weights, backtest: Backtest) -> tuple[str, ...]:
    """The families of a spec with these weights: where those of a class may all decline a row, the first of
    `FALLBACKS` stands in; and the floor is always there."""
    used = [name for name in backtest.families if any(row.get(name, 0.0) > 0 for row in weights.values())]
    whole = backtest.frame[used].notna().all()
    covered = all(any(whole[name] for name, share in row.items() if share > 0) for row in weights.values())
    stand_ins = [] if covered else [name for name in FALLBACKS if name in backtest.families]
    floor = [FLOOR] if FLOOR in backtest.families else []
    return tuple(dict.fromkeys([*used, *stand_ins[:1], *floor]))


def _single(name: str, backtest: Backtest) -> Point:
    weights = {ANY_CLASS: {name: 1.0}}
    return Point(f"{SINGLE}:{name}", SINGLE, spec_families(weights, backtest), weights)


def _pair_key(one: str, other: str, share: float) -> str:
    if share in (0.0, 1.0):
        return f"{SINGLE}:{one if share else other}"
    return f"{PAIR}:{one}:{other}:{share:.1f}"


def _pairs(families: Sequence[str], steps: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for one, other in combinations(families, 2):
        yield one, other, tuple(_pair_key(one, other, step / steps) for step in range(steps, -1, -1))


def _batches(backtest: Backtest, steps: int) -> list[tuple[Point, ...]]:
    """The fixed points, in groups that need few columns: the singles, then each pair's mixtures."""
    singles = tuple(_single(name, backtest) for name in backtest.families)
    batches = [singles]
    for one, other in combinations(backtest.families, 2):
        batch = []
        for step in range(steps - 1, 0, -1):
            share = step / steps
            weights = {ANY_CLASS: {one: share, other: round(1.0 - share, 10)}}
            batch.append(Point(_pair_key(one, other, share), PAIR, spec_families(weights, backtest), weights))
        batches.append(tuple(batch))
    return batches


def _fitted(backtest: Backtest, base: ModelSpec, classes: pd.Series, found: _Findings) -> Iterator[Point]:
    """The pair with the least absolute error, and the fitted mixture (with weights of a demand class's own where they
    pay): for each origin from the others."""
    points = list(found.points.values())
    errors = np.array([one.errors for one in found.judged.values()])
    whole = errors.sum(axis=1)
    by_origin = {day: points[int(np.argmin(whole - errors[:, k]))].weights for k, day in enumerate(backtest.origins)}
    yield _of_all(FITTED_PAIR, points[int(np.argmin(whole))].weights, by_origin, backtest)
    ready = study(backtest, classes, base.seed)
    others = {day: ready.fitted(one for one in backtest.origins if one != day) for day in backtest.origins}
    yield _of_all(FITTED_MIXTURE, ready.fitted(backtest.origins), others, backtest)


def _of_all(key: str, weights: Weights, by_origin: Mapping[date, Weights], backtest: Backtest) -> Point:
    rows = [row for one in (weights, *by_origin.values()) for row in one.values()]
    families = spec_families({str(k): row for k, row in enumerate(rows)}, backtest)
    return Point(key, FITTED, families, weights, by_origin)


# --- judging ----------------------------------------------------------------------------------------------------------


@dataclass
class _Findings:
    """What was judged so far. Of the amounts only error and cost of each series stay: all amounts of all points would
    be the largest thing in memory."""

    draws: Resampler
    points: dict[str, Point] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    figures: dict[str, dict[str, Figure]] = field(default_factory=dict)
    losses: dict[str, dict[str, np.ndarray]] = field(default_factory=lambda: {WAPE: {}, COST: {}})

    def take(self, points: Sequence[Point], judged: Sequence[Judged]) -> None:
        """Add points with their judgements."""
        for point, one, figures in zip(points, judged, self.draws.figures(judged), strict=True):
            self.points[point.key], self.figures[point.key] = point, figures
            self.losses[WAPE][point.key] = one.amount("absolute").copy()
            self.losses[COST][point.key] = one.amount("total_cost").copy()
            self.judged[point.key] = replace(one, amounts=np.zeros((0, one.amounts.shape[1])))


def _judged(
    ground: Ground, batches: Iterable[tuple[Point, ...]], executor: Executor | None
) -> Iterator[tuple[tuple[Point, ...], list[Judged]]]:
    """Each batch with its judgements, in order; over the executor where there is one."""
    batches = list(batches)
    grounds = (ground.only({name for point in batch for name in point.families}) for batch in batches)
    mapped = map if executor is None else executor.map
    yield from zip(batches, mapped(judge_all, grounds, batches), strict=True)


def _pointed(
    point: Point, one: Judged, backtest: Backtest, base: ModelSpec, figures: Mapping[str, Figure], why_not: str
) -> SweepPoint:
    spec = replace(base, families=spec_families(point.weights, backtest), weights=point.weights)
    if point.kind == FITTED and spec.mode != "ensemble":
        why_not = "its weights are those of one family"
    return SweepPoint(point, spec, figures, one.missing, one.stood_in, why_not)


def _refused(judged: Mapping[str, Judged], backtest: Backtest) -> dict[str, str]:
    """Why a point may not be recommended: it leaves rows without a forecast that others make, or it is a single that
    declines most rows (with its stand-ins it is a mixture, and competes as one)."""
    fewest = min(one.missing for one in judged.values())
    out = {
        key: f"it leaves {one.missing - fewest} rows without a forecast"
        for key, one in judged.items()
        if one.missing > fewest
    }
    covered = backtest.frame[list(backtest.families)].notna().mean()
    out |= {
        f"{SINGLE}:{name}": f"it declined {1 - covered[name]:.0%} of the rows"
        for name in backtest.families
        if covered[name] < MIN_COVERED
    }
    singles = {f"{SINGLE}:{name}" for name in backtest.families}
    return out if singles - set(out) else {key: why for key, why in out.items() if key not in singles}


def _plain(weights: Weights) -> dict[str, dict[str, float]]:
    return {name: dict(row) for name, row in weights.items()}
