"""A small line of a few values, drawn on the server: the shape of a trend beside its figure."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT, EDGE = 96, 24, 3
LEAST = 2
"""Fewer values than this are no line."""


def sparkline(values: Sequence[float | None], label: str) -> SafeString:
    """An SVG of the values in order, evenly spaced, the largest on top; a gap where one is None. label: what it says.

    Empty text where there are fewer than two values.
    """
    known = [value for value in values if value is not None]
    if len(known) < LEAST:
        return mark_safe("")
    low, high = min(known), max(known)
    points = [None if value is None else (_x(k, len(values)), _y(value, low, high)) for k, value in enumerate(values)]
    lines: list[str] = []
    current = ""
    for point in points:
        if point is None:
            lines, current = [*lines, current], ""
        else:
            current += f"{'L' if current else 'M'}{point[0]:.1f} {point[1]:.1f}"
    path = " ".join(line for line in [*lines, current] if line)
    x, y = next(point for point in reversed(points) if point is not None)
    return format_html(
        '<svg class="fc-spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        '<path d="{}"/><circle cx="{}" cy="{}" r="2"/></svg>',
        WIDTH, HEIGHT, WIDTH, HEIGHT, label, label, path, f"{x:.1f}", f"{y:.1f}",
    )  # fmt: skip


def _x(k: int, count: int) -> float:
    return EDGE + k * (WIDTH - 2 * EDGE) / max(count - 1, 1)


def _y(value: float, low: float, high: float) -> float:
    share = 0.5 if high == low else (value - low) / (high - low)
    return HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE)
