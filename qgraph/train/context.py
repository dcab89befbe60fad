"""What the stages of a run share, and what each leaves."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from qgraph.errors import QGraphError
from qgraph.train.data import Dataset, chunks
from qgraph.train.identity import differences, identity
from qgraph.train.measure import Measured
from qgraph.train.recipe import Recipe, Stage

StepProgress = Callable[[str, int, int, dict[str, float]], None]
"""Called after each step with the stage, the step, the steps in all, and the losses."""
Curves = dict[str, list[tuple[int, float]]]
"""Name of a loss or metric -> (step, value)."""


@dataclasses.dataclass
class TrainingRun:
    """A recipe at work with one seed: its data, folder and device, and the models captured so far."""

    recipe: Recipe
    data: Dataset
    out: Path
    seed: int
    device: torch.device
    progress: StepProgress
    rank: int = 0
    world: int = 1
    captured: dict[str, ir.Model] = dataclasses.field(default_factory=dict)

    def folder(self, stage: str) -> Path:
        return self.out / stage

    def model_file(self, stage: str) -> Path:
        return self.folder(stage) / "model.onnx"

    def checkpoint(self, stage: str) -> Path:
        return self.folder(stage) / "checkpoint.safetensors"

    def calibration(self, inputs: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """The first batches of the training samples, inputs only."""
        size, train = self.recipe.data.batch, self.data.train
        for numbers in chunks(train, size)[: self.recipe.data.calibration]:
            batch = train.batch(numbers)
            yield {name: batch[name] for name in inputs}

    def identity(self, stage: Stage) -> str:
        """What a stage's result depends on, as JSON."""
        return json.dumps(identity(self.recipe, stage, self.seed))

    def refuse_other(self, file: Path, written: str, stage: Stage) -> None:
        """Refuse ``file`` where what it was ``written`` for is not what ``stage`` is now.

        Raises:
            QGraphError: it says what has changed.
        """
        if written != self.identity(stage):
            changed = differences(written, identity(self.recipe, stage, self.seed))
            raise QGraphError(
                f"{file} is of another recipe, data or seed (changed: {', '.join(changed)}); give another --out, or delete "
                f"{file.parent} to run it again"
            )


@dataclasses.dataclass
class StageResult:
    """What a stage made: its file, curves and measurements."""

    name: str
    file: str
    steps: int
    seconds: float
    curves: Curves
    measured: Measured
    identity: str


def finished(run: TrainingRun, stage: Stage) -> StageResult | None:
    """The result of a stage that an earlier run ended; refuses one of another recipe."""
    file = run.folder(stage.name) / "result.json"
    if not file.is_file() or not run.model_file(stage.name).is_file():
        return None
    data: dict[str, Any] = json.loads(file.read_text())
    run.refuse_other(file, data.get("identity", ""), stage)
    data["measured"] = Measured(**data["measured"])
    data["curves"] = {name: [(step, value) for step, value in curve] for name, curve in data["curves"].items()}
    return StageResult(**data)


def process() -> tuple[int, int]:
    """Rank and number of processes under torchrun; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
