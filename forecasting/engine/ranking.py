"""Which series get a Prophet: the top by revenue of the whole tenant, found before any segment is fitted alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date

import pandas as pd

from forecasting.engine.facts import recent_sales, weights_of
from forecasting.engine.families import Fitted, get_family
from forecasting.engine.families.prophet import ProphetFamily
from forecasting.engine.panel import Panel
from forecasting.engine.segments import Segment
from forecasting.engine.source import PanelSource
from forecasting.engine.tasks import run_tasks
from forecasting.engine.types import ModelSpec

PROPHET = "prophet"
Shares = Mapping[tuple[int, date], int]
"""(segment number, last day of the training) -> how many of the tenant's top series lie in that segment."""


def shares_of_top(
    source: PanelSource, spec: ModelSpec, days: Sequence[date], executor: Executor | None = None
) -> Shares:
    """How many of the `spec.prophet_top_n` series lie in each segment, for trainings that end on each of `days`.

    Within a segment the order by revenue is the tenant's, so a segment that is given its number chooses the very series
    that the whole tenant would. One segment needs no number, and a spec without Prophet none at all: then it is empty.
    """
    if len(source.segments) < 2 or PROPHET not in spec.families:
        return {}
    unlimited = replace(spec, prophet_top_n=sum(len(segment.ids) for segment in source.segments))
    tasks = [_RankTask(source.narrow(one), one, unlimited, tuple(days)) for one in source.segments]
    found = run_tasks(tasks, executor)
    shares: dict[tuple[int, date], int] = {}
    for place, day in enumerate(days):
        rows = pd.concat([parts[place] for parts in found], ignore_index=True)
        rows = rows.assign(weight=weights_of(rows))
        rows = rows.loc[rows["fit"]].sort_values(["weight", "unique_id"], ascending=[False, True], kind="stable")
        top = rows.head(spec.prophet_top_n)["segment"].value_counts()
        shares |= {(segment.number, day): int(top.get(segment.number, 0)) for segment in source.segments}
    return shares


def fit_family(
    name: str, panel: Panel, spec: ModelSpec, share: int | None = None, start: Fitted | None = None
) -> Fitted:
    """Fit one family on a segment. share: how many of the tenant's top series lie in it; None where it is all there is.
    start: an earlier fit to begin from, of whatever family.

    In the process that calls it, so that pools never nest.
    """
    begin = start if start is not None and start.family == name else None
    if name != PROPHET or share is None:
        return get_family(name).fit(panel, spec, start=begin)
    made = get_family(name).fit(panel, replace(spec, prophet_top_n=share), start=begin)
    made.declined["reason"] = made.declined["reason"].str.replace(
        f"the top {share} series", f"the top {spec.prophet_top_n} series", regex=False
    )
    return made


@dataclass(frozen=True)
class _RankTask:
    """For each day: unique_id, units, revenue, segment, and whether the series is fit for it but for its rank."""

    source: PanelSource
    segment: Segment
    spec: ModelSpec
    days: tuple[date, ...]

    def run(self) -> list[pd.DataFrame]:
        panel = self.source.panel(self.segment)
        return [self._ranked(panel.upto(day)) for day in self.days]

    def _ranked(self, panel: Panel) -> pd.DataFrame:
        if not len(panel.history):
            return pd.DataFrame(columns=["unique_id", "units", "revenue", "fit", "segment"])
        refused = ProphetFamily._declines(panel, self.spec)
        rows = recent_sales(panel)
        return rows.assign(fit=~rows["unique_id"].isin(list(refused)), segment=self.segment.number)
