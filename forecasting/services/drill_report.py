"""The report of a drill as Markdown, for people and for the file that is kept."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from forecasting.models import RollbackDrill

CHECKS = {
    "damage": "The damaged model is really another one",
    "noticed": "The damage was noticed on actuals",
    "no_false_alarm": "The whole model is not called on the same rows",
    "restored": "What served before serves again",
    "bit_identical": "Reloaded, it forecasts the same bits",
    "live_untouched": "The live channel was left alone",
    "kept_out": "The damaged model stayed on its channel",
}


def file_name(drill: RollbackDrill) -> str:
    """Name of the report: of the day on which the drill ended (UTC)."""
    return f"ROLLBACK_DRILL_REPORT_{drill.finished_at.astimezone(UTC):%Y-%m-%d}.md"


def markdown(drill: RollbackDrill, tenant: str) -> str:
    """The whole report of one drill."""
    report: dict[str, Any] = drill.report
    lines = [
        f"# Rollback drill of {tenant}: {drill.get_outcome_display().lower()}",
        "",
        drill.sentence,
        "",
        f"Begun {drill.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {drill.asked_by_name}"
        f"{f' ({drill.reason})' if drill.reason else ''}, ended {drill.finished_at.astimezone(UTC):%H:%M:%S} UTC. "
        "Each step is a background run, done by a worker from the queue, on the channel `drill`; the live channel was "
        "not part of it.",
        "",
        *_figures(drill, report),
        *_steps(report),
        *_days(report),
        *_hashes(report),
        *_checks(report),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _figures(drill: RollbackDrill, report: dict[str, Any]) -> list[str]:
    rollback = report.get("rollback", {})
    seconds = rollback.get("seconds", {})
    rows = [
        ("Put back", f"v{report['reference']}, {report['reference_is']}" if "reference" in report else "–"),
        ("Damaged", f"v{report['damaged']} ({report['damage']['how']}; factor {report['damage']['factor']:g})"
         if "damaged" in report else "–"),
        ("Forecasts", f"{report['series']:,} series × {report['horizon']} steps from {report['origin']}"
         if "origin" in report else "–"),
        ("Time to detect", f"{drill.days_to_detect} step(s) of actuals, {_s(drill.seconds_to_detect)} after promotion"
         if drill.days_to_detect else "not detected"),
        ("Time to restore", f"{_s(drill.seconds_to_restore)} (verify {_s(seconds.get('verify'))}, load "
         f"{_s(seconds.get('load'))}, publish {_s(seconds.get('publish'))}; {rollback.get('files', 0)} files, "
         f"{rollback.get('bytes', 0):,} bytes)" if rollback else "–"),
        ("Bit-identical", {True: "yes", False: "no", None: "not compared"}[drill.bit_identical]),
        ("SHA-256 of this record", f"`{drill.report_sha256}`"),
    ]  # fmt: skip
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]


def _steps(report: dict[str, Any]) -> list[str]:
    lines = ["## Steps", "", "| step | run | ended as | attempts | seconds |", "|---|---|---|--:|--:|"]
    for one in report.get("steps", []):
        state = "this step" if one["state"] == "running" else one["state"]
        lines.append(f"| {one['title']} | `{one['run']}` | {state} | {one['attempts']} | {_n(one['seconds'])} |")
    return [*lines, ""]


def _days(report: dict[str, Any]) -> list[str]:
    days = report.get("days", [])
    if not days:
        return []
    lines = ["## Actuals, day by day", "",
             "Pooled over the days so far; the same rule watches the live champion. Ratios are error in service to the "
             "error that the champion was approved with, as it is and beside seasonal naive.", "",
             "| day | damaged: WAPE | times promised | beside naive | called | whole: WAPE | called |",
             "|---|--:|--:|--:|---|--:|---|"]  # fmt: skip
    for one in days:
        bad, good = one["damaged"], one["whole"]
        lines.append(
            f"| {one['day']} | {_n(bad['wape'])} | {_n(bad['ratio'])} | {_n(bad['naive_ratio'])} "
            f"| {bad['severity'] or 'no'} | {_n(good['wape'])} | {good['severity'] or 'no'} |"
        )
    return [*lines, ""]


def _hashes(report: dict[str, Any]) -> list[str]:
    names = {
        "published_sha256": "what it published on the drill channel",
        "live_published_sha256": "what it had published live from the same origin",
        "damaged_sha256": "the damaged version’s forecasts",
        "restored_sha256": "what served after the rollback",
        "reloaded_sha256": "what it forecast after its files were read anew",
    }
    rows = [f"| {text} | `{report[name]}` |" for name, text in names.items() if report.get(name)]
    if not rows:
        return []
    head = "SHA-256 over series, days, steps and the five figures of every row, as 64-bit values."
    return ["## Forecasts, bit for bit", "", head, "", "| | |", "|---|---|", *rows, ""]


def _checks(report: dict[str, Any]) -> list[str]:
    checks = report.get("checks", [])
    if not checks:
        return []
    rows = [
        f"| {CHECKS.get(one['name'], one['name'])} | {'yes' if one['passed'] else '**no**'} | {one['text']} |"
        for one in checks
    ]
    lines = ["## What it proves", "", "| | | |", "|---|---|---|", *rows, ""]
    before, after = report.get("before", {}), report.get("after", {})
    if before:
        lines += ["The live channel before and after:", "", "| | before | after |", "|---|---|---|"]
        lines += [f"| {name} | `{value or '–'}` | `{after.get(name) or '–'}` |" for name, value in before.items()]
    return [*lines, ""]


def _s(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _n(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
