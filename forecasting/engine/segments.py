"""Segments: bounded sets of series that are fitted together. Memory and units of work follow them, not the tenant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SEGMENT_SERIES = 1000
"""Most series in a segment, where nothing else is asked for."""


@dataclass(frozen=True)
class Segment:
    """A set of series (ids ascending) with its number, counted from 0."""

    number: int
    ids: tuple[int, ...]


def plan_segments(ids: Iterable[int], size: int = SEGMENT_SERIES) -> tuple[Segment, ...]:
    """As few segments as hold at most `size` series each, of sizes that differ by one at most, in the order of the ids.

    The same ids give the same plan, in whatever order they come. Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError("a segment holds at least 1 series")
    known = sorted({int(i) for i in ids})
    count = -(-len(known) // size)
    least, more = divmod(len(known), count) if count else (0, 0)
    segments, start = [], 0
    for number in range(count):
        end = start + least + (number < more)
        segments.append(Segment(number, tuple(known[start:end])))
        start = end
    return tuple(segments)


def with_new_series(segments: Sequence[Segment], ids: Iterable[int]) -> tuple[Segment, ...]:
    """The segments of a fit for the series that are there now: each keeps its own, and those that came since go to the
    segment that their id names (id modulo the number of segments). A segment that has none left is left out."""
    there = {int(i) for i in ids}
    new = sorted(there.difference(*(segment.ids for segment in segments)))
    out = []
    for place, segment in enumerate(segments):
        own = [i for i in segment.ids if i in there]
        own += [i for i in new if i % len(segments) == place]
        if own:
            out.append(Segment(segment.number, tuple(sorted(own))))
    return tuple(out)
