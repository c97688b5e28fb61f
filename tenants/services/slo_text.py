"""The service levels as a document, from their declarations."""

from __future__ import annotations

from tenants.schedules import all_schedules
from tenants.slos import ROLLING, SAMPLE_MINUTES, SLOS, WINDOW


def slo_document() -> str:
    """docs/OPERATIONS_SLO.md, deterministic."""
    hours = int(WINDOW.total_seconds() // 3600)
    lines = [
        "# Service levels",
        "",
        "Made from the declarations in the code by `manage.py slo_document`; do not edit it by hand.",
        "",
        f"Each is measured every {SAMPLE_MINUTES} minutes by a running worker from the tenants' heartbeats and the",
        f"counted requests, and judged over a rolling {ROLLING.days} days. The platform's admin shows them under",
        "*Service levels*.",
        "",
        "| service level | objective | counted | who is told |",
        "|---|--:|---|---|",
        *(f"| {slo.title} (`{slo.name}`) | {100 * slo.objective:g}% | {slo.what} | {slo.escalation} |" for slo in SLOS),
        "",
        "## States",
        "",
        "| state | when |",
        "|---|---|",
        f"| ok | the last {hours} hours kept the objective |",
        f"| warning | the last {hours} hours did not |",
        f"| critical | nor did the {hours} hours before |",
        "| unknown | nothing was counted yet |",
        "",
        "The error budget is what the objective leaves to be missed; a burn of 1 uses it up exactly at the end of the",
        "window. For one tenant, a freshness is a warning beyond its age and critical beyond twice its age: then an",
        "incident opens (severity 1 where the tenant is in production and its forecasts are missing), and the gate",
        "*operations* keeps its models from being promoted until the level is kept again.",
        "",
        "## What keeps them",
        "",
        "Started by a running worker in each tenant that is on trial or active, once for each of its days or hours:",
        "",
        "| schedule | what | when |",
        "|---|---|---|",
        *(f"| `{one.name}` | {one.title} | {one.words()} |" for one in all_schedules()),
    ]
    return "\n".join(lines) + "\n"
