"""A path on which demand is seen has a name, a window and a proof; a new one without them fails here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from forecasting.services import loading
from forecasting.tests.demand_uses import DOORS, ROOT, Use, uses_in_file, uses_in_project, uses_in_source
from forecasting.tests.partition_paths import PATHS, USES

NOT_DOORS = {"plan_window", "require_history", "tenant_shape", "window_fingerprint"}
"""Public functions of the loader that hand out no rows: days, ids and names of columns, a fingerprint."""


def differences(found: set[str]) -> str:
    """What the table and the source do not agree on, and what to do about it; "" where they agree."""
    new, stale = sorted(found - set(USES)), sorted(set(USES) - found)
    lines = [f"{use}: reaches demand or trains, and stands in no path." for use in new]
    lines += [f"{use}: is in the table and not in the source." for use in stale]
    if lines:
        lines.append("See docs/partition.md: name the path in partition_paths.py, load through a window, add a probe.")
    return "\n".join(lines)


def test_paths__every_place_that_reaches_demand__is_in_the_table_and_no_other() -> None:
    assert differences({str(use) for use in uses_in_project()}) == ""


def test_paths__table__names_known_paths_and_every_path_has_places() -> None:
    names = [path.name for path in PATHS]
    assert len(set(names)) == len(names)
    assert set(USES.values()) | {"refresh", "decided"} == set(names)  # both go where a search goes


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_paths__entry__is_there_and_says_what_bounds_it(path) -> None:
    assert path.window and path.sees
    if path.entry.startswith("services."):
        module, _, name = path.entry.rpartition(".")
        home = "forecasting.services" if module == "services" else f"forecasting.{module}"
        assert hasattr(import_module(home), name) or import_module(f"forecasting.{path.entry}")


def test_doors__every_public_function_of_the_loader__is_watched_or_hands_out_no_rows() -> None:
    own = {
        name
        for name, one in vars(loading).items()
        if callable(one) and getattr(one, "__module__", "") == loading.__name__ and not name.startswith("_")
    }
    assert own - DOORS - NOT_DOORS == {"LoadedPanel", "LoadedRows", "TenantShape"}


PLANTED = {
    "the model": ("from forecasting.models import Demand\ndef f():\n    return Demand.objects.all()", "Demand"),
    "the model, renamed": ("from forecasting.models import Demand as D\ndef f():\n    return D.objects", "Demand"),
    "the model, by attribute": ("from forecasting import models\ndef f():\n    return models.Demand.objects", "Demand"),
    "the model, handed on": ("from forecasting.models.demand import KnownFuture", "KnownFuture"),
    "the model, by name": (
        "from importlib import import_module\ndef f():\n    import_module('forecasting.models.demand')", "demand",
    ),
    "the app's registry": ("def f(apps):\n    return apps.get_model('forecasting', 'Demand')", "get_model"),
    "a star": ("from forecasting.models import *", "*"),
    "SQL": ("def f(c):\n    c.execute('SELECT 1 FROM forecasting_demand')", "forecasting_demand"),
    "SQL with another tenant's schema": (
        "def f(c, s):\n    c.execute(f'SELECT 1 FROM {s}.forecasting_knownfuture k')", "forecasting_knownfuture",
    ),
    "SQL in a name": ("def f():\n    return sql.Identifier('FORECASTING_DEMAND')", "forecasting_demand"),
    "the view of forecasts": ("Q = 'SELECT yhat FROM forecast_daily'", "forecast_daily"),
    "a relation": ("def f(series):\n    return series.demand.filter(date=1)", "Series.demand"),
    "a lookup": ("def f(rows):\n    return rows.annotate(last=Max('demand__date'))", "Series.demand"),
    "a prefetch": ("def f(rows):\n    return rows.prefetch_related('known_future')", "Series.known_future"),
    "the door": (
        "from forecasting.services.loading import load_panel\ndef f(w):\n    return load_panel(w)", "load_panel",
    ),
    "the door, renamed": (
        "from forecasting.services.loading import load_training as t\ndef f(w):\n    return t(w)", "load_training",
    ),
    "the door, by its module": (
        "from forecasting.services import loading\nclass C:\n    def f(self, w):\n        loading.load_series(w)",
        "load_series",
    ),
    "the door, by its name": ("def f(m):\n    return getattr(m, 'open_holdout')", "open_holdout"),
    "a backtest of its own": (
        "from forecasting.engine.backtest import backtest\ndef f(p):\n    return backtest(p)", "backtest",
    ),
    "a fit": ("from forecasting.engine.fitting import fit\ndef f(p):\n    return fit(p)", "fit"),
    "a panel of its own": ("from forecasting.engine.panel import Panel\ndef f(h):\n    return Panel(h, h)", "Panel"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "what"), PLANTED.values(), ids=PLANTED)
def test_scan__a_new_module_that_reaches_demand__is_found_and_fails(tmp_path: Path, source: str, what: str) -> None:
    file = tmp_path / "planted.py"
    file.write_text(source, encoding="utf-8")
    found = uses_in_file(file, "forecasting/services/planted.py")
    assert what in {use.what for use in found}
    everything = {str(use) for use in uses_in_project() | found}
    assert "planted.py" in differences(everything) and "stands in no path" in differences(everything)


def test_scan__place_of_a_use__is_the_function_it_stands_in() -> None:
    source = "from forecasting.services import loading\nclass C:\n    def f(self, w):\n        loading.load_panel(w)"
    assert uses_in_source(source, "m.py") == {Use("m.py", "C.f", "load_panel")}


def test_scan__sql_outside_of_python__is_found(tmp_path: Path) -> None:
    file = tmp_path / "report.sql"
    file.write_text("SELECT * FROM forecasting_demand;", encoding="utf-8")
    assert {use.what for use in uses_in_file(file, "config/report.sql")} == {"forecasting_demand"}


@pytest.mark.parametrize(
    "source",
    [
        '"""Reads nothing of forecasting_demand."""',
        "def f(panel):\n    return panel.regressors.known_future",
        "from forecasting.engine.panel import Panel\ndef f(panel: Panel) -> Panel:\n    return panel",
        "class Demand:\n    pass\n",
    ],
)
def test_scan__words_that_only_look_like_it__are_not_listed(source: str) -> None:
    assert uses_in_source(source, "forecasting/services/planted.py") == set()


def test_table__entry_whose_place_is_gone__fails() -> None:
    found = {str(use) for use in uses_in_project()}
    gone = sorted(found)[0]
    assert f"{gone}: is in the table and not in the source." in differences(found - {gone})


def test_docs__table_of_paths__is_that_of_the_tests() -> None:
    text = (ROOT / "docs" / "partition.md").read_text(encoding="utf-8")
    rows = [
        f"| {one.name} | `{one.entry}` | {one.window} | {one.sees} | {'yes' if one.probed else '–'} |" for one in PATHS
    ]
    missing = [row for row in rows if row not in text]
    assert not missing, "put these rows into docs/partition.md:\n" + "\n".join(missing)
    assert text.count("| `services.") + text.count("| `pages,") + text.count("| `models and") == len(rows)
