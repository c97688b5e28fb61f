"""``manage.py worker``: the background processes, and the reaper that finds what a kill left behind."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from config.processes import forks_end_with_parent
from config.worker.pool import Pool, ProcessesDie
from ledger.presence import Presence
from ledger.queues import Queue

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run background jobs until stopped. SIGTERM or Ctrl-C lets the current jobs end, or hands them back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queue",
            choices=[queue.value for queue in Queue],
            help="do only short or only long jobs; without it both",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        queues = [Queue(options["queue"])] if options["queue"] else list(Queue)
        sizes = {queue: settings.JOB_PROCESSES[queue.value] for queue in queues}
        forks_end_with_parent()
        presence = Presence()
        pool = Pool(sizes, presence)
        stopping = _remember_stop()
        pool.start()
        presence.hold()
        words = " and ".join(f"{size} for {queue.value} jobs" for queue, size in sizes.items())
        self.stdout.write(f"Worker ready: processes: {words}.")
        self.stdout.flush()
        try:
            while not stopping:
                pool.look()
                presence.hold()
        except ProcessesDie:
            raise CommandError(
                "The job processes end as soon as they start; read the log above, then start the worker again."
            ) from None
        finally:
            pool.stop(settings.STOP_SECONDS)
            presence.release()
            connections.close_all()


def _remember_stop() -> list[int]:
    stopping: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        stopping.append(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handle)
    return stopping
