"""What a scenario works with: the tenant, a clock that writes down what happened, and a list of what to put back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connections
from django.utils import timezone
from django_tenants.utils import schema_context

from config.simulation.errors import SimulationFailed
from integrations.models import Incident, Source
from integrations.models.incident import LIVE_INCIDENTS
from ledger.models import Run, RunState
from ledger.schema import connection
from ledger.services import runs
from tenants.services.dispatching import dispatch

Found = TypeVar("Found")
_POLL_SECONDS = 0.3


@dataclass
class World:
    """One simulation at work. files: the folder with the tenant's own source files. patience: seconds to wait for each
    thing that has to happen."""

    schema_name: str
    files: Path
    say: Callable[[str], None]
    patience: float = 180.0
    began: datetime = field(default_factory=timezone.now)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _clock: float = field(default_factory=time.monotonic)

    def note(self, what: str, **facts: Any) -> float:
        """Write down what happened, and return the seconds since the beginning."""
        seconds = round(time.monotonic() - self._clock, 2)
        self.timeline.append({"at": timezone.now().isoformat(), "seconds": seconds, "what": what, **facts})
        self.say(f"{seconds:7.2f} s  {what}")
        return seconds

    def wait(self, look: Callable[[], Found | None], what: str) -> Found:
        """Look until there is something; a database that is away meanwhile is waited for, too. Raises
        ``SimulationFailed``."""
        until = time.monotonic() + self.patience
        while time.monotonic() < until:
            try:
                found = look()
            except DatabaseError:
                self.reconnect()
                found = None
            if found:
                return found
            time.sleep(_POLL_SECONDS)
        raise SimulationFailed(
            f"{what} did not happen within {self.patience:g} s. See that a worker runs, and its log."
        )

    def reconnect(self) -> None:
        """Drop a connection that may be broken, and stand in the tenant with a new one."""
        connections.close_all()
        connection.set_schema(self.schema_name)

    def start(self, kind: str) -> Run:
        """Let the system do now what its schedule does later: a job of ``kind`` in this tenant, through the queue."""
        made = dispatch(kind=kind, schemas=[self.schema_name])
        entry = made.entries.get()
        with schema_context(self.schema_name):
            if entry.run_id is None:
                raise SimulationFailed(f"{kind} could not be started: {entry.get_outcome_display()} {entry.reason}")
            return Run.objects.get(pk=entry.run_id)

    def done(self, run: Run) -> Run:
        """Wait until the run has ended, and return it."""
        ended = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
        return self.wait(lambda: Run.objects.filter(pk=run.pk, state__in=ended).first(), f"The end of {run}")

    def incident(self, trigger: str) -> Incident | None:
        """The live incident of that trigger."""
        return Incident.objects.filter(trigger=trigger, state__in=LIVE_INCIDENTS).order_by("-pk").first()


class Journal:
    """What to put back, written down before anything is damaged; it outlives a killed simulation."""

    def __init__(self, schema_name: str) -> None:
        self.schema_name = schema_name
        self.path = Path(settings.DATA_DIR) / "simulations" / f"{schema_name}.json"

    def add(self, **entry: Any) -> None:
        """Write down one thing, on the disk before this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps([*self.entries(), entry], indent=2), encoding="utf-8")
        fresh.replace(self.path)

    def entries(self) -> list[dict[str, Any]]:
        """Everything that is written down, oldest first."""
        entries: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []
        return entries

    def put_back(self) -> list[str]:
        """Put back everything, newest first, and say what was; in the tenant's schema. Doing it twice does no harm."""
        told = [_PUT_BACK[entry["what"]](entry) for entry in reversed(self.entries())]
        self.path.unlink(missing_ok=True)
        return [text for text in told if text]


def _put_back_file(entry: dict[str, Any]) -> str:
    backup = Path(entry["backup"])
    if not backup.exists():
        return ""
    content = backup.read_bytes()
    with default_storage.open(entry["path"], "rb") as stored:
        same = stored.read() == content
    if not same:
        default_storage.delete(entry["path"])
        default_storage.save(entry["path"], ContentFile(content))
    backup.unlink()
    return "" if same else f"the file {Path(entry['path']).name} is what it was again"


def _put_back_sync(entry: dict[str, Any]) -> str:
    was = datetime.fromisoformat(entry["was"]) if entry["was"] else None
    moved = Source.objects.filter(pk=entry["source"], last_sync_at=datetime.fromisoformat(entry["moved_to"]))
    return "the time of the last load is what it was again" if moved.update(last_sync_at=was) else ""


def _end_probe(entry: dict[str, Any]) -> str:
    run = Run.objects.filter(pk=entry["run"]).first()
    if run is None or not run.is_live:
        return ""
    runs.cancel(run_id=run.pk, actor=None)
    return f"{run} is cancelled"


_PUT_BACK: dict[str, Callable[[dict[str, Any]], str]] = {
    "file": _put_back_file, "sync": _put_back_sync, "probe": _end_probe,
}  # fmt: skip
