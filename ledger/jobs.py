"""Registry of job kinds: an app registers its jobs here, and the wrapper runs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.errors import UnknownJobKind

if TYPE_CHECKING:
    from ledger.context import RunContext

Body = Callable[["RunContext"], dict[str, Any]]


@dataclass(frozen=True)
class JobKind:
    """A kind of job: its name, what people call it, how often it is tried, and what it does."""

    kind: str
    title: str
    max_attempts: int
    body: Body


_KINDS: dict[str, JobKind] = {}


def job(kind: str, *, title: str, max_attempts: int = 3) -> Callable[[Body], Body]:
    """Register the function as the body of ``kind``. It takes a ``RunContext`` and returns the run's outputs."""

    def register(body: Body) -> Body:
        _KINDS[kind] = JobKind(kind=kind, title=title, max_attempts=max_attempts, body=body)
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


def job_title(kind: str) -> str:
    """What people call this kind; the kind itself where it is no longer registered."""
    return _KINDS[kind].title if kind in _KINDS else kind


def all_kinds() -> tuple[JobKind, ...]:
    """Every registered kind, by name."""
    return tuple(_KINDS[kind] for kind in sorted(_KINDS))
