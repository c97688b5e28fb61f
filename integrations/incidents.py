"""Registry of incident triggers: an app says here what can go wrong, how bad it is, what to do, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrations.incident_errors import UnknownTrigger

if TYPE_CHECKING:
    from integrations.models import Incident


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a runbook's checklist. `how` says where to look or what to run, in words for the person on duty."""

    key: str
    text: str
    how: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Whether the cause of an incident is gone, and what was seen."""

    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """A kind of incident.

    severity: "sev1" (forecasts are wrong or missing), "sev2" (they soon will be) or "sev3" (somebody should look).
    check: looks again, in the tenant's schema, whether the cause is gone; an incident is resolved only when it passes.
    closes_itself: whether a watch may resolve the incident as soon as the check passes, without a person.
    """

    name: str
    title: str
    severity: str
    meaning: str
    steps: tuple[Step, ...]
    check: Callable[[Incident], Check]
    closes_itself: bool = False


Watch = Callable[[], None]
_TRIGGERS: dict[str, Trigger] = {}
_WATCHES: dict[str, Watch] = {}


def register_trigger(trigger: Trigger) -> None:
    """Make a kind of incident known; called from the owning app's ``ready()``. The same name again replaces it."""
    _TRIGGERS[trigger.name] = trigger


def register_watch(name: str, watch: Watch) -> None:
    """Let ``watch`` look, every few minutes in each serving tenant's schema, for what should be an incident."""
    _WATCHES[name] = watch


def get_trigger(name: str) -> Trigger:
    """The registered trigger; raise ``UnknownTrigger``."""
    try:
        return _TRIGGERS[name]
    except KeyError:
        raise UnknownTrigger(name) from None


def all_triggers() -> tuple[Trigger, ...]:
    """Every registered trigger, by name."""
    return tuple(_TRIGGERS[name] for name in sorted(_TRIGGERS))


def all_watches() -> tuple[tuple[str, Watch], ...]:
    """Every registered watch, by name."""
    return tuple(sorted(_WATCHES.items()))
