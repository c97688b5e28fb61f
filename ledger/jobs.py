"""Registry of job kinds: an app registers its jobs here, and the wrapper runs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.errors import UnknownJobKind
from ledger.queues import Queue

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from ledger.context import RunContext
    from ledger.models import Run

Body = Callable[["RunContext"], dict[str, Any]]
Ready = Callable[["Run"], bool]
Ended = Callable[["Run"], None]
Waits = Callable[["Run"], str]
MayResume = Callable[["Run", "AbstractBaseUser | None"], None]


@dataclass(frozen=True)
class Said:
    """One thing that came of a run, in words; ``page`` names an admin page (with ``args``) that shows it."""

    text: str
    page: str = ""
    args: tuple[Any, ...] = ()


Says = Callable[["Run"], "list[Said]"]
Plan = Callable[["Run"], "tuple[str, ...]"]


@dataclass(frozen=True)
class JobKind:
    """A kind of job: its name, what people call it, how often it is tried, and what it does.

    ``ready`` says whether a queued run may be started now (it waits otherwise); ``ended`` is called, in the transaction
    that ends a run for whatever reason, so that it can send what waited for it. ``waits`` says in words what a queued
    run of the kind waits for, empty where it is only a worker. ``may_resume`` raises a domain error where this person
    may not queue a failed run of the kind again. ``says`` tells in words what came of a run. ``plan`` names the kinds
    that a first run of the kind leads to, itself included, as far as is known before. ``queue`` says which processes do
    it: one that ends within a few seconds is short.
    """

    kind: str
    title: str
    max_attempts: int
    body: Body
    ready: Ready | None = None
    ended: Ended | None = None
    waits: Waits | None = None
    may_resume: MayResume | None = None
    says: Says | None = None
    plan: Plan | None = None
    queue: Queue = Queue.LONG


_KINDS: dict[str, JobKind] = {}


def job(
    kind: str,
    *,
    title: str,
    max_attempts: int = 3,
    ready: Ready | None = None,
    ended: Ended | None = None,
    waits: Waits | None = None,
    may_resume: MayResume | None = None,
    says: Says | None = None,
    plan: Plan | None = None,
    queue: Queue = Queue.LONG,
) -> Callable[[Body], Body]:
    """Register the function as the body of ``kind``. It takes a ``RunContext`` and returns the run's outputs."""

    def register(body: Body) -> Body:
        _KINDS[kind] = JobKind(
            kind, title, max_attempts, body, ready=ready, ended=ended, waits=waits, may_resume=may_resume, says=says,
            plan=plan, queue=queue,
        )  # fmt: skip
        return body

    return register


_CONDITIONS: list[Callable[[str], bool]] = []


def jobs_wait_unless(condition: Callable[[str], bool]) -> None:
    """Start no job of a schema, by name, for which ``condition`` does not hold; its runs stay queued."""
    if condition not in _CONDITIONS:
        _CONDITIONS.append(condition)


def may_start(schema_name: str) -> bool:
    """Whether jobs of this schema are started now."""
    return all(condition(schema_name) for condition in _CONDITIONS)


def get_job(kind: str) -> JobKind:
    """Return the registered kind; raise ``UnknownJobKind``."""
    try:
        return _KINDS[kind]
    except KeyError:
        raise UnknownJobKind(kind) from None


def queue_of(kind: str) -> Queue:
    """The queue of this kind; one that is no longer registered fails at once."""
    return _KINDS[kind].queue if kind in _KINDS else Queue.SHORT


def is_ready(run: Run) -> bool:
    """Whether this queued run may be started now; one of a kind that is no longer registered fails when it starts."""
    registered = _KINDS.get(run.kind)
    return registered is None or registered.ready is None or registered.ready(run)


def waits_for(run: Run) -> str:
    """What this queued run waits for besides a worker, in words; empty where it is only that."""
    registered = _KINDS.get(run.kind)
    return registered.waits(run) if registered is not None and registered.waits is not None else ""


def require_resumable(run: Run, actor: AbstractBaseUser | None) -> None:
    """Let the kind refuse, by a domain error, that this person queues a failed run again."""
    registered = _KINDS.get(run.kind)
    if registered is not None and registered.may_resume is not None:
        registered.may_resume(run, actor)


def what_came(run: Run) -> list[Said]:
    """What came of a run that succeeded, in words; empty where its kind does not say."""
    registered = _KINDS.get(run.kind)
    if registered is None or registered.says is None or run.state != "succeeded":
        return []
    return registered.says(run)


def planned(first: Run) -> tuple[str, ...]:
    """The kinds of the steps that this first run leads to, itself included; empty where it stands alone."""
    registered = _KINDS.get(first.kind)
    return registered.plan(first) if registered is not None and registered.plan is not None else ()


def tell_ended(run: Run) -> None:
    """Let the kind know, in the caller's transaction, that ``run`` ended."""
    registered = _KINDS.get(run.kind)
    if registered is not None and registered.ended is not None:
        registered.ended(run)


def job_title(kind: str) -> str:
    """What people call this kind; the kind itself where it is no longer registered."""
    return _KINDS[kind].title if kind in _KINDS else kind


def all_kinds() -> tuple[JobKind, ...]:
    """Every registered kind, by name."""
    return tuple(_KINDS[kind] for kind in sorted(_KINDS))
