"""The rule that calls a regression, beside an oracle that reckons from single rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.engine.regression import GONE, SLIPPED, InService, Promise, RegressionRules, detect_regression

RULES = RegressionRules()


def seen(error: float, *, naive: float = 0.5, days: int = 7, rows: int = 70) -> InService:
    """Of 1,000 units, with these errors as shares."""
    return InService(absolute=1000 * error, naive=1000 * naive, actual=1000.0, days=days, rows=rows)


@pytest.mark.parametrize(
    ("what", "promise", "severity"),
    [
        (seen(0.40), Promise(0.40, 0.50), ""),
        (seen(0.50), Promise(0.40, 0.50), ""),  # exactly 1.25 times is not above
        (seen(0.51), Promise(0.40, 0.50), SLIPPED),
        (seen(0.80), Promise(0.40, 0.50), SLIPPED),
        (seen(0.81), Promise(0.40, 0.50), GONE),
        (seen(0.81, naive=1.00), Promise(0.40, 0.50), ""),  # a hard week: as bad for naive
        (seen(0.81, naive=0.80), Promise(0.40, 0.50), SLIPPED),  # 2.03 times promised, 1.27 beside naive
        (seen(0.51, days=2), Promise(0.40, 0.50), ""),  # slipped needs three days
        (seen(0.51, days=3), Promise(0.40, 0.50), SLIPPED),
        (seen(0.81, days=1), Promise(0.40, 0.50), GONE),  # gone is called on the first
        (seen(0.81, days=0), Promise(0.40, 0.50), ""),
        (seen(0.81, rows=29), Promise(0.40, 0.50), ""),
        (seen(0.81, rows=30), Promise(0.40, 0.50), GONE),
        (seen(0.81, naive=0.0), Promise(0.40, 0.50), GONE),  # naive was right: the other ratio decides
        (seen(0.81), Promise(0.40, None), GONE),
        (seen(0.81), Promise(None, 0.50), ""),
        (seen(0.81), Promise(0.0, 0.50), ""),
        (InService(5.0, 5.0, 0.0, 7, 70), Promise(0.40, 0.50), ""),  # nothing sold
    ],
)
def test_detect_regression__each_case(what: InService, promise: Promise, severity: str) -> None:
    told = detect_regression(what, promise, RULES)
    assert (told.severity, told.detected) == (severity, bool(severity))
    assert told.reason and "nan" not in told.reason


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100)), min_size=30, max_size=60),
    st.floats(0.05, 2.0),
    st.floats(0.05, 2.0),
)
def test_detect_regression__of_any_rows__is_what_pandas_says(rows, wape: float, naive: float) -> None:
    frame = pd.DataFrame(rows, columns=["y", "yhat", "naive"])
    error, beside = (frame[name].sub(frame["y"]).abs() for name in ("yhat", "naive"))
    told = detect_regression(
        InService(error.sum(), beside.sum(), frame["y"].sum(), 5, len(frame)), Promise(wape, naive), RULES
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = error.sum() / frame["y"].sum() / wape
        second = error.sum() / beside.sum() / (wape / naive) if beside.sum() > 0 else np.inf
    if frame["y"].sum() == 0:
        assert not told.detected
        return
    assert told.ratio == pytest.approx(ratio)
    for limit, severity in ((2.0, GONE), (1.25, SLIPPED)):
        if min(ratio, second) > limit * (1 + 1e-9):
            assert told.severity == severity
            return
        if min(ratio, second) > limit * (1 - 1e-9):
            return  # on the edge
    assert not told.detected


@given(st.floats(0.01, 3), st.floats(0.01, 3))
def test_detect_regression__larger_error__is_never_called_milder(one: float, other: float) -> None:
    order = ["", SLIPPED, GONE]
    low, high = sorted((one, other))
    mild, hard = (detect_regression(seen(error), Promise(0.4, 0.5), RULES).severity for error in (low, high))
    assert order.index(mild) <= order.index(hard)
