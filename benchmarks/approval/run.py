"""The approval page with many series: ``python -m benchmarks.approval.run``."""

from __future__ import annotations

import sys

from benchmarks.approval import approval_page
from benchmarks.forecasting.panels import load_synthetic
from benchmarks.parts import Part
from benchmarks.place import drop_tenant, prepare

SCHEMA = "bench_approval"


def main(*, quick: bool) -> None:
    """10,000 series; quick: 300."""
    prepare()
    part = Part("approval", "The approval page with 10,000 series", quick=quick)
    part.text += [*TEXT, ""]
    series, days = (300, 160) if quick else (10_000, 160)
    try:
        load_synthetic(SCHEMA, series=series, days=days)
        first = ["seasonal_average"]
        approval_page.measure(part, SCHEMA, series=series, families=first, named="a first champion")
        approval_page.open_gates(SCHEMA)
        second = ["lightgbm"]
        approval_page.measure(part, SCHEMA, series=series, families=second, named="against a champion")
    finally:
        drop_tenant(SCHEMA)
    part.keep(complete=True)


TEXT = (
    "Synthetic panels of 160 days, trained, judged on the sealed holdout and asked for by the chain as it is. The page "
    "is opened by a signed-in reviewer in one process, through every middleware, with everything that it shows; the "
    "first time is not counted.",
)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
