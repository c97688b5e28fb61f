"""The rolling-origin table of one tenant, as JSON: ``python -m benchmarks.forecasting.one_table SCHEMA``.

As `manage.py evaluate` makes it, with the intervals set beside Prophet's own on the rows that Prophet forecast.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from django_tenants.utils import schema_context

import benchmarks.place  # noqa: F401  # first: it sets Django up
from forecasting.engine.evaluate import table_of
from forecasting.engine.families import FAMILY_NAMES
from forecasting.engine.prophet_bands import winkler_against_prophet
from forecasting.engine.train import SearchConfig
from forecasting.services.backtesting import run_backtest
from forecasting.services.data_profile import active_profile
from forecasting.services.loading import load_panel
from forecasting.services.windows import plan_window


def main() -> dict[str, Any]:
    """Of the schema that the connection is on."""
    window, started = plan_window(mode="evaluation"), time.perf_counter()
    config = SearchConfig(families=FAMILY_NAMES, horizon=active_profile().default_horizon)
    found = run_backtest(window=window, config=config)
    table = table_of(found.base, found.backtest, found.classes)
    seconds = time.perf_counter() - started
    bands = winkler_against_prophet(load_panel(window), found.base, found.backtest, table)
    return {**table.to_json(), "seconds": seconds, "fingerprint": found.window.fingerprint, "bands": bands.to_json()}


if __name__ == "__main__":
    with schema_context(sys.argv[1]):
        made = main()
    print(json.dumps(made))
