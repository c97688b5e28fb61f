"""A retraining in the past: one backtest and one fit of every family, shared by all specs that are held against each
other that day."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pandas as pd

from forecasting.engine.backtest import Backtest, backtest_and_facts, rolling_origins
from forecasting.engine.combine import spec_of, study
from forecasting.engine.facts import Facts
from forecasting.engine.families import Fitted
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitting import FittedPart, fit_tasks, fitted_of
from forecasting.engine.holdout import Holdout, holdout_forecasts
from forecasting.engine.panel import Panel
from forecasting.engine.replay.config import FLOOR, ReplayConfig
from forecasting.engine.scores import compare_families
from forecasting.engine.segments import SEGMENT_SERIES
from forecasting.engine.source import HeldPanel
from forecasting.engine.train import Assessment, Evaluation, assess_holdout, evaluate_backtest
from forecasting.engine.types import ANY_CLASS, ModelSpec, TrainingWindow

Memo = dict[tuple[int, str, int], pd.DataFrame]
_ROWS = ("unique_id", "origin", "h", "y")


class Remembered:
    """A fitted family that makes the same forecast once: specs of one training share their families."""

    def __init__(self, part: Fitted, memo: Memo) -> None:
        self._part, self._memo = part, memo

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """As the part's own."""
        key = (id(self._part), f"{panel.last_day}:{len(panel.history)}", horizon)
        if key not in self._memo:
            self._memo[key] = self._part.predict(panel, horizon)
        return self._memo[key].copy()


def remembering(model: FittedModel, memo: Memo) -> FittedModel:
    """The model with families that remember; the memo must not outlive the families."""
    segments = tuple(
        replace(one, parts={name: Remembered(part, memo) for name, part in one.parts.items()}) for one in model.segments
    )
    return replace(model, segments=segments)


@dataclass
class Training:
    """What one day's training gives, for whatever spec is asked of it. sealed: what was judged; whole: what serves."""

    config: ReplayConfig
    day: date
    known: Panel
    window: TrainingWindow
    proposed: ModelSpec
    reason: str
    facts: Facts
    backtest: Backtest
    judged_parts: Sequence[FittedPart]
    serving_parts: Sequence[FittedPart]
    sealed: HeldPanel
    whole: HeldPanel
    memo: Memo = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    assessed: dict[str, tuple[Assessment, pd.DataFrame]] = field(default_factory=dict)
    holdout: Holdout | None = None

    def evaluation(self, spec: ModelSpec) -> Evaluation:
        """The spec on the rolling origins; nothing is fitted."""
        if spec.sha256 not in self.evaluations:
            known = replace(self.backtest, families=tuple(f for f in self.backtest.families if f in spec.families))
            dropped = [f for f in self.backtest.families if f not in spec.families]
            known = replace(known, frame=self.backtest.frame.drop(columns=dropped))
            self.evaluations[spec.sha256] = evaluate_backtest(self.facts, spec, known, levels=False)
        return self.evaluations[spec.sha256]

    def judged(self, spec: ModelSpec) -> FittedModel:
        """The spec fitted up to the sealed days."""
        return self._model(spec, self.judged_parts, self.sealed, self.window)

    def serving(self, spec: ModelSpec) -> FittedModel:
        """The same refitted on everything known."""
        window = TrainingWindow.refit(self.window.train_start, self.day)
        return self._model(spec, self.serving_parts, self.whole, window)

    def assessment(self, spec: ModelSpec) -> tuple[Assessment, pd.DataFrame]:
        """The spec on the sealed days, and its forecasts of them beside what came."""
        if spec.sha256 not in self.assessed:
            model = remembering(self.judged(spec), self.memo)
            frame = holdout_forecasts(self.known, model, self.window, horizon=spec.horizon)
            holdout = self._beside_actuals(spec, frame)
            self.assessed[spec.sha256] = (assess_holdout(holdout, model, self.config.business), holdout.frame)
        return self.assessed[spec.sha256]

    def _beside_actuals(self, spec: ModelSpec, frame: pd.DataFrame) -> Holdout:
        """The holdout of these forecasts; what does not depend on the spec is reckoned once for the same rows."""
        first = self.holdout
        if first is not None and all(first.frame[name].equals(frame[name]) for name in _ROWS):
            return replace(first, frame=frame.assign(naive=first.frame["naive"]))
        self.holdout = Holdout.of(self.known, spec, frame)
        return self.holdout

    def best_single(self, *, but: set[str]) -> str | None:
        """The family of least error on the rolling origins among those not in `but`; None where there is none."""
        found = compare_families(self.backtest.frame, self.backtest.scales, self.backtest.families,
                                 classes=self.facts.early)  # fmt: skip
        scored = [(scores.get("wape").value, name) for name, scores in found.items() if name not in but]
        known = sorted((value, name) for value, name in scored if value is not None)
        return known[0][1] if known else None

    def single(self, family: str) -> ModelSpec:
        """The spec of one family alone, with the floor to stand in."""
        families = tuple(dict.fromkeys((family, FLOOR)))
        return replace(self.proposed, families=families, weights={ANY_CLASS: {family: 1.0}})

    def _model(
        self, spec: ModelSpec, parts: Sequence[FittedPart], source: HeldPanel, window: TrainingWindow
    ) -> FittedModel:
        own = [
            replace(part, fit=replace(part.fit, parts={name: part.fit.parts[name] for name in spec.families}))
            for part in parts
        ]
        return fitted_of(own, source, spec, self.evaluation(spec).calibration, window=window)


def train_on(known: Panel, config: ReplayConfig, *, executor: Executor | None = None) -> Training:
    """Train as of the panel's last day: the last `sealed_days` are kept from what is judged.

    Raises HistoryTooShort, NoUsableSeries, MissingRegressor.
    """
    day = known.last_day
    window = TrainingWindow.plan(known.first_day, day, config.sealed_days)
    sealed = HeldPanel.of(known.upto(window.train_end), SEGMENT_SERIES)
    whole = HeldPanel.of(known, SEGMENT_SERIES)
    base = config.search().base_spec(sealed)
    origins = rolling_origins(window.train_end, config.horizon, config.origins, grain=config.grain)
    fits = [
        *fit_tasks(sealed, base, window, executor),
        *fit_tasks(whole, base, TrainingWindow.refit(known.first_day, day), executor),
    ]
    result, facts, parts = backtest_and_facts(sealed, base, origins, executor=executor, beside=fits)
    spec, reason = spec_of(study(result, facts.early, base.seed), result, base)
    count = len(sealed.segments)
    return Training(
        config, day, known, window, spec, reason, facts, result, parts[:count], parts[count:], sealed, whole
    )
