"""What a forecast's flags say to a person. A flag is a name, some with a detail after a colon ("declined:prophet")."""

from __future__ import annotations

from collections.abc import Iterable

FLAGS: dict[str, tuple[str, str]] = {
    "cold_start": ("Little history", "The series was seen on fewer than 28 days (8 weeks)."),
    "fallback": ("Stand-in", "None of the families that were chosen could forecast it; another one stands in."),
    "declined": (
        "Declined",
        "This family was chosen for its kind of demand and declined this series; the model's notes say why.",
    ),
    "fit_age": (
        "Older fit",
        "So many steps have come since this family was fitted; it learns nothing from them before it is fitted again.",
    ),
    "capped": ("Cut", "A model said more than ten times the series' third largest day, and was cut there."),
    "bounds_capped": (
        "Bounds cut",
        "An upper bound lay beyond ten times the series' third largest day, and was cut there: its errors were large.",
    ),
    "above_history": (
        "Above all history",
        "More than a quarter above the largest day ever sold, also if the growth of the last weeks goes on.",
    ),
    "below_history": (
        "Below all history",
        "Less than a tenth of the least that was sold in as many steps in a row in the last half year.",
    ),
}
"""Name -> short label, meaning."""


def flag_label(flag: str) -> str:
    """A flag in a word or two: "Declined: prophet". An unknown one as it is."""
    name, _, detail = flag.partition(":")
    label = FLAGS[name][0] if name in FLAGS else name
    return f"{label}: {detail}" if detail else label


def flag_meanings(flags: Iterable[str]) -> list[tuple[str, str]]:
    """Label and meaning of each kind among these flags, once, in the order of the table."""
    kinds = {flag.partition(":")[0] for flag in flags}
    return [FLAGS[name] for name in FLAGS if name in kinds]
