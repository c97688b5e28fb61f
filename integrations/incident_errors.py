"""Errors of incidents."""

from __future__ import annotations

from integrations.errors import IntegrationError


class UnknownTrigger(IntegrationError):
    code = "unknown_trigger"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"No incident trigger {name!r} is registered.")


class IncidentNotFound(IntegrationError):
    code = "incident_not_found"

    def __init__(self, pk: object) -> None:
        super().__init__(f"There is no incident {pk} here.")


class IncidentClosed(IntegrationError):
    """It is resolved already, or acknowledged already."""

    code = "incident_closed"

    def __init__(self, label: str, state: str, by: str) -> None:
        self.label, self.state = label, state
        super().__init__(f"{label} is {state} already{f', by {by}' if by else ''}.")


class StillFailing(IntegrationError):
    """The trigger's own check says that the cause is still there."""

    code = "incident_still_failing"
    exit_status = 1

    def __init__(self, label: str, seen: str) -> None:
        self.label, self.seen = label, seen
        super().__init__(f"{label} cannot be resolved yet: {seen} Go on with its runbook, then try again.")


class StepUnknown(IntegrationError):
    code = "incident_step_unknown"

    def __init__(self, label: str, key: str) -> None:
        super().__init__(f"The runbook of {label} has no step {key!r}. Load the page again: the runbook changed.")


class TextMissing(IntegrationError):
    code = "incident_text_missing"

    def __init__(self, what: str) -> None:
        super().__init__(f"Say in a few words {what}: it is kept with the incident.")
