"""The rolling-origin table of one tenant, as JSON: ``python -m benchmarks.forecasting.one_table SCHEMA``."""

from __future__ import annotations

import json
import sys
import time

from django_tenants.utils import schema_context

import benchmarks.place  # noqa: F401  # first: it sets Django up
from forecasting.services.evaluating import evaluate_inline

if __name__ == "__main__":
    started = time.perf_counter()
    with schema_context(sys.argv[1]):
        outcome = evaluate_inline()
    print(json.dumps({**outcome.report, "seconds": time.perf_counter() - started}))
