"""A tenant's demand as the engine's source: any process reads its own segment, in the state that the parent froze.

Nothing of Django is imported before it is needed: a process of a pool or of a cluster starts with this file.
"""

from __future__ import annotations

import os
import pickle
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from forecasting.engine.panel import Panel
from forecasting.engine.segments import Segment
from forecasting.engine.types import TrainingWindow
from forecasting.services.handed_panels import Handed, hand, laid_down, take_back

if TYPE_CHECKING:
    from forecasting.services.data_profile import DataProfile
    from forecasting.services.loading import TenantShape

_kept: dict[str, tuple[str, Segment, Panel]] = {}
"""The segment that this process read last: the origins of a backtest ask for the same one in a row."""


@dataclass(frozen=True)
class DatabaseSource:
    """What a window sees of a tenant (`PanelSource`), read through the one door to training data.

    snapshot: the exported state that every process reads in; None reads over the present connection, in this process
    alone. window: with the fingerprint of that state. ahead: steps after its end for which the known future is read.
    hands: whether its processes are of this machine, so that a panel of all series can be handed to them; handed: it.
    """

    schema: str
    database: str
    snapshot: str | None
    window: TrainingWindow
    ahead: int
    profile: DataProfile
    shape: TenantShape
    segments: tuple[Segment, ...]
    hands: bool = False
    handed: Handed | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    home: str = field(default_factory=lambda: _here())

    def __reduce__(self) -> tuple[Any, ...]:
        """Its parts are of Django's modules, so Django is made ready before they are read."""
        return _sent, (pickle.dumps(self.__dict__),)

    @property
    def grain(self) -> str:
        """Of the tenant's contract."""
        return self.profile.grain

    @property
    def season_length(self) -> int:
        """Of the grain."""
        return self.profile.season_length

    @property
    def first_day(self) -> date:
        """First day of any series."""
        return self.shape.first_day

    @property
    def last_day(self) -> date:
        """The window's end."""
        return self.window.train_end

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self.shape.ids)

    def panel(self, segment: Segment) -> Panel:
        """The segment's panel, in this process. Raises SeriesUnusable, PartitionBroken."""
        token, known, panel = _kept.get("last", ("", None, None))
        if panel is not None and (token, known) == (self.token, segment):
            return panel
        _kept.clear()  # before the next one is read: never two at once
        panel = self._given()
        if panel is None:
            from forecasting.services.loading import load_segment

            with _tenant(self):
                panel = load_segment(self.window, segment.ids, profile=self.profile, shape=self.shape, ahead=self.ahead)
        _kept["last"] = (self.token, segment, panel)
        return panel

    def _given(self) -> Panel | None:
        """The panel that the parent laid down for its processes, held against the window like any other; the parent
        itself takes it up again where it has read another window in between."""
        if self.home == _here():
            panel = laid_down(self.token)
        else:
            panel = self.handed.panel() if self.handed is not None else None
        if panel is not None:
            self.window.check(panel.history)
        return panel

    def over(self, segments: Sequence[Segment]) -> DatabaseSource:
        """The same rows in other segments; itself where they are its own, so that nothing is read twice."""
        segments = tuple(segments)
        if segments == self.segments:
            return self
        return replace(self, segments=segments, token=uuid.uuid4().hex)

    def narrow(self, segment: Segment) -> DatabaseSource:
        """The same without the list of all series, for a task. Where it is all there is, its panel is read here and
        handed on: the processes would each read the same."""
        handed = None
        if self.hands and len(self.segments) == 1 and self.home == _here():
            handed = hand(self.token, self.panel(segment))
        return replace(self, segments=(segment,), shape=replace(self.shape, ids=segment.ids), handed=handed)


def _sent(parts: bytes) -> DatabaseSource:
    """In another process: the source as its parent sent it."""
    prepare_django()
    return DatabaseSource(**pickle.loads(parts))  # noqa: S301  # between a run's own processes, never stored


def _here() -> str:
    """This process, among those of all machines."""
    return f"{socket.gethostname()}:{os.getpid()}"


def forget() -> None:
    """Let go of the panel that this process has kept, and of those that it handed on."""
    _kept.clear()
    take_back()


def prepare_django() -> None:
    """Make Django ready in a process that was started without it."""
    import django
    from django.apps import apps

    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        django.setup()


@contextmanager
def _tenant(source: DatabaseSource) -> Iterator[None]:
    """The tenant's schema, in the frozen state; in a process that serves others, no connection stays open."""
    from django_tenants.utils import schema_context

    from ledger.schema import connection

    if source.snapshot is None:
        yield
        return
    guest = connection.settings_dict["NAME"] != source.database
    if guest:  # as in tests, whose database is not that of the settings
        connection.close()
        connection.settings_dict["NAME"] = source.database
    try:
        with schema_context(source.schema), frozen(source.snapshot):
            yield
    finally:
        if source.home != _here():
            connection.close()


@contextmanager
def frozen(snapshot: str) -> Iterator[None]:
    """A transaction of the present connection that sees an exported state and writes nothing."""
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the search path is set before the transaction begins
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        yield
