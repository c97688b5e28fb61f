"""A fitted model: what a ModelVersion holds, forecasts from, stores and loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.combine import combine
from forecasting.engine.conformal import Calibration
from forecasting.engine.errors import NoUsableSeries
from forecasting.engine.families import Fitted, get_family
from forecasting.engine.families.base import horizon_frame
from forecasting.engine.fitted_files import (
    MANIFEST,
    SegmentFit,
    file_sha256,
    load_segments,
    read_manifest,
    save_segment,
    segment_prefix,
)
from forecasting.engine.guard import bounded, flagged, made_by_cut, plausible, within
from forecasting.engine.hierarchy_model import FILE as HIERARCHY
from forecasting.engine.hierarchy_model import Hierarchy
from forecasting.engine.panel import STEP_DAYS, Panel, classify
from forecasting.engine.panel_grid import first_rows
from forecasting.engine.segments import Segment, with_new_series
from forecasting.engine.types import MINT, ModelSpec, TrainingWindow

CALIBRATION = "calibration.json"
MANIFEST_VERSION = 1
LIBRARIES = (
    "lightgbm",
    "prophet",
    "statsforecast",
    "hierarchicalforecast",
    "numpy",
    "pandas",
    "coreforecast",
)
COLD_START_STEPS = {"D": 28, "W": 8}
FORECAST_COLUMNS = ("unique_id", "ds", "h", "yhat", "lo80", "hi80", "lo95", "hi95", "family", "flags")


@cache
def library_versions() -> Mapping[str, str]:
    """Versions of the libraries that fits come from; they do not change while a process lives."""
    return {name: metadata.version(name) for name in LIBRARIES}


@dataclass(frozen=True)
class FittedModel:
    """One fit of a spec, with the calibration of its intervals.

    segments: in the order of their numbers. classes: unique_id -> demand class at fit time. ceilings: unique_id ->
    largest day seen in training.
    """

    spec: ModelSpec
    segments: tuple[SegmentFit, ...]
    calibration: Calibration
    classes: Mapping[int, str]
    ceilings: Mapping[int, float]
    window: TrainingWindow | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    hierarchy: Hierarchy | None = None

    @property
    def reconciles(self) -> bool:
        """Whether the levels above the series change their forecasts; that of one series then needs all of them."""
        hierarchy = self.hierarchy
        return self.spec.reconciliation == MINT and hierarchy is not None and hierarchy.own is not None

    @property
    def parts(self) -> Mapping[str, Fitted]:
        """The fitted families of a model of one segment. Raises ValueError where there are several: see `narrow`."""
        if len(self.segments) != 1:
            raise ValueError(f"the model has {len(self.segments)} segments; ask one of them")
        return self.segments[0].parts

    def with_parts(self, parts: Mapping[str, Fitted]) -> FittedModel:
        """A model of one segment with other fitted families."""
        return replace(self, segments=(replace(self.segments[0], parts=parts),))

    def cut(self, ids: Sequence[int]) -> tuple[Segment, ...]:
        """These series in the segments of the fit; one that came since goes where its id says."""
        known = [Segment(number, one.ids) for number, one in enumerate(self.segments)]
        return with_new_series(known, ids)

    def narrow(self, segment: Segment) -> FittedModel:
        """The model of one segment's series alone: what their forecasts need, and no other segment's families."""
        if len(self.segments) == 1:
            return self
        classes = {i: self.classes[i] for i in segment.ids if i in self.classes}
        ceilings = {i: self.ceilings[i] for i in segment.ids if i in self.ceilings}
        one = self.segments[segment.number]
        return replace(self, segments=(one,), classes=classes, ceilings=ceilings, files={}, hierarchy=None)

    @property
    def declined(self) -> pd.DataFrame:
        """unique_id, family, reason of every series a family declined."""
        tables = [one.parts[name].declined.assign(family=name) for name in self.spec.families for one in self.segments]
        return pd.concat(tables, ignore_index=True)[["unique_id", "family", "reason"]]

    def forecast(self, panel: Panel, horizon: int) -> pd.DataFrame:
        """Forecast `horizon` steps after the panel's last day without refitting; one row per series and step.

        Columns: unique_id, ds, h (1..horizon), yhat, lo80, hi80, lo95, hi95 (finite, >= 0, ordered), family (that made
        it), flags (comma-separated: cold_start, fallback, declined:<family>, fit_age:<steps>, and those of the guard:
        capped, above_history, below_history, bounds_capped).
        Raises MissingRegressor, NoUsableSeries.
        """
        if not len(panel.history):
            raise NoUsableSeries("the panel is empty")
        if len(self.segments) == 1:
            return self._forecast(panel, horizon)
        made = [self.narrow(one)._forecast(panel.subset(one.ids), horizon) for one in self.cut(panel.ids.tolist())]
        return sorted_forecast(made)

    def _forecast(self, panel: Panel, horizon: int) -> pd.DataFrame:
        frame = horizon_frame(panel, horizon)
        frame.insert(2, "h", np.tile(np.arange(1, horizon + 1), len(panel.ids)))
        known = plausible(panel, horizon)
        limit = known.limit.reindex(frame["unique_id"]).to_numpy()
        over: dict[str, np.ndarray] = {}
        for name, part in self.parts.items():
            ahead = part.predict(panel, horizon).rename(columns={"yhat": name})
            frame = frame.merge(ahead, on=["unique_id", "ds"], how="left", sort=False)
            values = frame[name].to_numpy(dtype="float64")
            # Before they are mixed, so that one that ran away leads nobody; the backtest does the same.
            over[name], frame[name] = values > limit, bounded(values, limit)
        classes = pd.Series(dict(self.classes), dtype=object)
        new = sorted(set(panel.ids.tolist()) - set(self.classes))
        if new:
            classes = pd.concat([classes, classify(panel.subset(new))])
        made = combine(frame, self.spec.weights, classes)
        frame = frame[["unique_id", "ds", "h"]].join(made)
        capped, frame["yhat"] = made_by_cut(frame["family"], over), np.nan_to_num(frame["yhat"].to_numpy(), nan=0.0)
        if self.hierarchy is not None and self.reconciles:
            agreed = np.asarray(self.hierarchy.agree(frame, panel), dtype="float64")
            capped, frame["yhat"] = capped | (agreed > limit), np.nan_to_num(bounded(agreed, limit), nan=0.0)
        frame = flagged(self._flagged(frame, panel), capped, known)
        frame = within(self.calibration.apply(frame), limit)
        return frame[list(FORECAST_COLUMNS)].reset_index(drop=True)

    def _flagged(self, frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
        ids, known = panel.ids, panel.history["y"].notna().to_numpy()
        steps = np.add.reduceat(known.astype("int64"), first_rows(panel.history["unique_id"].to_numpy()))
        young = set(ids[steps < COLD_START_STEPS[panel.grain]].tolist()) | (set(ids.tolist()) - set(self.classes))
        if young:
            mask = frame["unique_id"].isin(young)
            frame.loc[mask, "flags"] = frame.loc[mask, "flags"].map(lambda text: _join("cold_start", text))
        for name, part in self.parts.items():
            age = (panel.last_day - part.trained_until).days // STEP_DAYS[panel.grain]
            if age > 0 and not get_family(name).can_roll:
                made = np.array([name in makers.split("+") for makers in frame["family"]])
                frame.loc[made, "flags"] = [_join(text, f"fit_age:{age}") for text in frame.loc[made, "flags"]]
        return frame

    def manifest(self) -> dict[str, Any]:
        """What is stored beside the files: spec, partition, features, calibration, versions, hashes."""
        return {
            "manifest_version": MANIFEST_VERSION,
            "spec": self.spec.to_json(),
            "spec_sha256": self.spec.sha256,
            "partition": self.window.to_json() if self.window is not None else None,
            "data_fingerprint": self.window.fingerprint if self.window is not None else None,
            **self._described(),
            "classes": {str(k): v for k, v in self.classes.items()},
            "ceilings": {str(k): v for k, v in self.ceilings.items()},
            "calibration": {"file": CALIBRATION, "residuals": self.calibration.residuals},
            "libraries": dict(library_versions()),
            "files": dict(self.files),
        }

    def _described(self) -> dict[str, Any]:
        told = [{name: part.describe() for name, part in one.parts.items()} for one in self.segments]
        if len(told) == 1:
            return {"families": told[0]}
        segments = [{"ids": list(one.ids), "families": row} for one, row in zip(self.segments, told, strict=True)]
        until = {name: max(str(one.parts[name].trained_until) for one in self.segments) for name in self.spec.families}
        families = {n: {"family": n, "segments": len(told), "trained_until": day} for n, day in until.items()}
        return {"families": families, "segments": segments}

    def save(self, directory: Path) -> list[str]:
        """Write the artifact's files into `directory` (made if missing); return their names, the manifest last. Of
        several segments, each has files of its own."""
        directory.mkdir(parents=True, exist_ok=True)
        names = []
        for number, one in enumerate(self.segments):
            names += save_segment(one, directory, "" if len(self.segments) == 1 else segment_prefix(number))
        text = json.dumps(self.calibration.to_json(), sort_keys=True, allow_nan=False)
        (directory / CALIBRATION).write_text(text, encoding="utf-8")
        names.append(CALIBRATION)
        if self.hierarchy is not None:
            names += self.hierarchy.save(directory)
        body = {**self.manifest(), "files": {name: file_sha256(directory / name) for name in names}}
        text = json.dumps(body, sort_keys=True, indent=1, allow_nan=False)
        (directory / MANIFEST).write_text(text, encoding="utf-8")
        return [*names, MANIFEST]

    @classmethod
    def load(cls, directory: Path, *, manifest_sha256: str | None = None) -> FittedModel:
        """Verify every hash, then load. No stored code runs. Raises ArtifactCorrupt before anything is parsed by a
        library; with `manifest_sha256` (kept in the registry) the manifest itself is verified too."""
        body = read_manifest(directory, manifest_sha256=manifest_sha256)
        spec = ModelSpec.from_json(body["spec"])
        calibration = json.loads((directory / CALIBRATION).read_text(encoding="utf-8"))
        return cls(
            spec=spec,
            segments=load_segments(spec, body, directory),
            calibration=Calibration.from_json(calibration),
            classes={int(k): v for k, v in body["classes"].items()},
            ceilings={int(k): v for k, v in body["ceilings"].items()},
            window=TrainingWindow.from_json(body["partition"]) if body["partition"] else None,
            files=body["files"],
            hierarchy=Hierarchy.load(directory) if HIERARCHY in body["files"] else None,
        )


def _join(*texts: str) -> str:
    return ",".join(text for text in texts if text)


def sorted_forecast(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The forecasts of all segments, by series and step."""
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return frame.sort_values(["unique_id", "h"], kind="stable", ignore_index=True)
