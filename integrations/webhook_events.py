"""The catalogue of events that endpoints may be told of. A higher app registers its own in its ``ready()``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EventType:
    """A kind of event: its name, when it is sent, and what each entry of its ``data`` means, with an example."""

    name: str
    title: str
    when: str
    data: Mapping[str, str]
    example: Mapping[str, Any]

    def __post_init__(self) -> None:
        if set(self.data) != set(self.example):
            raise ValueError(f"{self.name}: the example must have the entries that are described")


_EVENTS: dict[str, EventType] = {}


def register_event(event: EventType) -> None:
    """Put a kind of event into the catalogue; the same name again replaces it."""
    _EVENTS[event.name] = event


def event_type(name: str) -> EventType:
    """The registered kind; ``KeyError`` where there is none."""
    return _EVENTS[name]


def all_events() -> tuple[EventType, ...]:
    """Every kind, in the order of registration."""
    return tuple(_EVENTS.values())


PING = EventType(
    name="webhook.ping",
    title="Test",
    when="A tenant admin pressed “Send a test”. It goes to that endpoint alone, whatever events it takes.",
    data={"endpoint": "Name of the endpoint."},
    example={"endpoint": "Ordering system"},
)
register_event(PING)
