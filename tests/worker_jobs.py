"""Jobs that only the tests of the worker have, and a worker that knows them: ``python -m tests.worker_jobs``.

A job writes what it does into a file, a line each, so that a test sees what was done once and what twice. It goes
on when a file with the same name and ``.go`` lies beside it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any


def register() -> None:
    """Make the kinds known; the test's own process calls it as well, to queue them."""
    from django.db import transaction

    from ledger.context import RunContext
    from ledger.jobs import job
    from ledger.queues import Queue

    def body(ctx: RunContext) -> dict[str, Any]:
        log = Path(ctx.inputs["log"])
        _write(log, "begun")
        while not log.with_suffix(".go").exists() and not ctx.inputs.get("quick"):
            if not ctx.inputs.get("deaf"):
                ctx.progress(0, 2, "waiting")
            time.sleep(0.05)
        with transaction.atomic():
            ctx.fence()
            _write(log, "done")
        return {"pid": os.getpid()}

    job("tests.short", title="Short", queue=Queue.SHORT)(body)
    job("tests.long", title="Long", queue=Queue.LONG)(body)


def _write(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(f"{line}\n")


def main() -> None:
    """A command of manage.py that knows these jobs; ``queue SCHEMA KIND LOG…`` queues some."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    register()
    if sys.argv[1] == "queue":
        from django_tenants.utils import schema_context

        from ledger.services import runs

        schema_name, kind, *logs = sys.argv[2:]
        with schema_context(schema_name):
            for log in logs:
                runs.enqueue(kind=kind, scope=log, inputs={"log": log})
        return
    from django.core.management import call_command

    call_command(*sys.argv[1:])


if __name__ == "__main__":
    main()
