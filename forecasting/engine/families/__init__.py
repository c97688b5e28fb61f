"""The model families. A family is one file, and one line in `_MODULES`."""

from __future__ import annotations

from importlib import import_module

from forecasting.engine.errors import UnknownFamily
from forecasting.engine.families.base import Family, Fitted

_MODULES = {
    "seasonal_naive": "forecasting.engine.families.seasonal_naive",
    "seasonal_average": "forecasting.engine.families.seasonal_average",
    "lightgbm": "forecasting.engine.families.lightgbm",
    "lightgbm_direct": "forecasting.engine.families.lightgbm_direct",
    "prophet": "forecasting.engine.families.prophet",
    "intermittent": "forecasting.engine.families.intermittent",
}
FAMILY_NAMES: tuple[str, ...] = tuple(_MODULES)


def get_family(name: str) -> Family:
    """The family of that name; raises UnknownFamily. Its libraries are imported when it is first used."""
    if name not in _MODULES:
        raise UnknownFamily(name, FAMILY_NAMES)
    family: Family = import_module(_MODULES[name]).FAMILY
    return family


__all__ = ["FAMILY_NAMES", "Family", "Fitted", "get_family"]
