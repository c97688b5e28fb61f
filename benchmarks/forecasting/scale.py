"""Ten times the series, in time and in memory: ``python -m benchmarks.forecasting.scale``.

The chain with LightGBM on synthetic panels of 1,000 and 10,000 series × 730 days, each in a process of its own; then a
panel twice as large, to see whether memory stays flat. Peak memory is the proportional set size of that process and
all that it started, added up and sampled every two seconds: pages that they share are counted once. The database
server is not among them.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.apart import Interrupted, apart
from benchmarks.forecasting import panels
from benchmarks.parts import Figure, Part
from benchmarks.place import drop_tenant, prepare, timed

HORIZON = 28
MOST_TIMES, MOST_MIB, FLAT = 10.5, 3 * 1024.0, 1.1
LIMITS = {1: 1200.0, 10: 5400.0, 20: 5400.0}
HEAD = (
    "| series × days | rows | loading them | chain | processor | train, forecast, accuracy, gate | peak memory |",
    "|---|--:|--:|--:|--:|--:|--:|",
)


def measured(part: Part, series: int, days: int, limit: float) -> dict[str, Any]:
    """The chain on a fresh tenant of that size, and its line of the table. Raises `Interrupted`."""
    try:
        loading = timed(lambda: panels.load_synthetic(panels.SYNTHETIC, series=series, days=days))
        words = (panels.SYNTHETIC, "lightgbm", str(HORIZON), "memory")
        found = apart("benchmarks.forecasting.one_chain", *words, limit=limit)
    finally:
        drop_tenant(panels.SYNTHETIC)
    of_it = ", ".join(f"{found['steps'][step]:.1f}" for step in ("retrain", "forecast", "accuracy", "gate"))
    part.text.append(
        f"| {series:,} × {days} | {series * days:,} | {loading:.1f} s | {found['seconds']:.1f} s "
        f"| {found['processor']:.1f} s | {of_it} s | {found['peak_mib']:,.0f} MiB |"
    )
    part.facts[f"{series} × {days}"] = {**found, "loading": loading}
    part.keep()
    return found


def main(*, quick: bool) -> None:
    """1,000, 10,000 and 20,000 series; quick: 50, 500 and 1,000, and fewer days."""
    prepare()
    part = Part("scale", "Ten times the series", quick=quick)
    part.text += [*TEXT, "", *HEAD]
    unit, days, more_days = (50, 200, 200) if quick else (1000, 730, 365)
    runs: dict[int, dict[str, Any]] = {}
    for times in (1, 10, 20):
        try:
            runs[times] = measured(part, times * unit, days if times < 20 else more_days, LIMITS[times])
        except Interrupted as error:
            part.text.append(f"| {times * unit:,} × {days} | | | {error} | | | |")
        part.figures = figures(unit, days, more_days, runs)
        part.keep()
    part.keep(complete=True)


def figures(unit: int, days: int, more_days: int, runs: dict[int, dict[str, Any]]) -> list[Figure]:
    """Ratios of time and of memory, and the peak; what was not run has no value."""

    def ratio(of: int, to: int, key: str) -> float | None:
        return float(runs[of][key] / runs[to][key]) if of in runs and to in runs else None

    peak = float(runs[10]["peak_mib"]) if 10 in runs else None
    clock = ratio(10, 1, "seconds")
    note = "processor time" + ("" if clock is None else f"; by the clock {clock:.2f}")
    name = f"time, {10 * unit:,} ÷ {unit:,} series × {days} days"
    return [
        Figure(name, ratio(10, 1, "processor"), MOST_TIMES, note=note),
        Figure(f"peak memory in MiB, {10 * unit:,} series × {days} days", peak, MOST_MIB),
        Figure(
            f"peak memory, {20 * unit:,} series × {more_days} days ÷ {10 * unit:,} × {days}",
            ratio(20, 10, "peak_mib"),
            FLAT,
        ),
    ]


TEXT = (
    "The chain with LightGBM (searched: seasonal_naive and lightgbm), a horizon of 28 days, on synthetic panels: "
    "trend, weekly and yearly shape, prices, promotions, closed days, intermittent series. Each size in a process of "
    "its own. Peak memory is the proportional set size (PSS) of that process and of all that it started, added up: "
    "pages that they share are counted once. It is sampled every two seconds; the database server is not among them. "
    "The ratio of time is that of processor time, which suffers less from other programs; the clock stands beside it.",
)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
