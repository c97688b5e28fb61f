"""What the chain costs beside its fits, and beside a loop of Prophets: ``python -m benchmarks.forecasting.overhead``.

Chain and bare fits take turns in one run, so that both see the same machine; the figure is the ratio of the medians.
"""

from __future__ import annotations

import json
import statistics
import sys
from functools import partial
from typing import Any

from benchmarks.apart import apart
from benchmarks.forecasting import panels
from benchmarks.parts import Figure, Part
from benchmarks.place import drop_tenant, prepare

HERE = "benchmarks.forecasting"
HORIZON = 28
MOST_TIMES, LEAST_SPEED = 1.3, 12.0
CHAIN_LIMIT, BARE_LIMIT, LOOP_LIMIT = 1800.0, 1800.0, 1200.0
HEAD = (
    "| panel | series | families | chain | train, forecast, accuracy, gate | bare | fits | by the clock "
    "| in processor time |",
    "|---|--:|---|--:|--:|--:|--:|--:|--:|",
)


def turns(schema: str, families: str, repeats: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Chain, bare, chain, bare, ...: what each measured."""
    chains, bares = [], []
    for _ in range(repeats):
        chains.append(apart(f"{HERE}.one_chain", schema, families, str(HORIZON), limit=CHAIN_LIMIT))
        bares.append(apart(f"{HERE}.bare", schema, json.dumps(chains[-1]), limit=BARE_LIMIT))
    return chains, bares


def middle(runs: list[dict[str, Any]], key: str = "seconds") -> float:
    """Median seconds, by the clock or (key processor) of the processors."""
    return float(statistics.median(run[key] for run in runs))


def overhead(part: Part, panel: str, schema: str, families: str, repeats: int) -> list[dict[str, Any]]:
    """Add the ratio for one panel and one choice of families; the chains' facts."""
    chains, bares = turns(schema, families, repeats)
    chain, bare, last = middle(chains), middle(bares), chains[-1]
    busy = middle(chains, "processor") / middle(bares, "processor")
    named = "all families" if families == "all" else families
    of_it = ", ".join(f"{last['steps'][step]:.1f}" for step in ("retrain", "forecast", "accuracy", "gate"))
    part.text.append(
        f"| {panel} | {last['series']:,} | {', '.join(last['searched'])} | {chain:.1f} s | {of_it} s "
        f"| {bare:.1f} s | {bares[-1]['fits']} | {chain / bare:.2f} | **{busy:.2f}** |"
    )
    each = "; ".join(f"{c['seconds']:.1f} ÷ {b['seconds']:.1f} s" for c, b in zip(chains, bares, strict=True))
    processor = f"{middle(chains, 'processor'):.1f} ÷ {middle(bares, 'processor'):.1f} s of processor time"
    note = f"{processor}; by the clock {chain / bare:.2f}: {each}"
    name = f"chain ÷ the same fits bare, {panel}, {named}"
    part.figures.append(Figure(name, busy, MOST_TIMES, note=note))
    part.facts[f"{panel}, {named}"] = {"chains": chains, "bare": bares}
    part.keep()
    return chains


def beside_prophet(part: Part, panel: str, schema: str, chains: list[dict[str, Any]], count: int) -> None:
    """Add how many times more series a second the chain makes than the loop of Prophets."""
    loop = apart(f"{HERE}.prophet_loop", schema, json.dumps(chains[-1]), str(count), limit=LOOP_LIMIT)
    ours, clock = (middle(chains, key) / chains[-1]["series"] for key in ("processor", "seconds"))
    theirs, plain = loop["processor_per_series"], loop["processor_per_series_without_intervals"]
    part.figures.append(
        Figure(
            f"series per second, chain with lightgbm ÷ a plain Prophet loop, {panel}",
            theirs / ours,
            LEAST_SPEED,
            "higher",
            note=f"{1000 * theirs:.0f} ms of processor time a series ({loop['fits']} fits and forecasts, "
            f"{loop['series']} series drawn) ÷ {1000 * ours:.1f} ms; by the clock {loop['per_series'] / clock:.1f}; "
            f"against Prophet without intervals {plain / ours:.1f}",
        )
    )
    part.facts[f"{panel}, Prophet loop"] = loop
    part.keep()


def main(*, quick: bool) -> None:
    """Both panels; quick: small ones, once each."""
    prepare()
    part = Part("overhead", "The chain beside its fits, and beside a loop of Prophets", quick=quick)
    part.text += [*TEXT, "", *HEAD]
    series, days, repeats, sample = (100, 400, 1, 8) if quick else (1000, 730, 3, 24)
    few = 100 if quick else 200  # with Prophet among them, a thousand take an hour
    synthetic = f"{series:,} synthetic series × {days} days"
    loads = {
        synthetic: (panels.SYNTHETIC, partial(panels.load_synthetic, panels.SYNTHETIC, series=series, days=days)),
        "real series": (panels.REAL, partial(panels.load_real, most=100 if quick else None)),
    }
    for panel, (schema, load) in loads.items():
        try:
            load()
            chains = overhead(part, panel, schema, "lightgbm", repeats)
            beside_prophet(part, panel, schema, chains, sample)
        finally:
            drop_tenant(schema)
    try:
        panels.load_real(most=few)
        overhead(part, f"{few} real series", panels.REAL, "all", 1)
    finally:
        drop_tenant(panels.REAL)
    part.keep(complete=True)


TEXT = (
    "**Chain**: the clock runs over the whole chain as a person or the schedule starts it, in the database: reading "
    "the panel and its fingerprint, the backtest at 4 origins, the choice of a spec, the fit up to the holdout and the "
    "refit that serves, both stored as verified artifacts, 28 days of forecasts with intervals, the accuracy of the "
    "forecasts whose days have come, the sealed holdout and every gate, and the request for promotion, with all "
    "records of the ledger. Its processes are started inside the clock; the libraries are imported before it, on both "
    "sides, as in a worker that has run a chain before.",
    "",
    "**Bare**: the same families' `fit` and `predict` with the same parameters on a frame that is in memory already, "
    "in processes that are already there and hold it: every family searched at the 4 origins, the chosen spec's up "
    "to the holdout and on everything, the gate's opponent (there is no champion yet: seasonal naive), the models of "
    "the levels above the series, and each forecast that the chain makes with them. The features that a family makes "
    "for itself are part of its fit on both sides. No weights, intervals, scores, files or database.",
    "",
    "Chain and bare fits take turns in one run; the figures are ratios of processor time (of the medians, without the "
    "database server, with everything that the chain's processes are started with), because it suffers less from other "
    "programs that keep the cores busy. The clock stands beside it, as it says what processes wait for.",
    "",
    "**A plain Prophet loop**: `Prophet()` as it comes, without regressors or holidays, fitted at each of the 4 "
    "origins, up to the holdout and on everything, forecasting 28 days from each, with its own intervals; timed on a "
    "seeded draw of series and scaled by their number, as each series costs the same. Both sides have 2 processes.",
)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
