"""The boosters behind both LightGBM families: one for series that sell on most days, one for those that do not.

Each group's target is transformed as its own past says: a tweedie loss on demand itself, or a squared loss on
log(1 + demand) whose answer is brought back to the mean (smearing; Duan 1983). The median (L1) is never taken
unasked: its absolute error is lower and its total biased, and stock and hierarchies are made of totals. A spec can ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forecasting.engine.panel import Panel, classify
from forecasting.engine.types import DemandClass

CUT = 50.0
"""Demand is learned, and forecast, up to so many levels of its series."""
DEFAULTS: dict[str, Any] = {
    "tweedie_variance_power": 1.5,
    "rounds": 150,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "num_threads": 1,
    "weight_power": 0.5,
    "trial_rounds": 40,
    "trial_rows": 40_000,
    "trial_bias": 0.02,
}
MANY_ROWS = 100_000
MANY: dict[str, Any] = {
    "tweedie_variance_power": 1.3,
    "rounds": 100,
    "learning_rate": 0.07,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.4,
    "bin_construct_sample_cnt": 20_000,
    "trial_rounds": 40,
    "trial_rows": 25_000,
    "trial_bias": 0.03,
}
"""Of a history of so many rows, trees may be larger, and fewer of them do."""
OWN = ("rounds", "weight_power", "trial_rounds", "trial_rows", "trial_bias")
ALL, FREQUENT, SPARSE = "all", "frequent", "sparse"
SPARSE_CLASSES = (DemandClass.INTERMITTENT.value, DemandClass.LUMPY.value)
GROUP_ROWS = 5000
"""A group of its own needs so many rows."""
TWEEDIE, LOG = "tweedie", "log"
TRIAL_RATE = 0.1
LEAST_GAIN = 0.01
"""The log is taken where it lowers the error by this share, and moves the bias by no more than `trial_bias`."""
SMEAR_RANGE, SMEAR_ROWS = (0.5, 2.0), 30_000
USUAL_ROWS = 20_000


@dataclass(frozen=True)
class Lesson:
    """Rows to learn from. x: float32 features × rows; target: demand in levels; level: in units; day: its column;
    counts: how many rows of the history each stands for."""

    x: np.ndarray
    names: list[str]
    target: np.ndarray
    level: np.ndarray
    day: np.ndarray
    group: np.ndarray
    counts: np.ndarray

    def only(self, keep: np.ndarray) -> Lesson:
        """The rows of a mask."""
        if keep.all():
            return self
        rows = {n: getattr(self, n)[keep] for n in ("target", "level", "day", "group", "counts")}
        return Lesson(x=self.x[:, keep], names=self.names, **rows)


@dataclass(frozen=True)
class Part:
    """One group's booster. transform: "tweedie", "log", or an objective that the spec asked for."""

    booster: Any
    transform: str
    smear: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Demand in levels of rows × features."""
        answer = np.asarray(self.booster.predict(x, num_threads=1))
        if self.transform == LOG:
            answer = np.expm1(answer) * self.smear
        return np.asarray(np.clip(answer, 0.0, CUT))


@dataclass(frozen=True)
class Boosters:
    """All groups. A row whose group has no booster of its own goes to that of all.

    usual: what a feature is taken for where it is not known, if it was always known in training (a booster that has
    not seen a gap would read it as 0); NaN for one with gaps in training, which the booster has learned.
    """

    parts: Mapping[str, Part]
    usual: np.ndarray

    def filled(self, x: np.ndarray) -> np.ndarray:
        """Rows × features as the boosters are to see them."""
        return np.where(np.isnan(x), self.usual.astype(x.dtype), x)

    def part(self, group: str) -> Part:
        """The booster that answers for a group."""
        return self.parts.get(group) or next(iter(self.parts.values()))

    def predict(self, x: np.ndarray, level: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Demand in units of rows × features; level (units) and name of the group of each row."""
        x = self.filled(x)
        if len(self.parts) == 1:
            return np.asarray(next(iter(self.parts.values())).predict(x) * level)
        out = np.zeros(len(x))
        for name in sorted(set(group)):
            rows = group == name
            out[rows] = self.part(name).predict(x[rows])
        return np.asarray(out * level)

    def save(self, directory: Path, stem: str) -> list[str]:
        """LightGBM's text format, a file a group; what else is needed is in `to_json`."""
        names = []
        for group, part in self.parts.items():
            names.append(_file(stem, group))
            (directory / names[-1]).write_text(part.booster.model_to_string(), encoding="utf-8")
        return names

    def to_json(self) -> dict[str, Any]:
        """Transform and smearing factor of each group, and the usual values."""
        parts = {g: {"transform": part.transform, "smear": part.smear} for g, part in self.parts.items()}
        return {"groups": parts, "usual": [None if np.isnan(v) else float(v) for v in self.usual]}

    @classmethod
    def load(cls, directory: Path, stem: str, body: Mapping[str, Any]) -> Boosters:
        """Inverse of `save` and `to_json`."""
        import lightgbm as lgb

        parts = {}
        for group, row in body["groups"].items():
            text = (directory / _file(stem, group)).read_text(encoding="utf-8")
            parts[group] = Part(lgb.Booster(model_str=text), row["transform"], row["smear"])
        return cls(parts, np.array([np.nan if v is None else v for v in body["usual"]]))


def _file(stem: str, group: str) -> str:
    return f"{stem}.{SPARSE}.txt" if group == SPARSE else f"{stem}.txt"


def groups_of(panel: Panel) -> np.ndarray:
    """The group of each series of a panel, in order of its ids."""
    classes = classify(panel).to_numpy()
    return np.where(np.isin(classes, SPARSE_CLASSES), SPARSE, FREQUENT)


def fit_boosters(
    lesson: Lesson, given: Mapping[str, Any], *, seed: int, categorical: list[str], trial_steps: int
) -> Boosters:
    """Fit a booster for each group that is large enough, else one for all.

    given: the spec's parameters over `DEFAULTS`; an "objective" among them is used as it is. trial_steps: the last
    steps of the history, on which the transforms are compared by boosters that have not seen them.
    """
    params = {**DEFAULTS, **(MANY if lesson.counts.sum() >= MANY_ROWS else {}), **given}
    parts = {}
    for name in _separate(lesson):
        own = lesson if name == ALL else lesson.only(lesson.group == name)
        asked = params.get("objective")
        transform = asked or _choose(own, params, seed, categorical, trial_steps)
        parts[name] = _fit(own, params, transform, seed, categorical)
    return Boosters(parts, _usual(lesson, categorical))


def _usual(lesson: Lesson, categorical: list[str]) -> np.ndarray:
    """Median of each feature without a gap in training (of evenly spaced rows, where there are many), else NaN."""
    some = lesson.x[:, :: max(1, lesson.x.shape[1] // USUAL_ROWS)]
    gaps = np.isnan(lesson.x).any(axis=1) | np.isin(lesson.names, categorical)
    return np.where(gaps, np.nan, np.median(np.where(gaps[:, None], 0.0, some), axis=1))


def _separate(lesson: Lesson) -> list[str]:
    sizes = [int((lesson.group == name).sum()) for name in (FREQUENT, SPARSE)]
    return [FREQUENT, SPARSE] if min(sizes) >= GROUP_ROWS else [ALL]


def _choose(lesson: Lesson, params: Mapping[str, Any], seed: int, categorical: list[str], steps: int) -> str:
    """Tweedie, unless the log is clearly better on the last steps of the history, which neither trial has learned."""
    last = int(lesson.day.max())
    late = lesson.day > last - steps
    early = ~late
    if not late.any() or early.sum() < GROUP_ROWS:
        return TWEEDIE
    learn, judge = (lesson.only(_every(side, int(params["trial_rows"]))) for side in (early, late))
    rounds = min(int(params["trial_rounds"]), int(params["rounds"]))
    quick = {**params, "rounds": rounds, "learning_rate": TRIAL_RATE}
    error, bias = {}, {}
    actual = (judge.counts * judge.level * judge.target).sum()
    if not actual > 0:
        return TWEEDIE
    binned = _binned(learn, quick, categorical)
    for transform in (TWEEDIE, LOG):
        made = _fit(learn, quick, transform, seed, categorical, binned).predict(judge.x.T)
        miss = judge.counts * judge.level * (made - judge.target)
        error[transform], bias[transform] = (np.abs(miss).sum() / actual, miss.sum() / actual)
    better = error[LOG] < (1.0 - LEAST_GAIN) * error[TWEEDIE]
    return LOG if better and abs(bias[LOG]) <= abs(bias[TWEEDIE]) + float(params["trial_bias"]) else TWEEDIE


def _every(side: np.ndarray, most: int) -> np.ndarray:
    """Evenly spaced rows of a mask: all, or between `most` and twice as many."""
    thin = max(1, int(side.sum()) // most)
    return np.asarray(side & (np.cumsum(side) % thin == 0))


def _native(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that LightGBM is given."""
    own = {k: v for k, v in params.items() if k not in OWN}
    return own | {"deterministic": True, "force_row_wise": True, "verbose": -1}


def _binned(lesson: Lesson, params: Mapping[str, Any], categorical: list[str]) -> Any:
    """The rows in bins, for boosters of either transform: `_fit` gives them their target."""
    import lightgbm as lgb

    weight = lesson.counts * lesson.level ** float(params["weight_power"])
    return lgb.Dataset(
        lesson.x.T,
        lesson.target.astype("float32"),
        weight=(weight / weight.mean()).astype("float32"),
        feature_name=lesson.names,
        categorical_feature=categorical,
        params=_native(params),
        free_raw_data=True,
    ).construct()


def _fit(
    lesson: Lesson,
    params: Mapping[str, Any],
    transform: str,
    seed: int,
    categorical: list[str],
    binned: Any = None,
) -> Part:
    """One booster. binned: the same rows from `_binned`, where they are there."""
    import lightgbm as lgb

    own = _native(params) | {"seed": seed, "objective": "regression" if transform == LOG else transform}
    data = binned if binned is not None else _binned(lesson, params, categorical)
    data.set_label((np.log1p(lesson.target) if transform == LOG else lesson.target).astype("float32"))
    booster = lgb.train(own, data, num_boost_round=int(params["rounds"]))
    # The text that will be stored is what predicts from now on, so that a reload cannot differ.
    stored = lgb.Booster(model_str=booster.model_to_string())
    smear = 1.0
    if transform == LOG:
        some = lesson.only(_every(np.ones(len(lesson.target), dtype=bool), SMEAR_ROWS))
        size = some.counts * some.level
        made = (size * np.expm1(stored.predict(some.x.T, num_threads=1))).sum()
        smear = float(np.clip((size * some.target).sum() / made, *SMEAR_RANGE)) if made > 0 else 1.0
    return Part(stored, transform, smear)
