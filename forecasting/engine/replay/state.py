"""Where a walk stands: everything that the next phase needs, as text and arrays that come back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from forecasting.engine.replay.config import ReplayConfig
from forecasting.engine.replay.lanes import LANES, Lane

REVEAL, TRAIN, DECIDE, ORDER, DONE = "reveal", "train", "decide", "order", "done"
_TEXT = (
    "number", "step", "phase", "line", "offer", "triggers", "watched", "reference", "input_drift", "trained_step",
    "promoted_step", "trainings", "judged", "decisions", "tally", "perfect_curve", "failures", "partner",
    "partner_origin",
)  # fmt: skip


@dataclass
class Path:
    """Orders of one origin until what they had to last has come. levels: order-up-to level of each name; touched:
    lines that the reviewer changed; demand: what came so far; hidden: some of it is not known."""

    origin: int
    names: list[str]
    levels: np.ndarray
    touched: np.ndarray
    cu: np.ndarray
    co: np.ndarray
    demand: np.ndarray
    hidden: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps as arrays."""
        return {name: getattr(self, name) for name in ("levels", "touched", "cu", "co", "demand", "hidden")}


@dataclass
class State:
    """The whole of it. step: -1 on the eve; number: of the checkpoint."""

    lanes: dict[str, Lane]
    cu: np.ndarray
    co: np.ndarray
    partner_ahead: np.ndarray
    number: int = 0
    step: int = -1
    phase: str = TRAIN
    line: dict[str, Any] = field(default_factory=dict)
    offer: dict[str, Any] | None = None
    triggers: list[str] = field(default_factory=lambda: ["first"])
    watched: list[list[float]] = field(default_factory=list)
    reference: dict[str, Any] = field(default_factory=dict)
    input_drift: list[dict[str, Any]] = field(default_factory=list)
    trained_step: int = -1
    promoted_step: int | None = None
    trainings: list[dict[str, Any]] = field(default_factory=list)
    judged: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    tally: dict[str, dict[str, float]] = field(default_factory=dict)
    perfect_curve: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    partner: dict[str, str] = field(default_factory=dict)
    partner_origin: int = -1
    paths: list[Path] = field(default_factory=list)

    @classmethod
    def begin(cls, config: ReplayConfig, series: int) -> State:
        """On the eve."""
        lanes = {name: Lane.empty(name, series, config.lead_steps, config.horizon) for name in LANES}
        blank = np.full(series, np.nan)
        return cls(lanes, blank, blank.copy(), np.full((config.horizon, series), np.nan))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Text and arrays."""
        text: dict[str, Any] = {name: getattr(self, name) for name in _TEXT}
        text["lanes"] = {name: lane.to_json() for name, lane in self.lanes.items()}
        text["paths"] = [{"origin": one.origin, "names": one.names} for one in self.paths]
        arrays = {"cu": self.cu, "co": self.co, "partner_ahead": self.partner_ahead}
        for lane in self.lanes.values():
            arrays |= lane.arrays()
        for place, path in enumerate(self.paths):
            arrays |= {f"path{place}.{name}": value for name, value in path.arrays().items()}
        return text, arrays

    @classmethod
    def of_parts(cls, text: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> State:
        """Inverse of `to_parts`."""
        lanes = {name: Lane.restored(name, text["lanes"][name], arrays) for name in LANES}
        paths = []
        for place, one in enumerate(text["paths"]):
            own = {key.partition(".")[2]: value for key, value in arrays.items() if key.startswith(f"path{place}.")}
            paths.append(Path(one["origin"], one["names"], **own))
        own_text = {name: text[name] for name in _TEXT}
        return cls(lanes, arrays["cu"], arrays["co"], arrays["partner_ahead"], paths=paths, **own_text)


TALLY = ("n", "missed", "short", "over", "ordered", "cost_stockout", "cost_overstock", "ape", "ape_rows",
         "level_error", "demand")  # fmt: skip


def tally_of(state: State, name: str) -> dict[str, float]:
    """The running sums of one name."""
    return state.tally.setdefault(name, dict.fromkeys(TALLY, 0.0))


def close_paths(state: State, step: int, span: int, demand: np.ndarray, known: np.ndarray) -> None:
    """Add a step to the open paths, and count those that it ends: the newsvendor of evaluation.md, path by path."""
    left = []
    for path in state.paths:
        path.demand = path.demand + demand
        path.hidden = path.hidden | ~known
        if step < path.origin + span:
            left.append(path)
            continue
        for name, level in zip(path.names, path.levels, strict=True):
            whole = ~path.hidden & np.isfinite(level)
            _count(tally_of(state, name), path, level, whole)
            if name in ("proposed", "governed"):
                _count(tally_of(state, f"touched.{name}"), path, level, whole & path.touched)
    state.paths = left


def _count(sums: dict[str, float], path: Path, level: np.ndarray, rows: np.ndarray) -> None:
    asked, up_to = path.demand[rows], level[rows]
    short, over = np.maximum(asked - up_to, 0.0), np.maximum(up_to - asked, 0.0)
    sums["n"] += float(len(asked))
    sums["missed"] += float(np.count_nonzero(short > 0))
    sums["short"] += float(short.sum())
    sums["over"] += float(over.sum())
    sums["ordered"] += float(up_to.sum())
    sums["demand"] += float(asked.sum())
    sums["level_error"] += float(np.abs(up_to - asked).sum())
    sums["cost_stockout"] += float(np.nansum(path.cu[rows] * short))
    sums["cost_overstock"] += float(np.nansum(path.co[rows] * over))
