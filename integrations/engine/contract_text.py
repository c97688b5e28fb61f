"""Contract text to plain values: YAML or JSON, bounded in size and depth, without anchors, tags or repeated keys."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12


class ContractTextError(ValueError):
    """The text cannot be read. `message` says why, `fix` what to do."""

    def __init__(self, message: str, fix: str) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message} {fix}")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain words: only true and false are truth values, and a date stays the text it is."""


_Loader.yaml_implicit_resolvers = {
    sign: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")]
    for sign, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    values: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise ContractTextError("A key is not a plain word.", "Write each key as plain text.")
        if key in values:
            raise ContractTextError(f"The key {key} is written twice.", "Keep one of the two.")
        values[key] = loader.construct_object(value_node, deep=True)
    return values


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def parse_contract_text(text: str | bytes) -> dict[str, Any]:
    """The mapping written in the text.

    Raises `ContractTextError` for text that is too large, not UTF-8, nested too deep, with anchors or aliases (the
    means of a YAML bomb), with a repeated key, or that is no mapping.
    """
    size = len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ContractTextError(f"The contract is {size:,} bytes long.", f"Keep it under {MAX_BYTES:,} bytes.")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise ContractTextError("The contract is not UTF-8 text.", "Save it as UTF-8.") from problem
    text = text.removeprefix("\ufeff")
    values = _parse_json(text) if text.lstrip().startswith("{") else None
    if values is None:
        values = _parse_yaml(text)
    if not isinstance(values, dict):
        raise ContractTextError("The contract is not a list of keys and values.", "Begin with contract_version: v1.")
    return {str(key): value for key, value in values.items()}


def _parse_json(text: str) -> Any:
    """The JSON value, or None when it is no JSON: YAML's own braces are tried next."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ContractTextError(f"The key {twice[0]} is written twice.", "Keep one of the two.")
        return dict(items)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError as problem:
        raise ContractTextError("The contract is nested too deep.", f"Use at most {MAX_DEPTH} levels.") from problem
    except json.JSONDecodeError:
        return None
    except ValueError as problem:
        if isinstance(problem, ContractTextError):
            raise
        raise ContractTextError("A number in the contract is far too long.", "Check the figures.") from problem


def _parse_yaml(text: str) -> Any:
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ContractTextError("The contract uses & or * of YAML.", "Write each value out.")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise ContractTextError("The contract is nested too deep.", f"Use at most {MAX_DEPTH} levels.")
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader with fewer types
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ContractTextError(
            f"The contract is not valid YAML{place}: {problem.problem}.", "Mend that line."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        if isinstance(problem, ContractTextError):
            raise
        raise ContractTextError("The contract is not valid YAML.", "Check it with any YAML editor.") from problem
