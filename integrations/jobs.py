"""Bodies of the background jobs of integrations."""

from __future__ import annotations

from typing import Any

from ledger.context import RunContext
from ledger.jobs import job
from ledger.models import Run
from ledger.queues import Queue


def _may_start(run: Run) -> bool:
    from integrations.services.delivery_life import may_start

    return may_start(run)


def _ended(run: Run) -> None:
    from integrations.services.delivery_life import run_ended

    run_ended(run)


def _waits(run: Run) -> str:
    from integrations.services.delivery_life import waits_for

    return waits_for(run)


@job("integrations.ingest", title="Load sales files", max_attempts=3, ready=_may_start, ended=_ended, waits=_waits)
def ingest(ctx: RunContext) -> dict[str, Any]:
    """Read a delivery, or the named files under the named contract, and load it as one batch."""
    from integrations.services.onboarding import perform  # reads files with pyarrow, which a web process never needs

    return perform(ctx=ctx)


@job("integrations.check", title="Check a sample", max_attempts=3, queue=Queue.SHORT)
def check(ctx: RunContext) -> dict[str, Any]:
    """Read an onboarding's sample as a load would, and keep what was found; nothing is loaded."""
    from integrations.services.drafts_check import perform_check

    return perform_check(ctx=ctx)


@job("integrations.webhook", title="Send a webhook", max_attempts=3, queue=Queue.SHORT)
def webhook(ctx: RunContext) -> dict[str, Any]:
    """Make one attempt to tell an endpoint; a failed one is queued again by the worker when its pause is over."""
    from integrations.services.webhook_sending import deliver

    return {"delivery": deliver(ctx=ctx, delivery_id=ctx.inputs["delivery"])}


@job("integrations.sftp_pull", title="Pull files by SFTP", max_attempts=3)
def sftp_pull(ctx: RunContext) -> dict[str, Any]:
    """Take what lies ready on a source's SFTP server, each file once."""
    from integrations.services.pull import perform_pull  # paramiko, which a web process needs only for host keys

    return perform_pull(ctx=ctx)


@job("integrations.watch", title="Look for incidents", max_attempts=1, queue=Queue.SHORT)
def watch(ctx: RunContext) -> dict[str, Any]:
    """Look for what should be an incident, and whether one that is open is over."""
    from integrations.services import watching

    return watching.watch(ctx=ctx)


@job("integrations.verify_ledger", title="Verify the audit trail", max_attempts=2)
def verify_ledger(ctx: RunContext) -> dict[str, Any]:
    """Recompute the tenant's audit chain."""
    from integrations.services import watching

    return watching.verify_ledger()


@job("integrations.sftp_pull_all", title="Pull from every SFTP server", max_attempts=2, queue=Queue.SHORT)
def sftp_pull_all(ctx: RunContext) -> dict[str, Any]:
    """Queue a pull of each source whose connection is switched on."""
    from integrations.services.connections import start_pulls

    return start_pulls(actor=None)
