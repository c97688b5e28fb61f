"""``manage.py worker``: the background processes, and the reaper that finds what a kill left behind."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django_q.cluster import Cluster
from django_tenants.utils import get_public_schema_name, schema_context

from config.presence import Presence
from config.processes import forks_end_with_parent
from integrations.services import webhook_sending
from ledger.services import runs
from tenants.selectors import serving_schemas
from tenants.services.applications import expire_due
from tenants.services.dispatching import dispatch_due
from tenants.services.mails import send_due
from tenants.services.slo_measuring import measure_slos

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run background jobs until stopped (SIGTERM or Ctrl-C lets the current jobs finish)."

    def handle(self, *args: Any, **options: Any) -> None:
        reap_everywhere(send_again=True)  # what a killed worker had taken from the broker without beginning it
        connections.close_all()  # a forked process must not inherit a connection
        forks_end_with_parent()
        cluster = Cluster()
        cluster.start()
        presence = Presence()
        presence.hold()  # after the fork: the lock is this process's alone
        self.stdout.write(f"Worker ready: {settings.Q_CLUSTER['workers']} processes.")
        stopping = _remember_stop(cluster)
        interval = max(1.0, settings.RUN_LOST_AFTER_SECONDS / 4)
        due = time.monotonic() + interval
        while cluster.sentinel.is_alive():
            time.sleep(0.5)
            if time.monotonic() >= due:
                due = time.monotonic() + interval
                presence.hold()
                reap_everywhere()
                keep_promises()
        if not stopping:
            raise CommandError("The job processes ended by themselves; start the worker again. Their runs are retried.")


def _remember_stop(cluster: Cluster) -> list[int]:
    """Let the cluster handle the signal as before, and remember that it came."""
    stopping: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        stopping.append(signum)
        cluster.sig_handler(signum, frame)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handle)
    return stopping


def reap_everywhere(*, send_again: bool = False) -> int:
    """Reap the public schema and every serving tenant; a schema that fails is logged and does not stop the others.

    send_again: tell the broker of all queued runs, too.
    """
    reaped = 0
    try:
        schemas = [get_public_schema_name(), *serving_schemas()]
    except DatabaseError:
        logger.exception("cannot list the tenants; trying again later")
        connections.close_all()
        return 0
    for schema_name in schemas:
        try:
            with schema_context(schema_name):
                reaped += len(runs.reap())
                if send_again:
                    runs.send_queued()
        except DatabaseError:
            logger.exception("cannot reap runs of %s; trying again later", schema_name)
            connections.close_all()
    return reaped


def keep_promises() -> None:
    """Send the mails and webhooks whose next attempt is due, end applications that nobody confirmed in time, queue what
    the schedules have due, and measure the service levels."""
    try:
        send_due()
        webhook_sending.send_due()
        expire_due()
        if settings.SCHEDULES:
            dispatch_due()
            measure_slos()
    except DatabaseError:
        logger.exception("cannot look for what is due; trying again later")
        connections.close_all()
