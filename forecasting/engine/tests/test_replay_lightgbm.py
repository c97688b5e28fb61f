"""A walk whose models are boosters: trees are drawn by chance, and still every byte comes again, also after a cut."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from forecasting.engine.replay.artifacts import FILES, LOG
from forecasting.engine.replay.config import Cadence
from forecasting.engine.replay.lanes import ALWAYS
from forecasting.engine.tests import replay_ground as ground
from forecasting.engine.tests.replay_ground import CONFIG, demand, files, finished, walk

BOOSTED = replace(
    CONFIG, families=("seasonal_naive", "lightgbm"), cadence=Cadence.WEEKLY, params={"lightgbm": {"rounds": 25}}
)
SERIES = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of one walk without a break."""
    made = finished(tmp_path_factory.mktemp("boosted"), demand(SERIES), BOOSTED)
    served = {line["serves"][ALWAYS] for line in made.lines}
    assert any("lightgbm" in label for label in served), "the boosters have to serve, or nothing is proved"
    assert made.summary["trainings"] == 2
    return files(made)


def test_walk__boosters__again__same_bytes_of_every_file(whole: dict[str, str], tmp_path: Path) -> None:
    again = files(finished(tmp_path, demand(SERIES), BOOSTED))
    assert sorted(again) == sorted(FILES)
    assert [name for name in again if again[name] != whole[name]] == []


def test_walk__boosters__other_seed__other_bytes(whole: dict[str, str], tmp_path: Path) -> None:
    """The bytes do depend on the trees, so that their being the same says something."""
    made = walk(tmp_path, demand(SERIES), replace(BOOSTED, seed=BOOSTED.seed + 1))
    while not made.store.lines():
        made.advance()
    first = json.loads(whole[LOG].splitlines()[0])
    assert first["ahead"] and made.store.lines()[0]["ahead"] != first["ahead"]


def test_walk__boosters__cut_after_random_phases__ends_in_the_same_bytes(whole: dict[str, str], tmp_path: Path) -> None:
    chance = random.Random(3)
    made = walk(tmp_path, demand(SERIES), BOOSTED)
    while not made.done:
        for _ in range(chance.randint(1, 9)):
            if not made.done:
                made.advance()
        made = walk(tmp_path, demand(SERIES), BOOSTED)  # what was in memory is gone
    assert files(ground.outcome(made)) == whole


def test_walk__boosters__killed_between_a_kept_model_and_its_checkpoint__same_bytes(
    whole: dict[str, str], tmp_path: Path
) -> None:
    child = os.fork()
    if child == 0:
        try:
            walk(tmp_path, demand(SERIES), BOOSTED).run()
        finally:
            os._exit(1)
    models = tmp_path / "models"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (models.is_dir() and any(models.iterdir())):
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    begun = sorted(path.name for path in models.iterdir())
    assert begun, "the kill came after a model was begun"
    made = walk(tmp_path, demand(SERIES), BOOSTED)
    made.run()
    assert files(ground.outcome(made)) == whole
