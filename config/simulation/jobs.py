"""The jobs of simulations: the simulation itself, and the probe that it lets a worker do while something breaks."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db import transaction

from ledger.context import RunContext
from ledger.jobs import job
from ledger.queues import Queue
from ledger.services.audit import record
from tenants.simulations import Simulations, register_simulations

SIMULATE = "config.simulate_incident"
TITLES = {
    "stale_source": "A source goes stale",
    "bad_file": "Bad files are delivered",
    "worker_killed": "A job process is killed",
    "database_restarted": "The database is stopped at once",
    "corrupt_artifact": "A stored model is damaged",
}


def _is_demo(schema_name: str) -> bool:
    from config.simulation.run import is_demo

    return is_demo(schema_name)


register_simulations(Simulations(SIMULATE, TITLES, _is_demo))


@job(SIMULATE, title="Simulate an incident", max_attempts=1)
def simulate_incident(ctx: RunContext) -> dict[str, Any]:
    """Cause an incident on a demo tenant and see it through; the evidence is the run's output."""
    from config.simulation.run import simulate

    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        ctx.progress(len(told), 0, text.strip())

    return simulate(scenario=ctx.inputs["scenario"], schema_name=ctx.inputs["schema"], say=say)


@job("config.probe", title="Probe of a simulation", max_attempts=3, queue=Queue.SHORT)
def probe(ctx: RunContext) -> dict[str, Any]:
    """Work in its first attempt until something ends it; the next one ends at once, with one result."""
    until = time.monotonic() + float(ctx.inputs["seconds"])
    while ctx.attempt == 1 and time.monotonic() < until:
        ctx.progress(1, 2, "Working until something ends it")
        time.sleep(min(0.5, settings.RUN_HEARTBEAT_SECONDS))
    with transaction.atomic():
        ctx.fence()
        record(event="probe.done", subject=ctx.run, data={"attempt": ctx.attempt})
    return {"attempt": ctx.attempt}
