"""The evidence of a simulation for people."""

from __future__ import annotations

from typing import Any


def evidence_text(evidence: dict[str, Any]) -> str:
    """The evidence for people, in Markdown."""
    incident = evidence["incident"]
    return "\n".join([
        f"# Incident simulation: {evidence['title']}",
        "",
        f"Really caused on the tenant `{evidence['tenant']}` by `manage.py simulate_incident {evidence['scenario']} "
        f"{evidence['tenant']}`, at {evidence['began_at'][:19]} UTC, code {evidence['revision']}.",
        "",
        f"**{'Passed' if evidence['passed'] else 'Failed'}**: detected after {evidence['seconds_to_detect']:g} s, "
        f"recovered {evidence['seconds_to_recover']:g} s later. The watch that finds it runs every hour by schedule "
        "(the champion's files: every day); here its job was queued at once.",
        "",
        "| second | what happened |", "|--:|---|",
        *(f"| {one['seconds']:.2f} | {_cell(one['what'])} |" for one in evidence["timeline"]),
        "",
        f"## Incident {incident['number']}: `{incident['trigger']}`, {incident['severity'].upper()}, "
        f"{incident['state']}",
        "",
        "| at (UTC) | what | text |", "|---|---|---|",
        *(f"| {one['at'][11:19]} | {one['kind']} | {_cell(one['text'])} |" for one in incident["events"]),
        "",
        "## Checks", "", "| check | passed | found |", "|---|---|---|",
        *(
            f"| {one['check']} | {'yes' if one['passed'] else 'NO'} | {_cell(one['found'])} |"
            for one in evidence["checks"]
        ),
        "",
    ])  # fmt: skip


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
