"""Whether choosing pays: the rolling-origin table on every panel: ``python -m benchmarks.forecasting.accuracy``.

What is measured is what `manage.py evaluate` reports: each origin is forecast by rules that were fitted without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.apart import Interrupted, apart
from benchmarks.forecasting import panels
from benchmarks.parts import Figure, Part
from benchmarks.place import drop_tenant, prepare
from forecasting.services.effectiveness_text import DASH, MIXED, best_single, number, ratio_to_best

RATIO = "chosen (ensemble or single) ÷ best single family, WAPE"
MOST, LIMIT, NEAR = 1.0, 900.0, 0.03
HEAD = (
    "| panel | series | WAPE: best single | ensemble | chosen | chosen ÷ best | coverage80 of chosen "
    "| Winkler80: chosen | conformal around Prophet | Prophet's own | on rows |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def value(report: dict[str, Any], name: str, score: str) -> float | None:
    """An overall score of a contender, or None where it is undefined."""
    line = next(one for one in report["contenders"] if one["name"] == name)
    found: float | None = line["scores"]["overall"][score]["value"]
    return found


def add(part: Part, panel: str, report: dict[str, Any]) -> None:
    """The panel's line and its figures."""
    best = best_single(report)
    mixed = {name: value(report, name, "wape") for name in MIXED}
    ratio, covered, bands = ratio_to_best(report, "chosen"), value(report, "chosen", "coverage80"), report["bands"]
    named = DASH if best is None else f"{best[0]} {best[1]:.4f}"
    cells = [named, *(number(mixed[name], 4) for name in MIXED), number(ratio, 4), number(covered, 4)]
    cells += [number(bands[name], 4) for name in ("ours", "same", "prophet")]
    part.text.append(f"| {panel} | {report['series']:,} | {' | '.join(cells)} | {bands['rows']:,} |")
    note = f"best is {named}; the ensemble alone {number(ratio_to_best(report, 'ensemble'), 4)}"
    part.figures.append(Figure(f"{RATIO}, {panel}", ratio, MOST, note=note))
    off = None if covered is None else abs(covered - 0.8)
    part.figures.append(Figure(f"coverage80 of the chosen, distance to 0.80, {panel}", off, NEAR))
    if bands["rows"]:
        beside = bands["ours"] / bands["prophet"]
        note = f"{bands['series']} series, {bands['rows']:,} rows; conformal around Prophet's own forecast "
        note += f"{bands['same'] / bands['prophet']:.3f}"
        part.figures.append(Figure(f"Winkler80, ours ÷ Prophet's own, {panel}", beside, MOST, note=note))
    part.facts[panel] = report
    part.keep()


def main(*, quick: bool) -> None:
    """The demo tenants, the real panel and a synthetic one; quick: small ones."""
    prepare()
    part = Part("accuracy", "Whether choosing pays", quick=quick)
    part.text += [*TEXT, "", *HEAD]
    series, days = (60, 200) if quick else (1000, 730)
    sources: list[tuple[str, str, Callable[[], None]]] = [
        (panels.REAL, "real series", partial(panels.load_real, most=60 if quick else None)),
        (
            panels.SYNTHETIC,
            f"{series:,} synthetic series × {days} days",
            partial(panels.load_synthetic, panels.SYNTHETIC, series=series, days=days),
        ),
    ]
    panels.load_demo()
    sources = [*((schema, schema, _nothing) for schema in panels.DEMO), *sources]
    for schema, panel, load in sources:
        try:
            load()
            add(part, panel, apart("benchmarks.forecasting.one_table", schema, limit=LIMIT))
        except Interrupted as error:
            part.text.append(f"| {panel} | | {error} | | | | | | | | |")
            part.figures.append(Figure(f"{RATIO}, {panel}", None, MOST))
            part.keep()
        finally:
            drop_tenant(schema)
    part.keep(complete=True)


def _nothing() -> None:
    return


TEXT = (
    "The table of `manage.py evaluate` on 4 rolling origins of 14 days before the sealed holdout: families train "
    "before their origin; weights, the choice of a spec and the intervals come from the other origins, so that nothing "
    "is scored on what it was fitted to. The best single is the family with the least WAPE among those that forecast "
    "every row, known only with hindsight: a choice that is as good is a good one. Chosen is what a search does, "
    "ensemble or single. The intervals stand beside Prophet's own (1,000 samples) on the rows that Prophet forecast.",
)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
