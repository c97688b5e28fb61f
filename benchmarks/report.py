"""``benchmarks/RESULTS.md`` and ``benchmarks/results.json`` from the parts that were measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parts import kept_part

PARTS: dict[str, tuple[str, int]] = {
    "ingest": ("benchmarks.ingest", 600),
    "overhead": ("benchmarks.forecasting.overhead", 1500),
    "accuracy": ("benchmarks.forecasting.accuracy", 900),
    "scale": ("benchmarks.forecasting.scale", 2400),
    "promotion": ("benchmarks.forecasting.promotion", 900),
    "replay": ("benchmarks.forecasting.replay", 10800),
    "approval": ("benchmarks.approval.run", 1800),
}
"""Name to module, and the seconds that it may take."""

HEAD = """# Results

Made by `python -m benchmarks` (`make bench`). Ratios within one run are what counts: a shared machine is never idle,
and absolute times vary by a factor of two from minute to minute. Each part says when it was made, of which revision (a
+ means with uncommitted changes) and under which load (the processes that wanted to run, at its beginning and after
each step; the parts themselves keep up to two busy).
"""


@dataclass(frozen=True)
class Book:
    """A pair of reports: their names, how they begin, and the parts that stand in them."""

    json: str
    markdown: str
    head: str
    parts: dict[str, tuple[str, int]]


BENCH = Book("results.json", "RESULTS.md", HEAD, PARTS)


def write_reports(out: Path, *, quick: bool, book: Book = BENCH) -> Path:
    """Write both from the parts that are kept, quick or full ones; a part that is not kept here stays as it was."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / book.json
    written = _written(path)
    kept = [(name, kept_part(name, quick=quick) or written.get(name)) for name in book.parts]
    parts = {name: part for name, part in kept if part is not None}
    figures = [{**figure, "part": name} for name, part in parts.items() for figure in part["figures"]]
    about = ("title", "when", "seconds", "revision", "load", "machine", "quick", "complete", "text")
    body = {"figures": figures, "parts": {name: {key: part[key] for key in about} for name, part in parts.items()}}
    text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    target = out / book.markdown
    text = "\n".join([book.head, *_summary(figures), *_sections(parts, book)]) + "\n"
    target.write_text(text, encoding="utf-8")
    return target


def _written(path: Path) -> dict[str, dict[str, Any]]:
    """The parts as an earlier report holds them: of those that were not measured in this place."""
    if not path.exists():
        return {}
    body = json.loads(path.read_text(encoding="utf-8"))
    own = ("name", "value", "to_reach", "better", "note", "reached")
    return {
        name: {**part, "figures": [{key: f[key] for key in own} for f in body["figures"] if f.get("part") == name]}
        for name, part in body.get("parts", {}).items()
    }


def _summary(figures: list[dict[str, Any]]) -> list[str]:
    """One line a figure; those that miss their aim are in bold and named below."""
    lines = ["## Figures", "", "| figure | value | to reach | |", "|---|--:|--:|---|"]
    for figure in figures:
        value = "not measured" if figure["value"] is None else f"{figure['value']:,.5g}"
        aim = {"lower": "≤", "higher": "≥"}[figure["better"]]
        verdict = {True: "reached", False: "**missed**", None: ""}[figure["reached"]]
        verdict = "**not known**" if figure["value"] is None else verdict
        to_reach = "" if figure["to_reach"] is None else f"{aim} {figure['to_reach']:,g}"
        note = f" ({figure['note']})" if figure["note"] else ""
        lines.append(f"| {figure['name']}{note} | {value} | {to_reach} | {verdict} |")
    held = [figure for figure in figures if figure["reached"] is not None]
    missed = [figure["name"] for figure in held if not figure["reached"]]
    lines += ["", f"{len(held) - len(missed)} of {len(held)} aims are reached."]
    if missed:
        lines += ["Missed, or not measured:", "", *(f"- {name}" for name in missed)]
    return [*lines, ""]


def _sections(parts: dict[str, dict[str, Any]], book: Book) -> list[str]:
    """Each part with how it was made, and what is noted beside it (`notes/<part>.md`)."""
    lines = []
    for name, (module, _) in book.parts.items():
        part = parts.get(name)
        if part is None:
            lines += [f"## {name.capitalize()}", "", f"Not measured yet: `python -m benchmarks --only {name}`.", ""]
            lines += _note(name)
            continue
        load = " ".join(f"{one:.1f}" for one in part["load"])
        broken = "" if part["complete"] else " **It was interrupted: what follows is what it had by then.**"
        small = " **Small panels (`--quick`): the figures say nothing of the aims.**" if part["quick"] else ""
        made = (
            f"`python -m {module}`, {part['when']}, revision {part['revision']}, {part['seconds']:.0f} s, load {load}."
        )
        lines += [f"## {part['title']}", "", made + broken + small, "", *part["text"], ""]
        lines += _note(name)
    return lines[:-1]


def _note(name: str) -> list[str]:
    """What people noted beside a part."""
    note = Path(__file__).parent / "notes" / f"{name}.md"
    return [note.read_text(encoding="utf-8").strip(), ""] if note.exists() else []
