"""The same fits, bare: ``python -m benchmarks.forecasting.bare SCHEMA FACTS`` with the facts of a chain as JSON.

Frames in memory (one for each segment) and the families' own `fit` and `predict`, which are LightGBM, Prophet
and statsforecast with the same features and parameters as in the chain. Fitted and forecast is what the chain
fits and forecasts:

- every family searched, at each origin of the backtest, and its forecast of the horizon;
- the families of the chosen spec up to the holdout, and their forecasts from the holdout's weekly origins;
- the same families on everything, and their forecast ahead;
- where the levels above the series may have models of their own (MinT), theirs at each origin, and, where the spec has
  chosen them, up to the holdout and on everything, with their forecasts;
- the gate's opponent (a first chain has seasonal naive): at each origin, up to the holdout, and from its origins.

Reading the data, building the frame, starting the processes and importing the libraries happen before the clock starts,
as does sending the frame to the processes: all of that is the chain's to pay. No weights, no intervals, no scores, no
files, no database. The fits go through a pool of as many processes as the chain may use, the longest first.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from forecasting.engine.hierarchy import Tree, node_panel
from forecasting.engine.hierarchy_model import node_family
from forecasting.engine.panel import Panel
from forecasting.engine.ranking import fit_family, shares_of_top
from forecasting.engine.source import HeldPanel
from forecasting.engine.train import holdout_origins
from forecasting.engine.types import MINT, ModelSpec, TrainingWindow

NAIVE = "seasonal_naive"
NODES = -1
LONGEST = ("lightgbm", "lightgbm_direct", "prophet", "intermittent")


@dataclass(frozen=True)
class Fit:
    """One fit on the rows of a segment up to `end`, and the forecasts from it: (origin, steps).

    share: how many of the series that get a Prophet lie in the segment; None where it is the only one. segment NODES:
    the levels above the series.
    """

    family: str
    segment: int
    end: date
    share: int | None
    forecasts: tuple[tuple[date, int], ...]


Planned = tuple[str, date, tuple[tuple[date, int], ...]]
_held: dict[str, Any] = {}


def hold(panels: Mapping[int, Panel], spec: ModelSpec) -> None:
    """In a process of the pool: keep the frames of the segments, import the libraries."""
    import lightgbm  # noqa: F401
    import prophet  # noqa: F401

    _held.update(panels=panels, spec=spec)


def ready(_: int) -> bool:
    """Whether this process holds the frame; slow enough that each process answers."""
    time.sleep(0.5)
    return bool(_held)


def do(task: Fit) -> tuple[int, float]:
    """Fit and forecast; how many values were forecast, and the processor's seconds."""
    started, panel = time.process_time(), _held["panels"][task.segment]
    fitted = fit_family(task.family, panel.upto(task.end), _held["spec"], task.share)
    made = sum(len(fitted.predict(panel.upto(origin), steps)) for origin, steps in task.forecasts)
    return made, time.process_time() - started


def plan(facts: Mapping[str, Any], horizon: int) -> list[Planned]:
    """Family, last day and forecasts of the fits of the chain with these facts (see `one_chain`)."""
    judged = TrainingWindow.from_json(facts["evaluation_window"])
    serving = TrainingWindow.from_json(facts["serving_window"])
    origins = [date.fromisoformat(day) for day in facts["origins"]]
    inside = holdout_origins(judged)
    weekly = tuple((day, min(horizon, judged.holdout_days - (day - inside[0]).days)) for day in inside)
    searched, kept = (*facts["searched"], NAIVE), (*facts["kept"], NAIVE)
    made: list[Planned] = [(family, day, ((day, horizon),)) for family in searched for day in origins]
    made += [(family, judged.train_end, weekly) for family in kept]
    return made + [(family, serving.train_end, ((serving.train_end, horizon),)) for family in facts["kept"]]


def tasks_of(source: HeldPanel, spec: ModelSpec, facts: Mapping[str, Any]) -> list[Fit]:
    """Each fit of the plan on each segment, the longest first."""
    fits = plan(facts, spec.horizon)
    shares = shares_of_top(source, spec, sorted({end for _, end, _ in fits}))
    tasks = [
        Fit(family, segment.number, end, shares.get((segment.number, end)), forecasts)
        for family, end, forecasts in fits
        for segment in source.segments
    ]
    own = node_family(tuple(facts["kept"]))
    if len(source.segments) == 1 and own is not None:
        chosen = facts["reconciliation"] == MINT
        above = [one for one in fits if one[0] == own and (chosen or (len(one[2]) == 1 and one[1] in days_of(facts)))]
        tasks += [Fit(own, NODES, end, None, forecasts) for _, end, forecasts in above]
    return sorted(tasks, key=lambda fit: LONGEST.index(fit.family) if fit.family in LONGEST else len(LONGEST))


def days_of(facts: Mapping[str, Any]) -> set[date]:
    """The origins of the backtest."""
    return {date.fromisoformat(day) for day in facts["origins"]}


def main(schema: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Load the frame, make the pool ready, then run the fits against the clock."""
    from django.conf import settings
    from django_tenants.utils import schema_context

    from benchmarks.place import timed  # it sets Django up, which the pool's processes do without
    from forecasting.services.loading import load_panel

    horizon = int(facts["horizon"])
    with schema_context(schema):
        panel = load_panel(TrainingWindow.from_json(facts["serving_window"]), ahead=horizon)
    spec = ModelSpec(tuple(facts["searched"]), horizon=horizon, season_length=panel.season_length, grain=panel.grain)
    source, processes = HeldPanel.of(panel, facts["segment_series"]), settings.TRAIN_PROCESSES
    tasks = tasks_of(source, spec, facts)
    panels = {segment.number: panel.subset(segment.ids) for segment in source.segments}
    if any(task.segment == NODES for task in tasks):
        panels[NODES] = node_panel(panel, Tree.of(panel.static))
    context = multiprocessing.get_context("spawn")
    done: list[tuple[int, float]] = []
    with ProcessPoolExecutor(processes, context, initializer=hold, initargs=(panels, spec)) as pool:
        if not all(pool.map(ready, range(processes))):
            raise SystemExit("a process does not hold the frame")
        seconds = timed(lambda: done.extend(pool.map(do, tasks)))
    return {
        "seconds": seconds,
        "fits": len(tasks),
        "values": sum(made for made, _ in done),
        "processor": sum(used for _, used in done),
        "processes": processes,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
