"""Fitting a spec: one task for each segment, and the model of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from forecasting.engine.conformal import Calibration
from forecasting.engine.errors import NoUsableSeries
from forecasting.engine.families import Fitted
from forecasting.engine.families.prophet import beginnings
from forecasting.engine.fitted import FittedModel
from forecasting.engine.fitted_files import SegmentFit
from forecasting.engine.hierarchy_model import Hierarchy
from forecasting.engine.panel import Panel, classify
from forecasting.engine.ranking import fit_family, shares_of_top
from forecasting.engine.segments import Segment
from forecasting.engine.source import PanelSource, as_source
from forecasting.engine.tasks import run_tasks
from forecasting.engine.types import MINT, ModelSpec, TrainingWindow


@dataclass(frozen=True)
class FittedPart:
    """What a fit of one segment gives."""

    fit: SegmentFit
    classes: dict[int, str]
    ceilings: dict[int, float]


@dataclass(frozen=True)
class FitTask:
    """Fit all families of a spec on one segment. share, start: see `ranking.fit_family`."""

    source: PanelSource
    segment: Segment
    spec: ModelSpec
    window: TrainingWindow | None
    share: int | None
    start: Fitted | None = None

    def run(self) -> FittedPart:
        """The part. Raises PartitionViolation, NoUsableSeries, MissingRegressor."""
        panel = self.source.panel(self.segment)
        if not len(panel.history):
            raise NoUsableSeries("the panel is empty")
        if self.window is not None:
            self.window.check(panel.history)
        parts = {name: fit_family(name, panel, self.spec, self.share, self.start) for name in self.spec.families}
        top = panel.history.groupby("unique_id")["y"].max().fillna(0.0)
        classes = classify(panel)
        return FittedPart(
            SegmentFit(tuple(int(i) for i in panel.ids), parts),
            {int(k): str(v) for k, v in zip(classes.index.to_numpy(), classes.to_numpy(), strict=True)},
            {int(k): float(v) for k, v in zip(top.index.to_numpy(), top.to_numpy(), strict=True)},
        )


def fit_tasks(
    source: PanelSource,
    spec: ModelSpec,
    window: TrainingWindow | None = None,
    executor: Executor | None = None,
    start: FittedModel | None = None,
) -> list[FitTask]:
    """One task for each segment; `fitted_of` makes the model of what they give. start: see `fit`."""
    end = source.last_day
    shares = shares_of_top(source, spec, [end], executor)
    earlier = [part for one in start.segments for part in one.parts.values()] if start is not None else []
    return [
        FitTask(
            source.narrow(one), one, spec, window, shares.get((one.number, end)), beginnings(earlier, one.ids)
        )
        for one in source.segments
    ]  # fmt: skip


def fitted_of(
    parts: Sequence[FittedPart],
    source: PanelSource,
    spec: ModelSpec,
    calibration: Calibration,
    *,
    window: TrainingWindow | None = None,
    hierarchy: Hierarchy | None = None,
) -> FittedModel:
    """The model of all segments' parts. hierarchy: that of the evaluation, for the levels above the series; where the
    spec reconciles by MinT (never with several segments), the nodes' own models are fitted, too."""
    if hierarchy is not None:
        reconciles = spec.reconciliation == MINT and len(parts) == 1
        hierarchy = hierarchy.with_models(source.panel(source.segments[0]), spec) if reconciles else hierarchy
    return FittedModel(
        spec=spec,
        segments=tuple(part.fit for part in parts),
        calibration=calibration,
        classes={key: value for part in parts for key, value in part.classes.items()},
        ceilings={key: value for part in parts for key, value in part.ceilings.items()},
        window=window,
        hierarchy=hierarchy,
    )


def fit(
    data: Panel | PanelSource,
    spec: ModelSpec,
    calibration: Calibration,
    *,
    window: TrainingWindow | None = None,
    executor: Executor | None = None,
    hierarchy: Hierarchy | None = None,
    start: FittedModel | None = None,
) -> FittedModel:
    """Fit every family of the spec on every segment. With a window, the panels are checked against it first.

    start: an earlier model that the families which can (prophet) begin from; its training must have ended by then.
    Raises PartitionViolation, NoUsableSeries, MissingRegressor.
    """
    if isinstance(data, Panel) and not len(data.history):
        raise NoUsableSeries("the panel is empty")
    source = as_source(data)
    parts = run_tasks(fit_tasks(source, spec, window, executor, start), executor)
    return fitted_of(parts, source, spec, calibration, window=window, hierarchy=hierarchy)
