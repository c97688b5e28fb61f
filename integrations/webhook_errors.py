"""Errors of webhooks: what a tenant admin has to change. Never a secret or a whole address in any of them."""

from __future__ import annotations

from integrations.errors import IntegrationError


class WebhookRefused(IntegrationError):
    """The endpoint cannot be saved as asked; ``problems`` names each field and what to change."""

    code = "webhook_refused"

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        super().__init__(" ".join(problems.values()))


class WebhookNotFound(IntegrationError):
    code = "webhook_not_found"

    def __init__(self, what: str, pk: int) -> None:
        self.pk = pk
        super().__init__(f"There is no {what} {pk} here. Go back to the list of webhooks.")


class WebhookIdle(IntegrationError):
    """Nothing is sent to an endpoint that is switched off or was disabled."""

    code = "webhook_idle"

    def __init__(self, name: str, state: str) -> None:
        self.name, self.state = name, state
        super().__init__(f"{name} is {state}. Switch it on first; then send again what it missed.")


class WebhookNotDelivered(IntegrationError):
    """An attempt failed; the delivery's page says how, and when it is tried again."""

    code = "webhook_not_delivered"
    exit_status = 1
