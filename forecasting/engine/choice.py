"""Which weights a demand class gets, and whether a mixture is worth it: judged on origins that fitted nothing.

Every candidate is cross-fitted: an origin is forecast with what the other origins gave. The simplest stands until a
richer one holds its own: the best single family, one mixture for all (unless it is clearly worse), and for a demand
class a family or a mixture of its own (which has to be better beyond noise).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from forecasting.engine.bootstrap import sure_lower
from forecasting.engine.types import ANY_CLASS
from forecasting.engine.weights import JOIN, Rows, as_weights, best_single, even_mixture

SURE = 0.05
"""One mixture for all is taken unless the best single is clearly better: the mixture has to beat it with at least this
probability (bootstrap over series and origins). Which of two near equals is best changes from origin to origin, and
their mixture does not care; where no other family is nearly as good, the mixture is the single."""
OTHERS_SURE = 0.90
"""A mixture of others, where the best single declined too many rows to take part, has to be clearly better than it."""
CLASS_SURE = 0.90
"""Weights of its own have to beat what the others have with this one, and by `JOIN`: there are several tries."""
MIN_CLASS_ROWS = 200
RESAMPLES = 500
SINGLE, MIXTURE = "single", "mixture"
Shares = dict[str, np.ndarray]
Origins = frozenset[int]


@dataclass(frozen=True)
class Chosen:
    """Weights (demand class -> family -> share; "*" for the classes not named) and why, in one sentence."""

    weights: dict[str, dict[str, float]]
    reason: str


@dataclass(frozen=True)
class Study:
    """The rows of a backtest and what was fitted on them so far. Asked of some origins, it looks at no others."""

    rows: Rows
    seed: int = 2017
    _fits: dict[tuple[Origins, str, str], np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def fitted(self, origins: Iterable[date]) -> dict[str, dict[str, float]]:
        """The ensemble: one mixture for all, and for a class weights of its own where they beat it beyond noise."""
        known = _numbers(origins)
        return self._named(self._with_classes(known, MIXTURE, self._kinds(known, MIXTURE)))

    def chosen(self, origins: Iterable[date]) -> Chosen:
        """One mixture for all, unless the best single is clearly better; weights of a class's own where they pay."""
        known = _numbers(origins)
        rows, alone = self._of(known), self._fit(known, ANY_CLASS, SINGLE)
        name = next(iter(as_weights(rows.families, alone)))
        single = {ANY_CLASS: {name: 1.0}}
        if len(rows.families) < 2:
            return Chosen(single, f"{name} is the only family")
        if len(known) < 2:
            return Chosen(single, f"{name} is the best alone; whether an ensemble is better takes a second origin")
        base = SINGLE
        errors = self._crossed(known, ANY_CLASS, SINGLE), self._crossed(known, ANY_CLASS, MIXTURE)
        takes_part = bool(self._fit(known, ANY_CLASS, MIXTURE)[alone > 0].any())
        if self._sure(rows, *errors) >= (SURE if takes_part else OTHERS_SURE):
            base = MIXTURE
        kinds = self._kinds(known, base)
        shares = self._with_classes(known, base, kinds)
        weights = self._named(shares)
        if weights == single:
            alone_too = np.array_equal(self._fit(known, ANY_CLASS, MIXTURE), alone)
            why = "no other family came near it" if alone_too else "clearly better than a mixture with others"
            return Chosen(single, f"{name} alone: {why}")
        sure = self._sure(rows, errors[0], self._all_crossed(known, base, kinds))
        return Chosen(weights, _reason(weights, name, sure))

    # --- fits ---------------------------------------------------------------------------------------------------------

    def _of(self, origins: Origins, name: str = ANY_CLASS) -> Rows:
        here = np.isin(self.rows.origin, list(origins))
        return self.rows.where(here if name == ANY_CLASS else here & self.rows.in_class(name))

    def _fit(self, origins: Origins, name: str, kind: str) -> np.ndarray:
        """Shares from the rows of these origins: `single` or `mixture`, of one class or of all ("*")."""
        key = (origins, name, kind)
        if key not in self._fits:
            self._fits[key] = (best_single if kind == SINGLE else even_mixture)(self._of(origins, name))
        return self._fits[key]

    def _with_classes(self, origins: Origins, base: str, kinds: dict[str, str]) -> Shares:
        """Shares for all, and those of the classes that have their own."""
        own = {name: self._fit(origins, name, kind) for name, kind in kinds.items()}
        shared = self._fit(origins, ANY_CLASS, base)
        return {ANY_CLASS: shared, **{n: s for n, s in own.items() if not np.array_equal(s, shared)}}

    def _kinds(self, origins: Origins, base: str) -> dict[str, str]:
        """Class -> kind of weights that beat those of all classes (cross-fitted); no entry where none does."""
        out: dict[str, str] = {}
        if len(origins) < 2:
            return out
        rows = self._of(origins)
        for name in rows.classes:
            here = rows.where(rows.in_class(name))
            if len(here.y) < MIN_CLASS_ROWS:
                continue
            least = self._crossed(origins, name, base, shared=True)
            for kind in (SINGLE, MIXTURE):
                tried = self._crossed(origins, name, kind)
                if tried.sum() <= (1.0 - JOIN) * least.sum() and self._sure(here, least, tried) >= CLASS_SURE:
                    out[name], least = kind, tried
        return out

    # --- judging ------------------------------------------------------------------------------------------------------

    def _crossed(self, origins: Origins, name: str, kind: str, *, shared: bool = False) -> np.ndarray:
        """Error of each row of a class, with the fit of the other origins; shared: with their fit of all classes."""
        rows = self._of(origins, name)
        out = np.zeros(len(rows.y))
        for origin in sorted(origins):
            here, rest = rows.origin == origin, origins - {origin}
            share = self._fit(rest, ANY_CLASS if shared else name, kind)
            out[here] = rows.where(here).errors(share)
        return out

    def _all_crossed(self, origins: Origins, base: str, kinds: dict[str, str]) -> np.ndarray:
        """Error of each row with the weights of its class as chosen on all origins, fitted on the others."""
        rows = self._of(origins)
        out = self._crossed(origins, ANY_CLASS, base)
        for name, kind in kinds.items():
            out[rows.in_class(name)] = self._crossed(origins, name, kind)
        return out

    def _sure(self, rows: Rows, champion: np.ndarray, candidate: np.ndarray) -> float:
        return sure_lower(rows.series, rows.origin, champion, candidate, seed=self.seed, resamples=RESAMPLES)

    def _named(self, shares: Shares) -> dict[str, dict[str, float]]:
        return {name: as_weights(self.rows.families, row) for name, row in shares.items()}


def _numbers(origins: Iterable[date]) -> Origins:
    return frozenset(int(np.datetime64(day, "D").astype("int64")) for day in origins)


def _reason(weights: dict[str, dict[str, float]], single: str, sure: float) -> str:
    """In one sentence; where the mixture is not even likely the better, that it is no worse is all that is said."""
    classes = sorted(set(weights) - {ANY_CLASS})
    what = f"a mixture of {_and(sorted(weights[ANY_CLASS]))}" if len(weights[ANY_CLASS]) > 1 else ""
    if classes:
        own = f"{'weights' if len(classes) > 1 else 'weights of its own'} for {_and(classes)} demand"
        what = f"{what}, with {own}," if what else own
    if sure < 0.5:
        return f"{what} did as well as {single} alone within noise, and does not hang on which family is best next"
    return f"{what} beat {single} alone with probability {sure:.2f}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
