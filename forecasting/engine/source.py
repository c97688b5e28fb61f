"""Where the engine gets its panels from: one segment at a time, whoever holds the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from forecasting.engine.panel import STEP_DAYS, Panel
from forecasting.engine.segments import Segment, plan_segments


class PanelSource(Protocol):
    """Demand in segments. It can be pickled; what `panel` returns is the same in every process.

    first_day and last_day are of the whole tenant, and so is the choice of columns: a regressor that some series carry
    is a column in every segment.
    """

    @property
    def segments(self) -> tuple[Segment, ...]: ...

    @property
    def grain(self) -> str: ...

    @property
    def season_length(self) -> int: ...

    @property
    def first_day(self) -> date: ...

    @property
    def last_day(self) -> date: ...

    def panel(self, segment: Segment) -> Panel:
        """The panel of a segment's series."""
        ...

    def over(self, segments: Sequence[Segment]) -> PanelSource:
        """The same rows in other segments."""
        ...

    def narrow(self, segment: Segment) -> PanelSource:
        """What a task needs that works on one segment: the same, as small as it can be sent."""
        ...


@dataclass(frozen=True)
class HeldPanel:
    """A panel in memory as a source; one segment, unless others are given."""

    whole: Panel
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, panel: Panel, size: int | None = None) -> HeldPanel:
        """In segments of at most `size` series (default: all in one)."""
        ids = panel.ids.tolist()
        return cls(panel, plan_segments(ids, size or max(len(ids), 1)))

    @property
    def grain(self) -> str:
        """Of the panel."""
        return self.whole.grain

    @property
    def season_length(self) -> int:
        """Of the panel."""
        return self.whole.season_length

    @property
    def first_day(self) -> date:
        """Of the panel."""
        return self.whole.first_day

    @property
    def last_day(self) -> date:
        """Of the panel."""
        return self.whole.last_day

    def panel(self, segment: Segment) -> Panel:
        """The panel itself where the segment is all of it."""
        if len(self.segments) == 1 and self.whole.ids.tolist() == list(segment.ids):
            return self.whole
        return self.whole.subset(segment.ids)

    def over(self, segments: Sequence[Segment]) -> HeldPanel:
        """The same rows in other segments."""
        return replace(self, segments=tuple(segments))

    def narrow(self, segment: Segment) -> HeldPanel:
        """Only the segment's rows."""
        return HeldPanel(self.panel(segment), (segment,))


def as_source(data: Panel | PanelSource) -> PanelSource:
    """A panel as a source of one segment; a source as it is."""
    return HeldPanel.of(data) if isinstance(data, Panel) else data


def steps_of(source: PanelSource) -> int:
    """Steps between the first and the last day, both included."""
    return (source.last_day - source.first_day).days // STEP_DAYS[source.grain] + 1
