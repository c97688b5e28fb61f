"""What the worker does beside the jobs, in a process of its own: find lost runs, keep what was promised for a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from multiprocessing.connection import Connection

from django.conf import settings
from django.db import DatabaseError, connections
from django_tenants.utils import get_public_schema_name, schema_context

from config.worker.process import Stopping
from integrations.services import webhook_sending
from ledger.selectors import schemas_with_live_runs
from ledger.services import runs
from tenants.selectors import serving_schemas
from tenants.services.applications import expire_due
from tenants.services.dispatching import dispatch_due
from tenants.services.mails import send_due
from tenants.services.platform_audit import verify_due
from tenants.services.slo_measuring import measure_slos

logger = logging.getLogger(__name__)


def keep_up(parent: Connection) -> None:
    """The life of the process."""
    stopping = Stopping()
    stopping.listen()
    while not stopping.asked:
        reap_everywhere()
        keep_promises()
        stopping.sleep(max(1.0, settings.RUN_LOST_AFTER_SECONDS / 4))
    connections.close_all()


def reap_everywhere() -> int:
    """Reap the public schema and every serving tenant that has a live run, and say how many runs were touched; a schema
    that fails is logged and does not stop the others."""
    reaped = 0
    try:
        schemas = schemas_with_live_runs([get_public_schema_name(), *serving_schemas()])
    except DatabaseError:
        logger.exception("cannot list the tenants; trying again later")
        connections.close_all()
        return 0
    for schema_name in schemas:
        try:
            with schema_context(schema_name):
                reaped += len(runs.reap())
        except DatabaseError:
            logger.exception("cannot reap runs of %s; trying again later", schema_name)
            connections.close_all()
    return reaped


def keep_promises() -> None:
    """Send the mails and webhooks whose next attempt is due, end applications that nobody confirmed in time, queue what
    the schedules have due and the day's verification of the platform's audit trail, and measure the service levels.
    One that fails does not stop the others."""
    promises: list[Callable[[], object]] = [send_due, webhook_sending.send_due, expire_due]
    if settings.SCHEDULES:
        promises += [dispatch_due, verify_due, measure_slos]
    for keep in promises:
        try:
            keep()
        except DatabaseError:
            logger.exception("cannot look for what is due; trying again later")
            connections.close_all()
