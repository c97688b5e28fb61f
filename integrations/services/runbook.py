"""The runbook of incidents as a document, from the triggers that are registered."""

from __future__ import annotations

from integrations.incidents import all_triggers

_HEAD = (
    "# Incident runbook",
    "",
    "Made from the triggers in the code by `manage.py incident_runbook`; do not edit it by hand.",
    "",
    "An incident is opened once for a cause and subject, and is seen again while it lives. It is looked after in the",
    "tenant's admin under *Incidents*: acknowledge it, tick the steps as they are done, and resolve it with a word on",
    "the cause. Resolving asks the trigger's own check first: while the cause is still there, the incident stays open.",
    "A live incident of severity 1 keeps models from being promoted (gate *operations*).",
    "",
    "| severity | means |",
    "|---|---|",
    "| SEV1 | forecasts are wrong or missing |",
    "| SEV2 | they soon will be |",
    "| SEV3 | somebody should look |",
    "",
)


def runbook_text() -> str:
    """The whole document, deterministic."""
    lines = list(_HEAD)
    for trigger in all_triggers():
        by_itself = " It is resolved by itself once its cause is gone." if trigger.closes_itself else ""
        lines += [f"## {trigger.title}", "", f"`{trigger.name}` · {trigger.severity.upper()}", ""]
        lines += [f"{trigger.meaning}{by_itself}", ""]
        for number, step in enumerate(trigger.steps, 1):
            lines.append(f"{number}. {step.text}{f' ({step.how})' if step.how else ''}.")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"
