"""Windows, regressor sets and specs: validation, identity, JSON."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from forecasting.engine.errors import PartitionViolation
from forecasting.engine.types import ModelSpec, RegressorSet, TrainingWindow, canonical_json

FIRST, AS_OF = date(2022, 1, 1), date(2022, 12, 31)


def test_window_plan__28_days_sealed__train_ends_the_day_before():
    window = TrainingWindow.plan(FIRST, AS_OF)
    assert window.train_end == AS_OF - timedelta(days=28)
    assert window.holdout_start == window.train_end + timedelta(days=1)
    assert (window.holdout_end, window.holdout_days, window.sealed) == (AS_OF, 28, True)


def test_window_plan__gap__lies_between_training_and_holdout():
    window = TrainingWindow.plan(FIRST, AS_OF, 28, gap=3)
    assert window.holdout_start == window.train_end + timedelta(days=4)


def test_window_refit__everything_known__nothing_sealed():
    window = TrainingWindow.refit(FIRST, AS_OF)
    assert (window.train_end, window.sealed, window.holdout_days) == (AS_OF, False, 0)


def test_window_check__row_past_train_end__violation_with_the_facts():
    window = TrainingWindow.plan(FIRST, AS_OF)
    late = pd.DataFrame({"ds": pd.to_datetime([window.train_end, AS_OF, AS_OF - timedelta(days=5)])})
    with pytest.raises(PartitionViolation) as caught:
        window.check(late)
    assert (caught.value.rows, caught.value.first_bad_day) == (2, AS_OF - timedelta(days=5))
    assert str(window.train_end) in str(caught.value)
    window.check(late.iloc[:1])


@pytest.mark.parametrize(
    "values",
    [
        (AS_OF, FIRST, 0, None, None, AS_OF),
        (FIRST, AS_OF, -1, None, None, AS_OF),
        (FIRST, date(2022, 6, 1), 0, date(2022, 6, 1), AS_OF, AS_OF),
        (FIRST, date(2022, 6, 1), 2, date(2022, 6, 3), AS_OF, AS_OF),
        (FIRST, date(2022, 6, 1), 0, date(2022, 6, 2), None, AS_OF),
        (FIRST, date(2022, 6, 1), 0, date(2022, 6, 2), date(2023, 1, 1), AS_OF),
        (FIRST, date(2023, 1, 1), 0, None, None, AS_OF),
    ],
)
def test_window__inconsistent_dates__refused(values: tuple):
    with pytest.raises(ValueError, match=r"train|holdout|gap"):
        TrainingWindow(*values)


def test_json__round_trips__equal():
    window = TrainingWindow.plan(FIRST, AS_OF).with_fingerprint("abc")
    assert TrainingWindow.from_json(window.to_json()) == window
    regressors = RegressorSet(("promo",), ("stock",), ("category",))
    assert RegressorSet.from_json(regressors.to_json()) == regressors
    spec = ModelSpec(
        ("lightgbm", "prophet"), {"*": {"lightgbm": 0.7, "prophet": 0.3}}, params={"lightgbm": {"rounds": 9}}
    )
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert ModelSpec.from_json(spec.to_json()).sha256 == spec.sha256


def test_spec_sha256__any_change__another_identity():
    base = ModelSpec(("lightgbm",))
    assert base.sha256 != ModelSpec(("lightgbm",), horizon=15).sha256
    assert base.sha256 == ModelSpec(("lightgbm",), {"*": {"lightgbm": 1.0}}).sha256


def test_spec_label__single_and_ensemble__named_for_people():
    assert ModelSpec(("lightgbm", "seasonal_naive")).label == "single_lightgbm"
    both = ModelSpec(("lightgbm", "prophet"), {"*": {"prophet": 0.3, "lightgbm": 0.7}})
    assert (both.mode, both.label) == ("ensemble", "ensemble(lightgbm 0.7, prophet 0.3)")


@pytest.mark.parametrize(
    "kwargs",
    [
        {"families": ()},
        {"families": ("a",), "horizon": 0},
        {"families": ("a",), "grain": "M"},
        {"families": ("a",), "weights": {"*": {"b": 1.0}}},
        {"families": ("a", "b"), "weights": {"*": {"a": 0.5, "b": 0.4}}},
        {"families": ("a",), "weights": {"smooth": {"a": 1.0}}},
    ],
)
def test_spec__inconsistent__refused(kwargs: dict):
    with pytest.raises(ValueError, match=r"spec|horizon|grain|weights"):
        ModelSpec(**kwargs)


def test_regressors__declared_twice_or_reserved__refused():
    with pytest.raises(ValueError, match="twice"):
        RegressorSet(("a",), ("a",))
    with pytest.raises(ValueError, match="reserved"):
        RegressorSet(("y",))


def test_canonical_json__nan__refused():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
