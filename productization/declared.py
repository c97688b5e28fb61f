"""What is declared beside this file: the tracker's rows, the board's capabilities, the steps that make the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from productization.errors import DeclarationInvalid
from productization.proof.evidence import Kind

FOLDER = Path(__file__).parent
_Model = TypeVar("_Model", bound=BaseModel)


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(_Declared):
    """One piece of evidence.

    ref: a test's node id, a file or folder (relative to the project; `*` in its last part picks the newest), the name
    of a live or external check, or another item. sections: headings that a document must have. holds: what a JSON
    artifact must say, by dotted path. fresh_days: how old it may be.
    """

    kind: Kind
    ref: str = Field(min_length=1)
    fresh_days: int | None = Field(None, ge=1)
    sections: tuple[str, ...] = ()
    holds: Mapping[str, Any] = Field(default_factory=dict)


class Item(_Declared):
    """One row of the tracker."""

    id: str = Field(pattern=r"^[A-Z]{2,4}-\d{3}$")
    workstream: str
    task: str
    owner: str = "owner"
    evidence: tuple[Evidence, ...] = ()


class Capability(_Declared):
    """One line of the readiness board: built is what proves that it is there, pilot which rows prove it at work."""

    id: str = Field(pattern=r"^[a-z_]+$")
    title: str
    what: str
    built: tuple[Evidence, ...] = Field(min_length=1)
    pilot: tuple[str, ...] = ()
    limits: str = ""


class Step(_Declared):
    """One step that makes evidence: a command of manage.py (or the tests), what it writes, and whose code it proves."""

    name: str = Field(pattern=r"^[a-z_]+$")
    title: str
    command: tuple[str, ...] = Field(min_length=1)
    artifacts: tuple[str, ...] = ()
    proves: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = Field(default_factory=dict)
    again: bool = False


class Declarations(BaseModel):
    """Everything that is declared, whole."""

    model_config = ConfigDict(frozen=True)

    items: tuple[Item, ...]
    capabilities: tuple[Capability, ...]
    steps: tuple[Step, ...]

    def step_of(self, path: str) -> Step | None:
        """The step that makes this artifact; None where none is declared."""
        for step in self.steps:
            if any(path == made or (made.endswith("/") and path.startswith(made)) for made in step.artifacts):
                return step
        return None

    def item(self, code: str) -> Item | None:
        """The row of that id."""
        return next((one for one in self.items if one.id == code), None)


class _Tracker(_Declared):
    items: tuple[Item, ...]

    @field_validator("items")
    @classmethod
    def _once(cls, items: tuple[Item, ...]) -> tuple[Item, ...]:
        return _unique(items, "id")


class _Board(_Declared):
    capabilities: tuple[Capability, ...]

    @field_validator("capabilities")
    @classmethod
    def _once(cls, found: tuple[Capability, ...]) -> tuple[Capability, ...]:
        return _unique(found, "id")


class _Steps(_Declared):
    steps: tuple[Step, ...]

    @field_validator("steps")
    @classmethod
    def _once(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return _unique(steps, "name")


def _unique(found: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    values = [getattr(one, name) for one in found]
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice")
    return found


def load_declarations(folder: Path = FOLDER) -> Declarations:
    """Read the three files; raises ``DeclarationInvalid`` with the file and the place in it."""
    return Declarations(
        items=_read(folder / "tracker.yaml", _Tracker).items,
        capabilities=_read(folder / "board.yaml", _Board).capabilities,
        steps=_read(folder / "steps.yaml", _Steps).steps,
    )


@lru_cache(maxsize=1)
def declarations() -> Declarations:
    """The product's own declarations; they are code and do not change while a process lives."""
    return load_declarations()


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise DeclarationInvalid(path.name, "; ".join(lines)) from error
    except (OSError, yaml.YAMLError) as error:
        raise DeclarationInvalid(path.name, " ".join(str(error).split())) from error
