"""A forecast of a LightGBM family taken apart: SHAP values of the very rows that its boosters were asked for.

They are exact and additive in the booster's own score (Lundberg et al. 2020, "From local explanations to global
understanding with explainable AI for trees"). Where the score is a logarithm of demand, an effect is a factor. Where it
is log(1 + demand), no factor is exact; effects are brought to units by the logarithmic mean, so that they add up there
(Ang 2004, "Decomposition analysis for policymaking in energy", the LMDI).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from forecasting.engine.explain_words import Words, feature_words
from forecasting.engine.families.lightgbm_boosters import LOG, Boosters, Part
from forecasting.engine.families.lightgbm_fitted import FittedBoosters

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Taken:
    """An answer taken apart: see `explain.Member`. found: words, feature and effect of each feature."""

    scale: Literal["factor", "units"]
    base: float
    raw: float
    found: list[tuple[Words, str, float]]
    closed: bool


class Untruthful(ValueError):
    """The parts do not add up to the answer."""


class Recorder:
    """Boosters that remember the rows they were asked for, with level and group."""

    def __init__(self, boosters: Boosters) -> None:
        self.boosters = boosters
        self.rows: list[tuple[np.ndarray, float, str]] = []

    def predict(self, x: np.ndarray, level: np.ndarray, group: np.ndarray) -> np.ndarray:
        """As `Boosters.predict`."""
        self.rows += [(np.array(x[i : i + 1]), float(level[i]), str(group[i])) for i in range(len(x))]
        return self.boosters.predict(x, level, group)


def recording(part: FittedBoosters) -> FittedBoosters:
    """The same fit, listening to its own forecasts of one series."""
    if part.boosters is None:
        return part
    return replace(part, boosters=Recorder(part.boosters))  # type: ignore[arg-type]  # has all that predict needs


def take_apart(part: FittedBoosters, h: int, steps: int) -> Taken:
    """Step `h` of the last forecast of one series, by a fit from `recording`. Raises Untruthful."""
    recorder: Any = part.boosters
    if len(recorder.rows) != steps:
        raise Untruthful("The model was not asked once for each step.")
    row, level, group = recorder.rows[h - 1]
    row = recorder.boosters.filled(row)
    own, names, codes = (recorder.boosters.part(group), part.state["features"], part.state["codes"])
    *effects, base = np.asarray(own.booster.predict(row, pred_contrib=True, num_threads=1))[0].tolist()
    score = float(own.booster.predict(row, raw_score=True, num_threads=1)[0])
    if not _close(base + sum(effects), score):
        raise Untruthful("The model's contributions do not add up to its answer.")
    scale, base_units, raw, unit = _scaled(own, row, base, score, level)
    words = [
        feature_words(n, v, grain=part.state["grain"], level=level, codes=codes, lead=h)
        for n, v in zip(names, row[0].tolist(), strict=True)
    ]
    closed = float(row[0, names.index("closed_share")]) >= 0.99
    found = [(w, n, unit * e) for w, n, e in zip(words, names, effects, strict=True)]
    return Taken(scale, base_units, raw, found, closed)


def _scaled(
    part: Part, row: np.ndarray, base: float, score: float, level: float
) -> tuple[Literal["factor", "units"], float, float, float]:
    """Scale, base and answer in units, and what one unit of score is worth there."""
    if part.transform == LOG:
        worth = level * part.smear
        mean = np.exp(base) if _close(score, base) else (np.exp(score) - np.exp(base)) / (score - base)
        return ("units", worth * float(np.expm1(base)), worth * float(np.expm1(score)), worth * float(mean))
    answer = float(part.booster.predict(row, num_threads=1)[0])
    if _close(np.exp(score), answer):
        return "factor", level * float(np.exp(base)), level * answer, 1.0
    if _close(score, answer):
        return "units", level * base, level * answer, level
    raise Untruthful("The model's answer is neither its score nor the exponential of it.")


def _close(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))
