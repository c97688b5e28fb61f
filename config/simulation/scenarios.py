"""The five scenarios: how each is really caused, which job finds it, and what is done at the runbook's steps."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from config.simulation.deliveries import deliver, newest_day, source_of
from config.simulation.errors import SimulationFailed, SimulationRefused
from config.simulation.world import Journal, World
from forecasting import selectors
from forecasting.services.alarms import ARTIFACT_CORRUPT, VERIFY_CHAMPION
from forecasting.services.rollback import rollback_targets
from integrations.models.delivery import DeliveryState
from integrations.services.watching import FAILING, STALE, WATCH
from integrations.services.watching_runs import LOST
from integrations.sync_health import FAILING_IN_A_ROW, STALE_TIMES, sync_health
from ledger.models import AuditEvent, Run, RunState
from ledger.services import runs
from ledger.services.verify import verify_chain

PROBE = "config.probe"
PROBE_DONE = "probe.done"
Act = Callable[[World], str]
Facts = dict[str, tuple[bool, str]]


@dataclass(frozen=True)
class Scenario:
    """cause: damages, after the journal knows what to put back. look: the scheduled job that finds it. mend: what is
    done at a step of the runbook, by the step's key; the others are only read. verify: what has to be so afterwards."""

    name: str
    title: str
    trigger: str
    look: str
    cause: Callable[[World, Journal], None]
    mend: Mapping[str, Act] = field(default_factory=dict)
    verify: Callable[[World], Facts] = lambda world: {}


# --- stale source, bad file -------------------------------------------------------------------------------------------


def _go_stale(world: World, journal: Journal) -> None:
    source, contract = source_of(world)
    newest_day(world, contract, spoilt=False, turn=0)  # whether it can be mended is known before anything is damaged
    limit = next(iter(sync_health(name=source.name))).max_age_hours
    moved = timezone.now() - timedelta(hours=STALE_TIMES * limit + 2)
    was = source.last_sync_at.isoformat() if source.last_sync_at else ""
    journal.add(what="sync", source=source.pk, was=was, moved_to=moved.isoformat())
    source.last_sync_at = moved
    source.save(update_fields=["last_sync_at"])
    world.facts |= {"source": source.name, "max_age_hours": limit}
    world.note(f"Nothing came from {source.name} for {STALE_TIMES * limit + 2:g} hours (its last load is moved back)")


def _load_newest(world: World) -> str:
    source, contract = source_of(world)
    turn = int(time.time()) % 10_000
    content = newest_day(world, contract, spoilt=False, turn=turn)
    made = deliver(world, source, contract, content, name=f"whole-{turn}")
    if made.state != DeliveryState.LOADED:
        raise SimulationFailed(f"Delivery {made.pk} is {made.get_state_display().lower()}: {made.problem}")
    world.note(f"Delivery {made.pk} of the newest day is loaded", delivery=made.pk)
    return f"Delivery {made.pk}, the newest day once more, is loaded."


def _source_fresh(world: World) -> Facts:
    found = next(iter(sync_health(name=world.facts["source"])))
    return {"The source is fresh": (found.health == "fresh", found.words)}


def _send_bad_files(world: World, journal: Journal) -> None:
    source, contract = source_of(world)
    world.facts["source"] = source.name
    before = int(time.time()) % 10_000
    for number in range(FAILING_IN_A_ROW):
        content = newest_day(world, contract, spoilt=True, turn=before + number)
        made = deliver(world, source, contract, content, name=f"torn-{before + number}")
        world.note(
            f"Delivery {made.pk}, which does not say which products were sold, is {made.get_state_display().lower()}"
        )
        if made.state != DeliveryState.REFUSED:
            raise SimulationFailed(f"A torn file was not refused: delivery {made.pk} is {made.state}.")


# --- worker killed, database restarted --------------------------------------------------------------------------------


def _start_probe(world: World, journal: Journal) -> Run:
    probe = runs.enqueue(kind=PROBE, inputs={"seconds": world.patience})
    journal.add(what="probe", run=str(probe.pk))
    world.facts["probe"] = str(probe.pk)
    running = Run.objects.filter(pk=probe.pk, state=RunState.RUNNING, progress_done__gt=0)
    at_work: Run = world.wait(running.first, "The start of the probe job")
    world.note(f"{at_work} is at work in {at_work.worker}", run=str(probe.pk))
    return at_work


def _kill_worker(world: World, journal: Journal) -> None:
    probe = _start_probe(world, journal)
    host, _, pid = probe.worker.rpartition(":")
    if host != socket.gethostname():
        raise SimulationRefused(f"The worker is on {host}. Simulate it there, or stop that worker first.")
    os.kill(int(pid), signal.SIGKILL)
    world.note(f"Job process {pid} is killed")
    _until_lost(world, probe)


def _restart_database(world: World, journal: Journal) -> None:
    if settings.DATABASES["default"].get("EMBEDDED") is None:
        raise SimulationRefused("Only the embedded PostgreSQL is restarted by a program. Restart yours by hand, watch.")
    probe = _start_probe(world, journal)
    pidfile = Path(settings.DATA_DIR) / "postgres" / "postmaster.pid"
    pid = int(pidfile.read_text(encoding="utf-8").splitlines()[0])
    os.kill(pid, signal.SIGQUIT)  # at once: no session is asked to finish
    until = time.monotonic() + world.patience
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    world.note(f"The database server (process {pid}) is stopped at once; the next connection starts it again")
    world.reconnect()
    _until_lost(world, probe)


def _until_lost(world: World, probe: Run) -> None:
    lost = AuditEvent.objects.filter(event="run.lost", subject_id=str(probe.pk))
    event: AuditEvent = world.wait(lost.first, "The loss of the job being noticed")
    world.note(f"The system calls the attempt lost: {event.data.get('why', 'silent')}")


def _probe_ended(world: World) -> str:
    ended = world.done(Run.objects.get(pk=world.facts["probe"]))
    world.note(f"{ended} is {ended.get_state_display().lower()} in attempt {ended.attempt}")
    return f"{ended}: " + ", then ".join(str(one["outcome"]) for one in ended.attempts_log) + "."


def _once(world: World) -> Facts:
    probe = Run.objects.get(pk=world.facts["probe"])
    done = AuditEvent.objects.filter(event=PROBE_DONE, subject_id=str(probe.pk)).count()
    outcomes = [one["outcome"] for one in probe.attempts_log]
    queued = Run.objects.filter(state=RunState.RUNNING, heartbeat_at__lt=timezone.now() - timedelta(minutes=5)).count()
    return {
        "The job was done once": (done == 1 and probe.state == RunState.SUCCEEDED, f"{done} result(s), {probe.state}"),
        "Its first attempt is kept as lost": (outcomes == ["lost", "succeeded"], ", ".join(outcomes)),
        "No other run stands still": (queued == 0, f"{queued} without a sign of life"),
    }


# --- corrupt artifact -------------------------------------------------------------------------------------------------


def _damage_artifact(world: World, journal: Journal) -> None:
    champion = selectors.current_champion()
    row = champion.version.artifacts.filter(role="serving").order_by("name").first() if champion is not None else None
    if champion is None or row is None:
        raise SimulationRefused("Nothing serves in this tenant, so no stored model of it can be damaged.")
    backup = journal.path.with_suffix(".backup")
    backup.parent.mkdir(parents=True, exist_ok=True)
    with default_storage.open(row.path, "rb") as stored:
        content = stored.read()
    backup.write_bytes(content)
    journal.add(what="file", path=row.path, backup=str(backup))
    torn = bytearray(content)
    torn[len(torn) // 2] ^= 0xFF
    default_storage.delete(row.path)
    default_storage.save(row.path, ContentFile(bytes(torn)))
    world.facts |= {"version": champion.version.label, "file": row.name}
    world.note(f"One byte of {row.name} of {champion.version.label}, which serves, is changed in the store")


def _what_else(world: World) -> str:
    targets = rollback_targets()
    return f"{len(targets)} earlier assignment(s) could be put back; what serves now goes on from memory and tables."


def _restore_artifact(world: World) -> str:
    told = Journal(world.schema_name).put_back()
    world.note("The file is restored from its backup")
    return "; ".join(told).capitalize() + "."


def _artifact_whole(world: World) -> Facts:
    checked = world.done(world.start(VERIFY_CHAMPION)).outputs
    return {"Every stored file is what was registered": (checked["bad"] == 0, f"{checked['files']} files read again")}


SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("stale_source", "A source goes stale", STALE, WATCH, _go_stale, {"load": _load_newest}, _source_fresh),
        Scenario(
            "bad_file", "Bad files are delivered", FAILING, WATCH, _send_bad_files, {"mend": _load_newest},
            _source_fresh,
        ),
        Scenario(
            "worker_killed", "A job process is killed", LOST, WATCH, _kill_worker, {"retried": _probe_ended}, _once
        ),
        Scenario(
            "database_restarted", "The database is stopped at once", LOST, WATCH, _restart_database,
            {"retried": _probe_ended}, _once,
        ),
        Scenario(
            "corrupt_artifact", "A stored model is damaged", ARTIFACT_CORRUPT, VERIFY_CHAMPION, _damage_artifact,
            {"serve": _what_else, "restore": _restore_artifact}, _artifact_whole,
        ),
    )
}  # fmt: skip


def sound(world: World) -> Facts:
    """What has to be so after every scenario."""
    report = verify_chain()
    return {"The audit trail adds up": (report.intact, f"{report.events} events")}
