"""Runs that belong together, as the page of any of them shows it: steps, times, and what came of each."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse

from ledger.jobs import Said, what_came
from ledger.models import RunState
from ledger.selectors import Step, Tree
from ledger.templatetags.forecourt import UNKNOWN, span


def tree_view(tree: Tree, *, may_operate: bool) -> dict[str, Any]:
    """What the page shows of a tree; empty where a run stands alone."""
    if len(tree.steps) < 2:
        return {}
    failed = next((run for run in tree.runs if run.state == RunState.FAILED), None)
    current = next((step.run for step in tree.steps if step.current), None)
    resumable = failed if failed is not None and not tree.is_live else None
    return {
        "state": tree.state,
        "root": tree.root,
        "rows": [_row(step, tree) for step in tree.steps],
        "waited": span(tree.waited_seconds),
        "worked": span(tree.worked_seconds),
        "elapsed": span(tree.elapsed_seconds),
        "ending": tree.is_live and tree.root.cancel_requested_at is not None,
        "can_cancel": may_operate and tree.is_live and tree.root.cancel_requested_at is None,
        "resume": resumable if may_operate and resumable != current else None,
    }


def _row(step: Step, tree: Tree) -> dict[str, Any]:
    run = step.run
    if run is None:
        waits = "Not reached: an earlier step failed" if tree.state == RunState.FAILED else "Still to come"
        return {"step": step, "run": None, "waited": UNKNOWN, "worked": UNKNOWN, "said": [{"text": waits, "url": ""}]}
    attempts = run.attempt if run.attempt > 1 else 0
    return {
        "step": step,
        "run": run,
        "waited": span(run.waited_seconds),
        "worked": span(run.worked_seconds),
        "attempts": attempts,
        "said": [{"text": one.text, "url": _address(one)} for one in what_came(run)],
    }


def _address(said: Said) -> str:
    """The page's address; empty where this site has no such page."""
    if not said.page:
        return ""
    try:
        return reverse(f"admin:{said.page}", args=said.args)
    except NoReverseMatch:
        return ""
