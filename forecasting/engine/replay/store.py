"""Where fitted models and checkpoints of a walk are kept: a folder, written so that a kill leaves it whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forecasting.engine.families import Fitted
from forecasting.engine.fitted import FittedModel
from forecasting.engine.types import canonical_json

MODELS, STATE, LINES = "models", "state", "lines"
_PART = ".part"


class Store:
    """A folder of one walk. Everything in it appears whole under its name, or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, FittedModel] = {}
        self._shared: dict[str, dict[tuple[int, str], Fitted]] = {}
        for name in (MODELS, STATE, LINES):
            (folder / name).mkdir(parents=True, exist_ok=True)

    # --- models ---
    def keep_model(self, key: str, model: FittedModel) -> None:
        """Keep a model under its key, once; what serves is what was read back from its files."""
        place = self.folder / MODELS / key
        if not place.exists():
            part = _fresh(place)
            model.save(part)
            _publish(part, place)
        self._loaded.pop(key, None)

    def model(self, key: str) -> FittedModel:
        """The model of that key, verified. Raises ArtifactCorrupt.

        Keys that begin with the same training name specs over the same fits: in memory each of these is there once, so
        that who remembers its forecast makes it once.
        """
        if key not in self._loaded:
            model = FittedModel.load(self.folder / MODELS / key)
            fits = self._shared.setdefault(_training(key), {})
            segments = tuple(
                replace(one, parts={name: fits.setdefault((number, name), part) for name, part in one.parts.items()})
                for number, one in enumerate(model.segments)
            )
            self._loaded[key] = replace(model, segments=segments)
        return self._loaded[key]

    def drop_models(self, keep: Iterable[str]) -> None:
        """Forget the models that nothing serves any more."""
        wanted = set(keep)
        for place in (self.folder / MODELS).iterdir():
            if place.name not in wanted:
                shutil.rmtree(place, ignore_errors=True)
        self._loaded = {key: model for key, model in self._loaded.items() if key in wanted}
        trainings = {_training(key) for key in self._loaded}
        self._shared = {training: fits for training, fits in self._shared.items() if training in trainings}

    def clear(self) -> None:
        """Forget everything: what was kept is of another walk."""
        self._loaded, self._shared = {}, {}
        for name in (STATE, LINES, MODELS):  # checkpoints first: a kill in between must not leave one alone
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()

    # --- checkpoints ---
    def save(self, number: int, text: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Write checkpoint `number`; of those before it, one stays."""
        place = self.folder / STATE / f"{number:06d}"
        if not place.exists():
            part = _fresh(place)
            flat = np.concatenate([np.asarray(value, dtype="float64").ravel() for value in arrays.values()])
            np.save(part / "arrays.npy", flat)
            shapes = {name: [str(value.dtype), *value.shape] for name, value in arrays.items()}
            body = canonical_json({"state": text, "shapes": list(shapes.items()), "sha256": _sha256(flat)})
            (part / "state.json").write_text(body, encoding="utf-8")
            _publish(part, place)
        for old in sorted((self.folder / STATE).iterdir())[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """The newest checkpoint that is whole and has all days before it in the log; None where there is none."""
        days = len(self._files())
        for place in sorted((self.folder / STATE).iterdir(), reverse=True):
            found = None if place.name.endswith(_PART) else _read(place)
            if found is not None and found[0]["step"] + 1 <= days:
                return found
        return None

    # --- the daily log ---
    def keep_line(self, number: int, line: dict[str, Any]) -> None:
        """Keep a day's line; the same day gives the same bytes, so writing it twice does no harm."""
        place = self.folder / LINES / f"{number:06d}.json"
        part = place.with_name(f"{place.name}.{os.getpid()}{_PART}")
        part.write_text(canonical_json(line) + "\n", encoding="utf-8")
        part.replace(place)

    def lines(self) -> list[dict[str, Any]]:
        """The days so far, in order."""
        return [json.loads(one.read_text(encoding="utf-8")) for one in self._files()]

    def _files(self) -> list[Path]:
        return sorted(one for one in (self.folder / LINES).iterdir() if one.suffix == ".json")


def model_key(step: int, spec_sha256: str) -> str:
    """Names the serving fit of a spec in the training of a step."""
    return f"{step + 1:04d}-{spec_sha256[:16]}"


def _training(key: str) -> str:
    return key.partition("-")[0]


def _fresh(place: Path) -> Path:
    part = place.with_name(f"{place.name}.{os.getpid()}{_PART}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _publish(part: Path, place: Path) -> None:
    """Give a finished folder its name."""
    try:
        part.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(part, ignore_errors=True)  # another attempt was first, with the same bytes


def _sha256(flat: np.ndarray) -> str:
    return hashlib.sha256(flat.tobytes()).hexdigest()


def _read(place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """A checkpoint; None where a crash of the machine left it in pieces."""
    try:
        body = json.loads((place / "state.json").read_text(encoding="utf-8"))
        flat = np.load(place / "arrays.npy")
    except (OSError, ValueError, EOFError):
        return None
    if _sha256(flat) != body["sha256"]:
        return None
    arrays, start = {}, 0
    for name, (kind, *shape) in body["shapes"]:
        size = int(np.prod(shape))
        arrays[name] = flat[start : start + size].reshape(shape).astype(kind)
        start += size
    return body["state"], arrays
