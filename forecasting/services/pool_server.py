"""What the server of a pool imports once (`services.pool`): its processes are forked from it and have it all.

It stays small in memory and in what it does: it opens no file and no connection, and starts no thread.
"""

from __future__ import annotations

import gc
import os

from forecasting.services.pool_threads import THREADS

os.environ.update(dict.fromkeys(THREADS, "1"))  # before anything heavy is imported

from forecasting.services.database_source import prepare_django  # after the environment

prepare_django()

# The libraries that nearly every chain needs; the others where they are used.
import hierarchicalforecast.methods  # noqa: E402, F401
import holidays.countries  # noqa: E402, F401
import lightgbm  # noqa: E402, F401

import forecasting.engine.backtest  # noqa: E402
import forecasting.engine.fitting  # noqa: E402
import forecasting.engine.holdout  # noqa: E402
import forecasting.engine.outlook  # noqa: E402
import forecasting.services.loading  # noqa: E402, F401

gc.freeze()  # what is here stays shared: a collection in a fork would touch, and so copy, every page
