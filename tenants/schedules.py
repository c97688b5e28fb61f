"""What is started by itself in every tenant, and when: declared in code, due in the tenant's own time zone.

A schedule has slots: a local day, week, month, hour, or so many minutes. Each slot fires once, whatever the clock does:
a time that daylight saving skips fires when the clock has passed it, one that comes twice is the same slot. A slot that
passed while nothing ran is caught up while it lasts, older ones are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


class Every(StrEnum):
    MINUTES = "minutes"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Schedule:
    """A job that every serving tenant runs by itself.

    kind: the registered job; inputs and scope are those of its run. at: local time of day (for an hour: its minute).
    day: of the week (1 is Monday) or of the month (1 to 28). minutes: the length of a slot of `Every.MINUTES`.
    jitter: the most minutes that a tenant's own start is put off by, so that not all begin at once (the same for a
    tenant each time). applies: asked in the tenant's schema, whether there is anything to do.
    """

    name: str
    kind: str
    title: str
    every: Every
    at: time = time(3, 0)
    day: int = 1
    minutes: int = 15
    jitter: int = 0
    inputs: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""
    applies: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        if self.every is Every.WEEK and not 1 <= self.day <= 7:
            raise ValueError(f"{self.name}: a week has days 1 to 7, not {self.day}")
        if self.every is Every.MONTH and not 1 <= self.day <= 28:
            raise ValueError(f"{self.name}: choose a day of the month from 1 to 28, which every month has")
        if self.every is Every.MINUTES and not 1 <= self.minutes <= 1440:
            raise ValueError(f"{self.name}: choose 1 to 1440 minutes")

    def slot(self, now: datetime, time_zone: str, schema_name: str, since: datetime = EPOCH) -> str | None:
        """The name of the slot that is due for this tenant at ``now`` (aware), or None while it is not due yet.

        A slot of a day, week or month that was due before ``since`` (the tenant's beginning) is not.
        """
        late = timedelta(minutes=self._delay(schema_name))
        if self.every is Every.MINUTES:
            number = int((now - EPOCH - late).total_seconds() // 60) // self.minutes
            return f"{self.minutes}m-{number}"
        zone = ZoneInfo(time_zone)
        local = now.astimezone(zone)
        wall = local.replace(tzinfo=None)
        if self.every is Every.HOUR:
            due = wall.replace(minute=self.at.minute, second=0, microsecond=0) + late
            return f"{wall:%Y-%m-%dT%H}{local:%z}" if wall >= due else None
        first = self._first_day(wall.date())
        if wall < datetime.combine(first, self.at) + late:
            first = self._first_day(first - timedelta(days=1))  # the slot before lasts until this one is due
        due = datetime.combine(first, self.at) + late
        return first.isoformat() if due.replace(tzinfo=zone) >= since else None

    def _first_day(self, today: date) -> date:
        """The day on which the current slot begins: today, this week's day, or this month's; the last one before it
        where that is still to come."""
        if self.every is Every.DAY:
            return today
        if self.every is Every.WEEK:
            return today - timedelta(days=(today.isoweekday() - self.day) % 7)
        this = today.replace(day=self.day)
        return this if this <= today else (today.replace(day=1) - timedelta(days=1)).replace(day=self.day)

    def _delay(self, schema_name: str) -> int:
        if self.jitter <= 0:
            return 0
        digest = hashlib.sha256(f"{self.name}:{schema_name}".encode()).digest()
        return int.from_bytes(digest[:4]) % (self.jitter + 1)

    def words(self) -> str:
        """When it runs, for people."""
        if self.every is Every.MINUTES:
            return f"every {self.minutes} minutes"
        within = f", or up to {self.jitter} minutes later" if self.jitter else ""
        if self.every is Every.HOUR:
            return f"every hour at minute {self.at.minute}{within}"
        days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        on = {
            Every.DAY: "every day",
            Every.WEEK: f"every {days[(self.day - 1) % 7]}",
            Every.MONTH: f"on day {self.day} of every month",
        }
        return f"{on[self.every]} at {self.at:%H:%M} of the tenant's time{within}"


_SCHEDULES: dict[str, Schedule] = {}


def register_schedule(schedule: Schedule) -> None:
    """Declare a schedule; called from the owning app's ``ready()``. The same name again replaces it."""
    _SCHEDULES[schedule.name] = schedule


def all_schedules() -> tuple[Schedule, ...]:
    """Every declared schedule, by name."""
    return tuple(_SCHEDULES[name] for name in sorted(_SCHEDULES))
