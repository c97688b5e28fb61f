"""Reads of runs that are more than one filter."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import DatabaseError, transaction
from psycopg import sql

from ledger.jobs import job_title, planned
from ledger.models import LIVE_STATES, Run, RunState
from ledger.schema import connection

logger = logging.getLogger(__name__)
_MOST = 200
_SCHEMAS = 100


@dataclass(frozen=True)
class Step:
    """One row of a tree: a run, or the title of one that is still to come."""

    title: str
    depth: int
    run: Run | None = None
    current: bool = False


@dataclass(frozen=True)
class Tree:
    """Runs that belong together, parents before children, with the steps that are still to come.

    ``state`` is that of the whole: live while any is, else that of the step that came last; ``cancelled`` also where
    somebody ended it between two steps.
    """

    root: Run
    steps: tuple[Step, ...]
    state: str

    @property
    def runs(self) -> list[Run]:
        """The runs, without those to come."""
        return [step.run for step in self.steps if step.run is not None]

    @property
    def is_live(self) -> bool:
        """Whether any of its runs is."""
        return any(run.is_live for run in self.runs)

    @property
    def waited_seconds(self) -> float:
        """Seconds that its runs lay in the queue."""
        return sum(run.waited_seconds for run in self.runs)

    @property
    def worked_seconds(self) -> float:
        """Seconds that its runs worked."""
        return sum(run.worked_seconds or 0.0 for run in self.runs)

    @property
    def elapsed_seconds(self) -> float | None:
        """Seconds from the first run's queueing to the last end; ``None`` while it is live."""
        ends = [run.finished_at for run in self.runs if run.finished_at is not None]
        if self.is_live or not ends:
            return None
        return (max(ends) - self.root.first_queued_at).total_seconds()


def tree_of(run: Run) -> Tree:
    """The tree that ``run`` belongs to; of itself alone where it has neither parent nor children."""
    family = list(Run.objects.filter(correlation_id=run.correlation_id).order_by("queued_at", "pk")[:_MOST])
    family = [run if one.pk == run.pk else one for one in family] or [run]
    known = {one.pk for one in family}
    children: dict[object, list[Run]] = {}
    for one in family:
        children.setdefault(one.parent_id if one.parent_id in known else None, []).append(one)
    roots = children.get(None, [run])
    steps: list[Step] = []

    def walk(one: Run, depth: int) -> None:
        steps.append(Step(job_title(one.kind), depth, one, one.pk == run.pk))
        for child in children.get(one.pk, []):
            walk(child, depth + 1)

    for one in roots:
        walk(one, 0)
    state = _whole(roots[0], [step.run for step in steps if step.run is not None])
    if state in LIVE_STATES or state == RunState.FAILED:
        there = {one.kind for one in family}
        coming = [kind for kind in planned(roots[0]) if kind not in there]
        steps += [Step(job_title(kind), 1) for kind in coming]
    return Tree(roots[0], tuple(steps), state)


def _whole(root: Run, runs: list[Run]) -> str:
    for state in (RunState.RUNNING, RunState.QUEUED, RunState.LOST, RunState.FAILED, RunState.CANCELLED):
        if any(run.state == state for run in runs):
            return str(state)
    return str(RunState.CANCELLED if root.cancel_requested_at is not None else RunState.SUCCEEDED)


def schemas_with_live_runs(schema_names: Sequence[str]) -> list[str]:
    """Those of these schemas in which a run is queued or running, by a query for a hundred of them.

    Where such a query goes wrong, as one damaged schema among them makes it, all of its schemas are named: whoever
    looks into them one by one learns which it is.
    """
    found: list[str] = []
    for start in range(0, len(schema_names), _SCHEMAS):
        names = list(schema_names[start : start + _SCHEMAS])
        look = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT 1 FROM {} WHERE state = ANY({}))").format(
                sql.Literal(name), sql.Identifier(name, "ledger_run"), sql.Literal([str(s) for s in LIVE_STATES])
            )
            for name in names
        )
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(look)
                found += [row[0] for row in cursor.fetchall()]
        except DatabaseError:
            logger.warning("schemas from %s on are looked into one by one", names[0], exc_info=True)
            found += names
    return found
