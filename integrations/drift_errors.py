"""Errors of the inbox of changed columns."""

from __future__ import annotations

from integrations.errors import IntegrationError, one_line


class DriftDecided(IntegrationError):
    """Somebody was faster."""

    code = "drift_decided"

    def __init__(self, label: str, state: str, by: str) -> None:
        self.state = state
        super().__init__(f"{label}: {state.lower()} already, by {by}. Look at the page again.")


class MappingRefused(IntegrationError):
    """The chosen columns make no contract; nothing was changed."""

    code = "mapping_refused"

    def __init__(self, problem: str) -> None:
        super().__init__(one_line(problem))


class DeliveryBlocked(IntegrationError):
    """An earlier delivery of the source is held; a later one must not overtake it."""

    code = "delivery_blocked"

    def __init__(self, source: str, delivery_id: int) -> None:
        self.source, self.delivery_id = source, delivery_id
        super().__init__(
            f"Delivery {delivery_id} of {source} is held, and deliveries of a source are read in their order. "
            "Decide about it first, under “Changed columns”."
        )
