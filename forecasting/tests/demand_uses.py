"""Finds in the source every place that reaches demand, or trains on what it was handed: the partition's map.

It reads the syntax tree, not the running program, so that a place is found before anything ever calls it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "forecasting", "integrations", "ledger", "tenants")
TEXT_FILES = (".sql", ".sh", ".html")

MODELS = frozenset({"Demand", "KnownFuture"})
DOORS = frozenset({
    "load_training", "load_panel", "load_rows", "load_series", "load_segment", "open_holdout", "demand_snapshot",
    "run_backtest", "forecast_frame",
})  # fmt: skip
TRAINERS = {
    "forecasting.engine.backtest": {"backtest"},
    "forecasting.engine.evaluate": {"rolling_table"},
    "forecasting.engine.families": {"get_family"},
    "forecasting.engine.fitting": {"fit", "fit_tasks"},
    "forecasting.engine.panel": {"build_panel", "Panel"},
    "forecasting.engine.train": {
        "backtest",
        "compared",
        "config_backtest",
        "evaluate",
        "evaluate_beside",
        "fit",
        "search",
    },
}
"""What makes a panel or learns from one. Whoever calls it says where the panel comes from."""
HOME = "forecasting.services.loading"
RELATIONS = frozenset({"demand", "known_future"})
MANAGER = frozenset({
    "aggregate", "all", "annotate", "count", "create", "earliest", "exclude", "exists", "filter", "first", "get",
    "iterator", "last", "latest", "order_by", "update", "values", "values_list",
})  # fmt: skip
LOOKUPS = frozenset({
    "Avg", "Count", "Exists", "F", "Max", "Min", "OuterRef", "Prefetch", "Q", "Subquery", "Sum", "annotate", "exclude",
    "filter", "only", "order_by", "prefetch_related", "select_related", "values", "values_list",
})  # fmt: skip
TABLES = re.compile(r"forecasting_(?:demand|knownfuture)\b|forecast_daily\b", re.IGNORECASE)
HIDDEN = {"get_model": "get_model", "get_models": "get_models", "db_table": "_meta.db_table"}
"""Ways to a table without its name. They are listed too, and say what they are for."""


@dataclass(frozen=True, order=True)
class Use:
    """One thing used in one function: `module` from the root, `where` the function ("" at the module's top)."""

    module: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.module}{'::' if self.where else ''}{self.where} uses {self.what}"


@cache
def uses_in_project() -> frozenset[Use]:
    """All uses in the packages of the product, without their tests."""
    found: set[Use] = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if "tests" not in path.relative_to(ROOT).parts:
                found |= uses_in_file(path, str(path.relative_to(ROOT)))
    for path in sorted((ROOT / "templates").rglob("*.html")):
        found |= uses_in_file(path, str(path.relative_to(ROOT)))
    return frozenset(found)


def uses_in_file(path: Path, module: str) -> set[Use]:
    """The uses in one file, named `module` in the result; nothing for files that hold no code."""
    if path.suffix == ".py":
        return uses_in_source(path.read_text(encoding="utf-8"), module)
    if path.suffix in TEXT_FILES:
        return {Use(module, "", match) for match in _tables(path.read_text(encoding="utf-8"))}
    return set()


def uses_in_source(source: str, module: str) -> set[Use]:
    """The uses in a Python source."""
    return _Scan(module, ast.parse(source)).found


def _tables(text: str) -> set[str]:
    return {match.lower() for match in TABLES.findall(text)}


class _Scan(ast.NodeVisitor):
    """One module. `names`: what each local name stands for, imports under another name included."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module, self.stack, self.found = module, [], set()  # type: str, list[str], set[Use]
        self.names: dict[str, str] = {}
        self.trains = not module.startswith("forecasting/engine/")
        self.notes = {id(text) for text in _docstrings(tree)}
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                imported |= self._imported(node)
        self.visit(tree)
        # What is imported and not called is handed on.
        for name in imported - {use.what for use in self.found}:
            self.found.add(Use(self.module, "", name))

    def _imported(self, node: ast.ImportFrom) -> set[str]:
        source, known = node.module or "", set()
        of_models = source.startswith("forecasting.models")
        for alias in node.names:
            watched = (
                (of_models and alias.name in MODELS)
                or alias.name in DOORS
                or (self.trains and alias.name in TRAINERS.get(source, ()))
                or (alias.name == "*" and (of_models or source == HOME or source in TRAINERS))
            )
            if watched:
                self.names[alias.asname or alias.name] = alias.name
                known |= {alias.name} - {"Panel"}  # as a type it is no panel
        return known

    def _add(self, what: str) -> None:
        self.found.add(Use(self.module, ".".join(self.stack), what))

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for part in node.decorator_list:
            self.visit(part)
        self.stack.append(node.name)
        for name, value in ast.iter_fields(node):
            if name != "decorator_list":
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, ast.AST):
                        self.visit(part)
        self.stack.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _enter

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if any(alias.name == "*" for alias in node.names) and "*" in self.names.values():
            self._add("*")

    def visit_Name(self, node: ast.Name) -> None:
        name = self.names.get(node.id, node.id if node.id in DOORS else "")
        if name and name != "Panel" and isinstance(node.ctx, ast.Load):
            self._add(name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in MODELS | DOORS:
            self._add(node.attr)
        if node.attr in HIDDEN:
            self._add(HIDDEN[node.attr])
        value = node.value
        if node.attr in MANAGER and isinstance(value, ast.Attribute) and value.attr in RELATIONS:
            self._add(f"Series.{value.attr}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if self.names.get(called) == "Panel":
            self._add("Panel")
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if called in LOOKUPS:
            paths = [*texts, *(k.arg for k in node.keywords if k.arg)]
            for path in paths:
                for part in path.lstrip("-").split("__"):
                    if part in RELATIONS:
                        self._add(f"Series.{part}")
        if called in {"getattr", "import_string", "import_module", "__import__"}:
            for text in texts:
                if text.rsplit(".", 1)[-1] in MODELS | DOORS or text.startswith((HOME, "forecasting.models")):
                    self._add(text.rsplit(".", 1)[-1])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and id(node) not in self.notes:
            for table in _tables(node.value):
                self._add(table)


def _docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    """Texts that stand alone: what a module, a class, a function or a constant says of itself."""
    for node in ast.walk(tree):
        for part in getattr(node, "body", ()) if isinstance(getattr(node, "body", None), list) else ():
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                yield part.value


__all__ = ["DOORS", "MODELS", "TRAINERS", "Use", "uses_in_file", "uses_in_project", "uses_in_source"]
