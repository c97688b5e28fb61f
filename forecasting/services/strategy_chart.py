"""The sweep of a strategy cycle as SVG: a small chart for each pair on one scale. The same report, the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from forecasting.services.strategy_report import HEADS, cell

_COLUMNS, _WIDTH, _HEIGHT, _GAP, _TOP, _LEFT = 3, 300, 190, 24, 92, 24
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
    """Each pair's measure over the share of its first family, with its 95% band; dashed: the best single."""
    choice, currency = report["recommendation"], report["currency"]
    points = {point["key"]: point["figures"][choice["measure"]] for point in report["sweep"]["points"]}
    pairs = report["sweep"]["pairs"]
    scale = _scale(list(points.values()))
    rows = -(-len(pairs) // _COLUMNS)
    columns = min(_COLUMNS, len(pairs))
    width = max(_LEFT * 2 + columns * _WIDTH + (columns - 1) * _GAP, 640)
    height = _TOP + rows * (_HEIGHT + _GAP) + 8
    single = points[choice["single"]]
    title = f"{HEADS[choice['measure']].capitalize()} of every pair of families, by the share of the first"
    best = (
        f"Dashed: the best single, {choice['single'].partition(':')[2]} ({cell(single, choice['measure'], currency)})"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(choice["sentence"])}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        f'<text class="title" x="{_LEFT}" y="34">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="56">{escape(best)}</text>',
        f'<text x="{_LEFT}" y="74">Band: 95% of resamples of series. Lower is better.</text>',
    ]
    for number, pair in enumerate(pairs):
        left = _LEFT + (number % _COLUMNS) * (_WIDTH + _GAP)
        top = _TOP + (number // _COLUMNS) * (_HEIGHT + _GAP)
        figures = [points[key] for key in pair["points"]]
        parts += _small(left, top, pair, figures, scale, single["value"], choice["measure"])
    return "\n".join([*parts, "</svg>", ""])


def _scale(figures: Sequence[Mapping[str, Any]]) -> _Scale:
    values = [figure[name] for figure in figures for name in ("value", "low", "high") if figure[name] is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.05 * (high - low) or 1.0
    return _Scale(max(low - room, 0.0) if low >= 0 else low - room, high + room)


def _small(
    left: int,
    top: int,
    pair: Mapping[str, Any],
    figures: Sequence[Mapping[str, Any]],
    scale: _Scale,
    best: float | None,
    measure: str,
) -> list[str]:
    """One pair: title, two grid lines, band, line and the best single."""
    x0, y0, width, height = _PLOT
    step = width / (len(figures) - 1)
    out = [
        f'<g transform="translate({left} {top})">',
        f'<text class="name" x="0" y="16">{escape(_words(pair["one"]))} with {escape(_words(pair["other"]))}</text>',
    ]
    for value in (scale.low, scale.high):
        y = _f(scale.y(value))
        out.append(f'<line class="grid" x1="{x0}" x2="{x0 + width}" y1="{y}" y2="{y}"/>')
        out.append(f'<text class="end" x="{x0 - 6}" y="{_f(scale.y(value) + 4)}">{_tick(value, measure)}</text>')
    for position, label in ((0, "1.0"), (5, "0.5"), (10, "0.0")):
        out.append(f'<text class="middle" x="{_f(x0 + position * step)}" y="{y0 + height + 18}">{label}</text>')
    band = [(x0 + k * step, one) for k, one in enumerate(figures) if one["low"] is not None]
    if band:
        upper = [f"{_f(x)},{_f(scale.y(one['high']))}" for x, one in band]
        lower = [f"{_f(x)},{_f(scale.y(one['low']))}" for x, one in reversed(band)]
        out.append(f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>')
    line = [
        f"{_f(x0 + k * step)},{_f(scale.y(one['value']))}" for k, one in enumerate(figures) if one["value"] is not None
    ]
    out.append(f'<polyline class="line" points="{" ".join(line)}"/>')
    if best is not None:
        y = _f(scale.y(best))
        out.append(f'<line class="best" x1="{x0}" x2="{x0 + width}" y1="{y}" y2="{y}"/>')
    return [*out, "</g>"]


def _tick(value: float, measure: str) -> str:
    return f"{value * 100:.0f}%" if measure == "wape" else f"{value:,.0f}"


def _f(value: float) -> str:
    return f"{value:.2f}"


def _words(family: str) -> str:
    return family.replace("_", " ")
