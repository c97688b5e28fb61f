"""What walking through a year costs beside its trainings alone: ``python -m benchmarks.forecasting.replay``.

A synthetic panel of 1,000 series is replayed for 365 days with a weekly retraining by the pure engine, checkpoints and
all. Then the trainings of the same days are called bare: the search (backtest of every family on four origins, the
choice), the fit that is judged, the fit that serves. Everything else of the replay (revealing, seven worlds, forecasts,
orders, gates, checkpoints) has to fit into a fifth of that. Both run in one process with one thread, and what counts is
its processor time, which other programs on the machine do not change much. Memory is looked at every day.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.parts import Figure, Part
from benchmarks.place import prepare  # threads of the libraries are set before they are imported
from forecasting.engine.fitting import fit
from forecasting.engine.replay.config import Portfolio, ReplayConfig
from forecasting.engine.replay.knowledge import Knowledge, Rows
from forecasting.engine.replay.review import Reviewer
from forecasting.engine.replay.store import Store
from forecasting.engine.replay.walk import Walk
from forecasting.engine.synthetic import REGRESSORS, RetailShape, retail
from forecasting.engine.train import search
from forecasting.engine.types import TrainingWindow

MOST_TIMES, MOST_GROWTH = 1.2, 1.1
EVERY = 4
"""Every such training is called bare: one costs half a minute of a whole core, and the next week's costs the same."""
HISTORY = 400
FAMILIES = ("seasonal_naive", "seasonal_average", "lightgbm")


def main(*, quick: bool, series: int | None = None, days: int | None = None) -> None:
    """1,000 series × 365 days; quick: 60 × 14."""
    prepare()
    count, replayed = (series or 60, days or 14) if quick else (series or 1000, days or 365)
    part = Part("replay", "A year walked through beside its trainings alone", quick=quick)
    part.text += [TEXT, ""]
    part.keep()
    knowledge, config = _ground(count, replayed)
    memory: list[float] = []
    with tempfile.TemporaryDirectory(prefix="forecourt-bench-") as folder:
        store = Store(Path(folder))
        walk = Walk(knowledge, config, store, Reviewer(config))
        began, by_clock = time.process_time(), time.perf_counter()
        walk.run(kept=lambda line: memory.append(psutil.Process().memory_info().rss / 2**20))
        whole, by_clock = time.process_time() - began, time.perf_counter() - by_clock
    part.facts = {"series": count, "days": replayed, "seconds": whole, "memory_mib": [round(one) for one in memory]}
    part.keep()
    days_of_it = [one["day"] for one in walk.state.trainings]
    sample = days_of_it[:: 1 if quick else EVERY]
    bare = _bare(knowledge, config, sample) / len(sample) * len(days_of_it)
    settled = memory[len(memory) // 4 :] or memory
    half = len(settled) // 2
    growth = max(settled[half:]) / max(settled[: half or 1])
    trainings = len(walk.state.trainings)
    size = f"{count:,} series × {replayed} days, {trainings} trainings"
    part.figures = [
        Figure(
            f"replay beside its trainings called bare, {size}", whole / bare, MOST_TIMES,
            note=f"processor time, {whole:.0f} s by {bare:.0f} s, reckoned from {len(sample)} of the trainings",
        ),
        Figure(
            "memory, later half of the days beside the earlier", growth, MOST_GROWTH,
            note=f"{max(memory):.0f} MiB at most",
        ),
        Figure("seconds a replayed day takes", by_clock / replayed, None, note="by the clock, trainings and all"),
    ]  # fmt: skip
    part.facts |= {"bare_seconds": bare, "trainings": trainings}
    part.keep(complete=True)
    for figure in part.figures:
        print(f"{figure.name}: {figure.value:.3f} ({figure.note})")


def _ground(series: int, replayed: int) -> tuple[Knowledge, ReplayConfig]:
    """A synthetic tenant with its year to replay."""
    shape = RetailShape(series=series, days=HISTORY + replayed)
    truth = retail(shape)
    last = shape.start + timedelta(days=shape.days - 1)
    config = ReplayConfig(
        last - timedelta(days=replayed - 1), last, families=FAMILIES, portfolio=Portfolio.ON, currency="EUR"
    )
    given = Rows(truth.rows(), static=truth.static, future=truth.future(), regressors=REGRESSORS, missing_days="closed")
    return Knowledge(given, config), config


def _bare(knowledge: Knowledge, config: ReplayConfig, days: list[str]) -> float:
    """Seconds of the same trainings with nothing around them; the panels they are given are not counted."""
    taken = 0.0
    for text in days:
        known = knowledge.panel(date.fromisoformat(text))
        window = TrainingWindow.plan(known.first_day, known.last_day, config.sealed_days)
        began = time.process_time()
        sealed = known.upto(window.train_end)
        found: Any = search(sealed, config.search())
        base = config.search().base_spec(sealed)
        fit(sealed, base, found.evaluation.calibration, window=window)
        fit(known, base, found.evaluation.calibration)
        taken += time.process_time() - began
    return taken


TEXT = """A synthetic panel is replayed by the engine with a weekly retraining (seasonal naive, weekday average and
LightGBM compared on four origins each time), with checkpoints after every phase, seven worlds and mixtures. Then every
fourth of the same trainings is called bare in the same process, on panels that are handed to them, and counts for its
neighbours. The ratio is that of processor time."""


if __name__ == "__main__":
    words = sys.argv[1:]
    sized = {name: int(words[words.index(f"--{name}") + 1]) for name in ("series", "days") if f"--{name}" in words}
    main(quick="--quick" in words, **sized)
