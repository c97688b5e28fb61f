"""What the engine is asked: the window, the regressors and the spec. Frozen, validated, stored as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from forecasting.engine.errors import PartitionViolation

if TYPE_CHECKING:
    import pandas as pd

ANY_CLASS = "*"
"""Key of `ModelSpec.weights` for the demand classes that have no entry of their own."""
BOTTOM_UP, MINT = "bottom_up", "mint"
"""How the levels of the hierarchy come to agree: `ModelSpec.reconciliation`."""


class DemandClass(StrEnum):
    """Syntetos-Boylan demand classes (ADI 1.32, CV² 0.49)."""

    SMOOTH = "smooth"
    INTERMITTENT = "intermittent"
    ERRATIC = "erratic"
    LUMPY = "lumpy"


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces; NaN and infinity are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class TrainingWindow:
    """The partition: what may be trained on, what is sealed, and the fingerprint of the training rows.

    Days are inclusive. `holdout_start` and `holdout_end` are None for a refit, whose `train_end` is `as_of`.
    """

    train_start: date
    train_end: date
    gap: int
    holdout_start: date | None
    holdout_end: date | None
    as_of: date
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.train_start > self.train_end:
            raise ValueError(f"train_start {self.train_start} is after train_end {self.train_end}")
        if self.gap < 0:
            raise ValueError("gap must be 0 or more days")
        if (self.holdout_start is None) != (self.holdout_end is None):
            raise ValueError("holdout_start and holdout_end come together")
        if self.holdout_start is not None and self.holdout_end is not None:
            if self.holdout_start <= self.train_end + timedelta(days=self.gap):
                raise ValueError("the holdout must start after train_end plus the gap")
            if self.holdout_start > self.holdout_end:
                raise ValueError("holdout_start is after holdout_end")
            if self.holdout_end > self.as_of:
                raise ValueError("the holdout must end by the as-of date")
        elif self.train_end > self.as_of:
            raise ValueError("train_end must not be after the as-of date")

    @classmethod
    def plan(cls, first_day: date, as_of: date, holdout_days: int = 28, gap: int = 0) -> TrainingWindow:
        """The window of a candidate that will be judged: the last `holdout_days`, as_of included, are sealed."""
        if holdout_days <= 0:
            return cls.refit(first_day, as_of)
        start = as_of - timedelta(days=holdout_days - 1)
        return cls(first_day, start - timedelta(days=1 + gap), gap, start, as_of, as_of)

    @classmethod
    def refit(cls, first_day: date, as_of: date) -> TrainingWindow:
        """The window of what serves: everything up to as_of, nothing sealed."""
        return cls(first_day, as_of, 0, None, None, as_of)

    @property
    def sealed(self) -> bool:
        """Whether a holdout is kept back."""
        return self.holdout_start is not None

    @property
    def holdout_days(self) -> int:
        """Length of the sealed holdout in days; 0 when nothing is sealed."""
        if self.holdout_start is None or self.holdout_end is None:
            return 0
        return (self.holdout_end - self.holdout_start).days + 1

    def check(self, frame: pd.DataFrame) -> None:
        """Raise `PartitionViolation` if any row of `frame` (column ds) lies after `train_end`."""
        late = frame.loc[frame["ds"] > str(self.train_end), "ds"]
        if len(late):
            raise PartitionViolation(len(late), late.min().date(), self.train_end)

    def with_fingerprint(self, fingerprint: str) -> TrainingWindow:
        """The same window with the content fingerprint the loader computed."""
        return TrainingWindow(**{**self.__dict__, "fingerprint": fingerprint})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; dates as ISO text."""
        return {k: v.isoformat() if isinstance(v, date) else v for k, v in self.__dict__.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingWindow:
        """Inverse of `to_json`."""
        values = dict(data)
        for key in ("train_start", "train_end", "holdout_start", "holdout_end", "as_of"):
            values[key] = date.fromisoformat(values[key]) if values[key] is not None else None
        return cls(**values)


@dataclass(frozen=True)
class RegressorSet:
    """Declared regressors. What is not declared is not used; historic_only enters only as a lag >= horizon."""

    known_future: tuple[str, ...] = ()
    historic_only: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.known_future, *self.historic_only, *self.static]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"regressor(s) declared twice: {', '.join(twice)}")
        reserved = sorted(set(names) & {"unique_id", "ds", "y", "censored", "closed"})
        if reserved:
            raise ValueError(f"reserved name(s) used as regressor: {', '.join(reserved)}")

    @property
    def dynamic(self) -> tuple[str, ...]:
        """Regressors that vary by day."""
        return self.known_future + self.historic_only

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {k: list(v) for k, v in self.__dict__.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RegressorSet:
        """Inverse of `to_json`."""
        return cls(**{k: tuple(v) for k, v in data.items()})


@dataclass(frozen=True)
class ModelSpec:
    """What is trained: families, their weights per demand class, horizon and hyper-parameters.

    `weights[demand_class][family]` is in [0, 1] and sums to 1 in each class; key "*" serves the classes not named.
    `horizon` and `season_length` are in steps of the grain (days or weeks). `reconciliation` says how forecasts of
    series, stores, categories and the total agree: the sums of the series' ("bottom_up"), or by MinT ("mint").
    """

    families: tuple[str, ...]
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    horizon: int = 14
    season_length: int = 7
    grain: str = "D"
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    levels: tuple[int, ...] = (80, 95)
    prophet_top_n: int = 12
    seed: int = 2017
    reconciliation: str = BOTTOM_UP

    def __post_init__(self) -> None:
        if self.reconciliation not in {BOTTOM_UP, MINT}:
            raise ValueError(f"reconciliation must be {BOTTOM_UP} or {MINT}, not {self.reconciliation!r}")
        if not self.families:
            raise ValueError("a spec needs at least one family")
        if self.horizon < 1 or self.season_length < 1:
            raise ValueError("horizon and season_length must be 1 or more")
        if self.grain not in {"D", "W"}:
            raise ValueError(f"grain must be D or W, not {self.grain!r}")
        if not self.weights:
            object.__setattr__(self, "weights", {ANY_CLASS: {self.families[0]: 1.0}})
        if ANY_CLASS not in self.weights:
            raise ValueError('weights need an entry for "*", the classes that are not named')
        for name, row in self.weights.items():
            unknown = sorted(set(row) - set(self.families))
            if unknown:
                raise ValueError(f"weights of {name} name families that are not in the spec: {', '.join(unknown)}")
            if any(w < 0 for w in row.values()) or abs(sum(row.values()) - 1.0) > 1e-9:
                raise ValueError(f"weights of {name} must be non-negative and sum to 1, not {dict(row)}")

    @property
    def mode(self) -> str:
        """ "single_<family>" when one family carries everything, else "ensemble"."""
        used = {f for row in self.weights.values() for f, w in row.items() if w > 0}
        return f"single_{used.pop()}" if len(used) == 1 else "ensemble"

    @property
    def label(self) -> str:
        """A short name for people, e.g. "ensemble(lightgbm 0.7, prophet 0.3)"."""
        if self.mode != "ensemble":
            return self.mode
        rows = {
            name: {f: w for f, w in sorted(row.items(), key=lambda p: (-p[1], p[0])) if w > 0}
            for name, row in self.weights.items()
        }
        texts = {name: ", ".join(f"{f} {w:.2g}" for f, w in row.items()) for name, row in rows.items()}
        base = texts.pop(ANY_CLASS)
        other = "; ".join(f"{name}: {text}" for name, text in sorted(texts.items()) if text != base)
        return f"ensemble({base}{'; ' + other if other else ''})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        # What is as it always was stays unsaid, so that a spec keeps its identity.
        said = {k: v for k, v in self.__dict__.items() if (k, v) != ("reconciliation", BOTTOM_UP)}
        return {
            **said,
            "families": list(self.families),
            "levels": list(self.levels),
            "weights": {k: dict(v) for k, v in self.weights.items()},
            "params": {k: dict(v) for k, v in self.params.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Inverse of `to_json`."""
        values = dict(data)
        values["families"], values["levels"] = tuple(values["families"]), tuple(values["levels"])
        return cls(**values)

    @property
    def sha256(self) -> str:
        """Identity of the spec: SHA-256 of its canonical JSON."""
        return sha256_text(canonical_json(self.to_json()))
