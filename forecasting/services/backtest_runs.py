"""What runs that only look at a backtest have in common: the evaluation and the strategy cycle."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from forecasting.errors_evaluation import EvaluationStopped
from ledger import execution
from ledger.context import Listener, RunContext
from ledger.models import Run, RunState
from ledger.services.leftovers import IN_PROCESS, end_leftovers


def run_now(*, kind: str, inputs: dict[str, Any], actor: AbstractBaseUser | None, listener: Listener | None) -> Run:
    """Do a run in this process and return it when it succeeded. Raises RunAlreadyLive, what its job raises, and
    EvaluationStopped where it was cancelled."""
    end_leftovers(kind=kind)  # of a command that was killed
    run = execution.run_inline(kind=kind, inputs={**inputs, IN_PROCESS: True}, requested_by=actor, listener=listener)
    if run.state != RunState.SUCCEEDED:
        raise EvaluationStopped(run.get_state_display().lower())
    return run


def asked_of(ctx: RunContext) -> dict[str, Any]:
    """What a run was asked for, as the checks take it: as_of, horizon, origins, families."""
    names = ("horizon", "origins", "families")
    return {"as_of": date.fromisoformat(ctx.inputs["as_of"]), **{name: ctx.inputs[name] for name in names}}


def keep_files(ctx: RunContext, files: list[dict[str, Any]]) -> None:
    """Name the files of a run in it; inside the transaction that writes its outcome. Raises LeaseLost."""
    ctx.fence()
    Run.objects.filter(pk=ctx.run.pk).update(artifacts=files)
    ctx.run.artifacts = files
