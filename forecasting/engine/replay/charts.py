"""A replay as SVG: costs adding up in every world, and what was trained, triggered and decided when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from forecasting.engine.replay.lanes import ALWAYS, GATES, GOVERNED, NAIVE, NEVER, PERFECT, TITLES, UNREVIEWED

WIDTH, HEIGHT = 960, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 250, 58, 46
_STYLE = """
:root { --back: #ffffff; --text: #1e293b; --quiet: #475569; --grid: #e2e8f0; --c0: #0f766e; --c1: #0e7490;
  --c2: #6d28d9; --c3: #b45309; --c4: #be123c; --c5: #57534e; --c6: #15803d; }
@media (prefers-color-scheme: dark) { :root { --back: #0f172a; --text: #f1f5f9; --quiet: #cbd5e1; --grid: #334155;
  --c0: #2dd4bf; --c1: #67e8f9; --c2: #c4b5fd; --c3: #fbbf24; --c4: #fda4af; --c5: #d6d3d1; --c6: #86efac; } }
text { fill: var(--quiet); font: 12px Inter, system-ui, sans-serif; }
.title { fill: var(--text); font-size: 16px; font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.back { fill: var(--back); } .grid { stroke: var(--grid); } .line { fill: none; stroke-width: 2; }
.thick { stroke-width: 3.5; } .own { fill: var(--text); font-weight: 600; }
"""
_DRAWN = (
    (GOVERNED, "c0", ""), (UNREVIEWED, "c1", "2 3"), (GATES, "c2", "8 4"), (ALWAYS, "c3", "4 4"),
    (NEVER, "c4", "10 3 2 3"), (NAIVE, "c5", "1 4"), (PERFECT, "c6", "14 4"),
)  # fmt: skip


def cost_svg(summary: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], *, inline: bool = False) -> str:
    """Cumulative cost of every world by day; a text where costs are not known. Perfect knowledge is drawn only when the
    end is known. inline: to stand in a page, which brings colours."""
    days = [line for line in lines if "lanes" in line]
    curves = {
        name: [line["lanes"][name]["total_cost"] for line in days] for name in TITLES if name != PERFECT
    }  # fmt: skip
    if summary.get("perfect_curve"):
        curves[PERFECT] = list(summary["perfect_curve"])
    title = "Cost of stockouts and of stock, adding up"
    if any(value is None for curve in curves.values() for value in curve) or not days:
        why = "Costs are not known: a series has neither price nor cost." if days else "No day has come yet."
        return _page(title, [why], [f'<text x="24" y="64">{why}</text>'], name="cost", inline=inline)
    top = max((curve[-1] for curve in curves.values()), default=0.0) or 1.0
    parts = _grid(top) + _dates([line["day"] for line in days])
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    ends = []
    for name, colour, dash in _DRAWN:
        if name not in curves:
            continue
        curve = curves[name]
        points = [
            f"{_LEFT + width * k / max(len(curve) - 1, 1):.1f},{_TOP + height * (1 - value / top):.1f}"
            for k, value in enumerate(curve)
        ]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        thick = " thick" if name == GOVERNED else ""
        parts.append(
            f'<polyline class="line{thick}" style="stroke: var(--{colour})"{dashed} points="{" ".join(points)}"/>'
        )
        ends.append((curve[-1], name, colour, dash))
    for place, (value, name, colour, dash) in enumerate(sorted(ends, reverse=True)):
        y = _TOP + 14 + place * 34
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        x = WIDTH - _RIGHT + 14
        own = ' class="own"' if name == GOVERNED else ""
        parts += [
            f'<line class="line" style="stroke: var(--{colour})"{dashed} x1="{x}" x2="{x + 26}" y1="{y - 4}" '
            f'y2="{y - 4}"/>',
            f'<text{own} x="{x + 32}" y="{y}">{escape(TITLES[name])}</text>',
            f'<text x="{x + 32}" y="{y + 15}">{value:,.0f} {escape(summary["config"]["currency"])}</text>',
        ]
    return _page(title, [summary.get("sentence") or title], parts, name="cost", inline=inline)


_ROWS = (
    ("cadence", "Due by the calendar"),
    ("error_drift", "Error drifted"),
    ("input_drift", "Inputs drifted"),
    ("refused", "Gate said no"),
    ("rejected", "Reviewer said no"),
    ("promoted", "Promoted"),
    ("refreshed", "Refreshed"),
    ("orders", "Orders changed"),
)
_TONES = {"cadence": "c5", "error_drift": "c4", "input_drift": "c3", "refused": "c4", "rejected": "c3",
          "promoted": "c6", "refreshed": "c0", "orders": "c2"}  # fmt: skip


def happened(line: Mapping[str, Any]) -> list[str]:
    """What is marked for a day in the timeline."""
    out = [name for name in line.get("triggers", []) if name in _TONES]
    decision, verdict = line.get("decision", {}), line.get("gate", {}).get("verdict")
    if verdict is not None and verdict != "eligible":
        out.append("refused")
    if decision.get("verdict") == "reject":
        out.append("rejected")
    if decision.get("outcome") in ("promoted", "refreshed"):
        out.append(decision["outcome"])
    if line.get("orders", {}).get("changed"):
        out.append("orders")
    return out


def timeline_svg(
    summary: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    *,
    inline: bool = False,
    address: Callable[[int], str] | None = None,
) -> str:
    """A mark for everything that happened, day by day. address: of the page of a step, which its marks lead to."""
    parts, width = _dates([line["day"] for line in lines], bottom=_TOP + 34 * len(_ROWS)), WIDTH - _LEFT - _RIGHT + 126
    left = _LEFT + 60
    step = (width) / max(len(lines) - 1, 1)
    for place, (key, title) in enumerate(_ROWS):
        y = _TOP + 20 + 34 * place
        parts.append(f'<text class="end" x="{left - 12}" y="{y + 4}">{escape(title)}</text>')
        parts.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y}" y2="{y}"/>')
        for k, line in enumerate(lines):
            if key in happened(line):
                said = f"{line['day']}: {title}"
                mark = (
                    f'<circle style="fill: var(--{_TONES[key]})" cx="{left + k * step:.1f}" cy="{y}" r="5">'
                    f"<title>{escape(said)}</title></circle>"
                )
                if address is not None:
                    mark = f'<a href="{escape(address(line["step"]))}" aria-label="{escape(said)}">{mark}</a>'
                parts.append(mark)
    told = f"{summary['trainings']} trainings from {summary['first_day']} to {summary['last_day']}."
    return _page("What was triggered, trained and decided", [told], parts, name="timeline", inline=inline)


def _page(title: str, told: Sequence[str], parts: Sequence[str], *, name: str, inline: bool) -> str:
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"' + ("" if inline else f' width="{WIDTH}" height="{HEIGHT}"')
    role = 'role="group"' if inline else 'role="img"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {role} aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape(title)}</title>',
        f'<desc id="{name}-desc">{escape(" ".join(told))}</desc>',
    ]
    if not inline:
        head += [
            f"<style>{_STYLE}</style>",
            f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<text class="title" x="24" y="32">{escape(title)}</text>',
        ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _grid(top: float) -> list[str]:
    height, out = HEIGHT - _TOP - _BOTTOM, []
    for k in range(5):
        y = _TOP + height * (1 - k / 4)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text class="end" x="{_LEFT - 8}" y="{y + 4:.1f}">{top * k / 4:,.0f}</text>')
    return out


def _dates(days: Sequence[str], bottom: int = HEIGHT - _BOTTOM) -> list[str]:
    if not days:
        return []
    own = bottom != HEIGHT - _BOTTOM
    left, width = (_LEFT + 60, WIDTH - _LEFT - _RIGHT + 126) if own else (_LEFT, WIDTH - _LEFT - _RIGHT)
    count = min(6, len(days))
    places = sorted({round(k * (len(days) - 1) / max(count - 1, 1)) for k in range(count)})
    return [
        f'<text class="middle" x="{left + width * k / max(len(days) - 1, 1):.1f}" y="{bottom + 22}">'
        f"{escape(days[k])}</text>"
        for k in places
    ]
