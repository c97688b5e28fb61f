"""What the engine refuses, as errors of the domain: one place for every service that calls it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager

from forecasting.engine import errors as engine
from forecasting.engine.conformal import NoResiduals
from forecasting.errors import FamilyUnknown, HistoryShort, PartitionBroken, SeriesUnusable, TrainingRefused
from forecasting.errors_training import TrainingProcessLost


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn what the engine raises on purpose into errors of the domain."""
    try:
        yield
    except engine.HistoryTooShort as error:
        days = 7 if error.unit == "weeks" else 1
        raise HistoryShort(error.available * days, error.needed * days) from error
    except engine.NoUsableSeries as error:
        raise SeriesUnusable(error.reason) from error
    except engine.PartitionViolation as error:
        raise PartitionBroken(str(error)) from error
    except engine.UnknownFamily as error:
        raise FamilyUnknown([error.name], error.known) from error
    except (engine.EngineError, NoResiduals) as error:
        raise TrainingRefused(str(error)) from error
    except BrokenExecutor as error:
        raise TrainingProcessLost(str(error)) from error
