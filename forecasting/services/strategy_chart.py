"""The sweep of a strategy cycle as SVG: a small chart for each pair of families. The same report, the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from forecasting.services.strategy_report import HEADS

_COLUMNS, _WIDTH, _HEIGHT, _GAP, _TOP, _LEFT = 3, 300, 176, 24, 92, 24
_PLOT = (58, 34, 228, 112)
"""Left, top, width and height of the plot inside a small chart."""
_STYLE = """
:root { --back: #ffffff; --text: #1e293b; --quiet: #475569; --grid: #e2e8f0; --line: #0f766e; --best: #b45309; }
@media (prefers-color-scheme: dark) { :root { --back: #0f172a; --text: #f1f5f9; --quiet: #cbd5e1; --grid: #334155;
  --line: #2dd4bf; --best: #fbbf24; } }
text { fill: var(--quiet); font: 12px Inter, system-ui, sans-serif; }
.title { fill: var(--text); font-size: 16px; font-weight: 600; } .name { fill: var(--text); font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.back { fill: var(--back); } .grid { stroke: var(--grid); } .band { fill: var(--line); opacity: .18; }
.line { fill: none; stroke: var(--line); stroke-width: 2; }
.best { stroke: var(--best); stroke-dasharray: 5 4; stroke-width: 1.5; }
"""


@dataclass(frozen=True)
class _Scale:
    """From a value to a height in a plot."""

    low: float
    high: float

    def y(self, value: float) -> float:
        _, top, _, height = _PLOT
        return top + height * (1 - (value - self.low) / (self.high - self.low))


def to_svg(report: Mapping[str, Any]) -> str:
    """Each pair's measure beside the best single, over the share of its first family, with the paired 95% band."""
    choice = report["recommendation"]
    points = choice["beside_single"]
    pairs = [pair for pair in report["sweep"]["pairs"] if all(key in points for key in pair["points"])]
    rows, columns = -(-len(pairs) // _COLUMNS), max(min(_COLUMNS, len(pairs)), 1)
    width = max(_LEFT * 2 + columns * _WIDTH + (columns - 1) * _GAP, 760)
    height = _TOP + rows * (_HEIGHT + _GAP) + 8
    single = choice["single"].partition(":")[2]
    title = f"{HEADS[choice['measure']]} of every pair of families, by the share of the first".capitalize()
    if choice["measure"] == "wape":
        title = title.replace("Wape", "WAPE")
    lines = [
        f"Change from the best single, {_words(single)} (dashed), each pair on its own scale. Lower is better.",
        "Band: 95% of resamples of series, the same for both. Where it reaches the dashed line, it is noise.",
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(choice["sentence"])}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        f'<text class="title" x="{_LEFT}" y="34">{escape(title)}</text>',
        *(f'<text x="{_LEFT}" y="{56 + 18 * k}">{escape(text)}</text>' for k, text in enumerate(lines)),
    ]
    for number, pair in enumerate(pairs):
        left = _LEFT + (number % _COLUMNS) * (_WIDTH + _GAP)
        top = _TOP + (number // _COLUMNS) * (_HEIGHT + _GAP)
        parts += _small(left, top, pair, [points[key] for key in pair["points"]])
    return "\n".join([*parts, "</svg>", ""])


def _scale(changes: Sequence[Mapping[str, Any]]) -> _Scale:
    values = [one[name] for one in changes for name in ("change", "low", "high") if one[name] is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.05 * (high - low) or 0.01
    return _Scale(low - room, high + room)


def _small(
    left: int,
    top: int,
    pair: Mapping[str, Any],
    figures: Sequence[Mapping[str, Any]],
) -> list[str]:
    """One pair on a scale of its own: title, grid lines, band, line and the best single."""
    scale = _scale(figures)
    x0, y0, width, height = _PLOT
    step = width / (len(figures) - 1)
    out = [
        f'<g transform="translate({left} {top})">',
        f'<text class="name" x="0" y="16">{escape(_words(pair["one"]))} with {escape(_words(pair["other"]))}</text>',
    ]
    for value in (scale.low, scale.high):
        y = _f(scale.y(value))
        out.append(f'<line class="grid" x1="{x0}" x2="{x0 + width}" y1="{y}" y2="{y}"/>')
        out.append(f'<text class="end" x="{x0 - 6}" y="{_f(scale.y(value) + 4)}">{value:+.1%}</text>')
    for position, label in ((0, "1.0"), (5, "0.5"), (10, "0.0")):
        out.append(f'<text class="middle" x="{_f(x0 + position * step)}" y="{y0 + height + 18}">{label}</text>')
    band = [(x0 + k * step, one) for k, one in enumerate(figures) if one["low"] is not None]
    if band:
        upper = [f"{_f(x)},{_f(scale.y(one['high']))}" for x, one in band]
        lower = [f"{_f(x)},{_f(scale.y(one['low']))}" for x, one in reversed(band)]
        out.append(f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>')
    line = [f"{_f(x0 + k * step)},{_f(scale.y(one['change']))}" for k, one in enumerate(figures)]
    out.append(f'<polyline class="line" points="{" ".join(line)}"/>')
    zero = _f(scale.y(0.0))
    out.append(f'<line class="best" x1="{x0}" x2="{x0 + width}" y1="{zero}" y2="{zero}"/>')
    return [*out, "</g>"]


def _f(value: float) -> str:
    return f"{value:.2f}"


def _words(family: str) -> str:
    return family.replace("_", " ")
