"""What one would do instead, a loop of Prophets: ``python -m benchmarks.forecasting.prophet_loop SCHEMA FACTS N``.

For each of N series, drawn with a fixed seed, Prophet as it comes out of the box (no regressors, no holidays, which
would only make it slower) is fitted at each backtest origin, up to the holdout and on everything, and forecasts the
horizon from each: the fits and forecasts that the chain makes for a series. Series go to as many processes as the chain
may use; the processes are started, and Prophet is imported, before the clock starts. Once with Prophet's own intervals
(it draws 1,000 samples by default, and the chain's forecasts have intervals, too), once without any.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.types import TrainingWindow

SEED = 2017


def _import() -> None:
    import prophet  # noqa: F401

    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(name).disabled = True


def ready(_: int) -> bool:
    """Slow enough that each process answers."""
    time.sleep(0.5)
    return True


def loop(rows: pd.DataFrame, *, ends: list[date], horizon: int, samples: int) -> float:
    """One series: fit and forecast at each end; the processor's seconds, with those of Stan's own processes."""
    from prophet import Prophet

    _import()
    started = used()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for end in ends:
            model = Prophet(uncertainty_samples=samples, interval_width=0.8)
            model.fit(rows.loc[rows["ds"] <= pd.Timestamp(end)])
            ahead = model.make_future_dataframe(periods=horizon, include_history=False)
            model.predict(ahead)
    return used() - started


def used() -> float:
    """Processor seconds of this process and of those that it started and that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def main(schema: str, facts: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Draw the series and time the loop."""
    from django.conf import settings
    from django_tenants.utils import schema_context

    import benchmarks.place  # noqa: F401  # it sets Django up, which the pool's processes do without
    from forecasting.services.loading import load_panel

    window = TrainingWindow.from_json(facts["serving_window"])
    with schema_context(schema):
        panel = load_panel(window)
    ends = [date.fromisoformat(day) for day in facts["origins"]]
    ends += [TrainingWindow.from_json(facts["evaluation_window"]).train_end, window.train_end]
    old = panel.history.groupby("unique_id")["ds"].min()
    able = old.index[old <= pd.Timestamp(ends[0]) - pd.Timedelta(days=60)]  # with something to fit at the first origin
    drawn = np.sort(np.random.default_rng(SEED).choice(able, min(count, len(able)), replace=False))
    series = [panel.history.loc[panel.history["unique_id"] == one, ["ds", "y"]] for one in drawn]
    processes = settings.TRAIN_PROCESSES
    seconds: dict[int, float] = {}
    processor: dict[int, float] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_import) as pool:
        list(pool.map(ready, range(processes)))
        for samples in (1000, 0):
            started = time.perf_counter()
            each = list(pool.map(partial(loop, ends=ends, horizon=int(facts["horizon"]), samples=samples), series))
            processor[samples] = sum(each)
            seconds[samples] = time.perf_counter() - started
    return {
        "series": len(series),
        "fits": len(ends),
        "per_series": seconds[1000] / len(series),
        "per_series_without_intervals": seconds[0] / len(series),
        "processor_per_series": processor[1000] / len(series),
        "processor_per_series_without_intervals": processor[0] / len(series),
        "processes": processes,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))))
