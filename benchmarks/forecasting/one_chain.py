"""One chain in a process of its own: ``python -m benchmarks.forecasting.one_chain SCHEMA FAMILIES HORIZON [memory]``.

Before the clock starts, everything is imported and connected, as in a worker that has run a chain before, also by the
server that the pool's processes are forked from (they start inside the clock); and a plain model (a seasonal average
as of four weeks ago, made once) has forecast one more origin, so that the chain's accuracy step has days to measure.
Then the clock runs over the whole chain as a person or the schedule starts it; its memory is sampled only where it is
asked for.
Printed: one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import psutil
from django.conf import settings
from django_tenants.utils import schema_context

from benchmarks.forecasting import panels
from benchmarks.memory import PeakShare
from benchmarks.place import timed  # first: it sets Django up
from forecasting import selectors
from forecasting.engine.types import BOTTOM_UP
from forecasting.models import ForecastSet, ModelVersion
from forecasting.services import chain
from forecasting.services.pool import training_pool
from forecasting.services.publishing import forecast_version

PLAIN = "seasonal_average"
TRIAL_WEEKS = 4


def main(schema: str, families: str, horizon: int, *, memory: bool) -> dict[str, Any]:
    """Run it; what it took and what it came to. families: comma-separated, or "all"."""
    chosen = None if families == "all" else families.split(",")
    with schema_context(schema):
        _something_to_measure(horizon)
        _imported()
        found: list[chain.ChainOutcome] = []
        with PeakShare() if memory else nullcontext() as peak:
            before = processor_seconds()
            seconds = timed(lambda: found.append(chain.run_chain_inline(families=chosen, horizon=horizon)))
            processor = processor_seconds() - before
        if peak is not None:
            processor -= peak.processor
        outcome = found[0]
        version = ModelVersion.objects.select_related("spec").get(number=outcome.version)
        return {
            "seconds": seconds,
            "processor": processor,
            "steps": outcome.seconds,
            "peak_mib": peak.peak_mib if peak is not None else None,
            "series": outcome.series,
            "spec": outcome.spec,
            "verdict": outcome.verdict,
            "scores": outcome.scores,
            "horizon": horizon,
            "segment_series": getattr(settings, "SEGMENT_SERIES", None),
            "searched": version.backtest["families"],
            "reconciliation": version.spec.body.get("reconciliation", BOTTOM_UP),
            "kept": list(version.spec.body["families"]),
            "origins": version.backtest["origins"],
            "evaluation_window": version.evaluation_window,
            "serving_window": version.serving_window,
        }


def _imported() -> None:
    """What a worker has after its first chain: the libraries, and the server that processes are forked from."""
    import hierarchicalforecast.methods  # noqa: F401
    import holidays
    import lightgbm  # noqa: F401

    holidays.country_holidays(panels.COUNTRY)  # each country is a module of its own
    with training_pool() as pool:
        if pool is not None:
            pool.submit(int).result()


def processor_seconds() -> float:
    """Of this process and of all that it started, ended or not. The pool's processes are children of the server that
    they are forked from, which reaps them."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    alive = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    ended = sum(one.user + one.system + one.children_user + one.children_system for one in alive)
    return ended + sum(one.ru_utime + one.ru_stime for one in used)


def _something_to_measure(horizon: int) -> None:
    """One more forecast whose days have come."""
    newest = selectors.newest_day()
    if newest is None:
        raise SystemExit("there is no demand")
    start = newest - timedelta(weeks=TRIAL_WEEKS)
    plain = ModelVersion.objects.filter(as_of=start).first()
    if plain is None:
        chain.run_chain_inline(families=[PLAIN], horizon=horizon, as_of=start)
        return
    made = ForecastSet.objects.filter(version=plain).count()
    forecast_version(ctx=None, version=plain, origin=start + timedelta(days=made))


if __name__ == "__main__":
    started = time.perf_counter()
    made = main(sys.argv[1], sys.argv[2], int(sys.argv[3]), memory="memory" in sys.argv[4:])
    print(json.dumps({**made, "whole": time.perf_counter() - started}, default=str))
