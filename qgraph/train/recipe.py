"""Recipes: YAML files that say how students are made, taught and compared. Every key is checked before any work starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qgraph.errors import QGraphError, suggest
from qgraph.execute.quantizers import Ranges

SHIPPED = Path(__file__).parents[1] / "recipes"


class Part(BaseModel):
    """A part of a recipe; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Origin(Part):
    """The keys that name a graph."""

    file: str | None = None
    capture: str | None = None
    args: dict[str, Any] = {}
    stage: str | None = None


class Source(Origin):
    """Where a graph comes from: exactly one of ``file`` (ONNX), ``capture`` (MODULE:FACTORY) and ``stage``."""

    @model_validator(mode="after")
    def exactly_one(self) -> Source:
        if sum(x is not None for x in (self.file, self.capture, self.stage)) != 1:
            raise ValueError("give exactly one of file, capture and stage")
        return self


class Teacher(Origin):
    """A teacher: a graph, or ``ema``, the decay of a moving average of the student itself."""

    ema: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def exactly_one(self) -> Teacher:
        if sum(x is not None for x in (self.file, self.capture, self.stage, self.ema)) != 1:
            raise ValueError("give exactly one of file, capture, stage and ema")
        return self


class LossSpec(Part):
    """One term of the sum: ``kind`` and its options, its weight, and what it reads (``on``: output or a kind of tap)."""

    model_config = ConfigDict(extra="allow")
    kind: str
    weight: float = 1.0
    on: Literal["", "output", "feature", "attention", "query", "key", "value"] = ""
    pool: Literal["", "mask-mean"] = ""


class Taps(Part):
    """Which layers are compared: ``map`` is uniform, last, or pairs such as "0:1 1:3"; or values named on each side."""

    map: str = "uniform"
    student: list[str] = []
    teacher: list[str] = []

    @model_validator(mode="after")
    def sides(self) -> Taps:
        if len(self.student) != len(self.teacher):
            raise ValueError("student and teacher must name as many values")
        if self.map not in ("uniform", "last") and not re.fullmatch(r"(\d+:\d+)( \d+:\d+)*", self.map):
            raise ValueError("map must be uniform, last, or pairs such as '0:1 1:3'")
        return self


class Quantizers(Part):
    """What the ranges of quantizers do in training."""

    weights: Ranges = "learned"
    activations: Ranges = "observe"
    stochastic: bool = False
    freeze_after: float = Field(default=1.0, ge=0, le=1)


class Pruning(Part):
    """How the masks of a stage move: their kind, the sparsity at the end, and the way there.

    ``until`` is the part of the steps by which the end is reached; masks are chosen anew every ``every`` steps.
    """

    kind: Literal["magnitude", "movement", "nm", "random"] = "magnitude"
    sparsity: float = Field(default=0.5, ge=0, lt=1)
    start: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["one-shot", "linear", "cubic"] = "cubic"
    scope: Literal["layer", "global"] = "layer"
    least: float = Field(default=0.02, ge=0, lt=1)
    until: float = Field(default=0.67, ge=0, le=1)
    every: int = Field(default=10, ge=1)
    regrow: bool = False
    n: int = Field(default=2, ge=1)
    m: int = Field(default=4, ge=2)

    @model_validator(mode="after")
    def fewer(self) -> Pruning:
        if self.n >= self.m:
            raise ValueError(f"{self.n}:{self.m} prunes nothing; give n smaller than m")
        return self


class Pqk(Part):
    """Phase 2 of PQK: when it starts, its warm-up (parts of the steps), and how the full net and the student teach each other."""

    start: float = Field(default=0.6, ge=0, lt=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    temperature: float = Field(default=2.0, gt=0)
    weight: float = Field(default=1.0, ge=0)
    teacher_update: Literal["unimportant", "all", "none"] = "unimportant"


class Optimizer(Part):
    """AdamW or SGD, its schedule over the stage's steps, gradient clipping and accumulation."""

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["constant", "linear", "cosine", "step"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    clip: float | None = Field(default=None, gt=0)
    accumulate: int = Field(default=1, ge=1)
    trainable: list[str] = ["*"]


class Stage(Part):
    """One training: a student, what is done to its graph, its teachers and losses.

    ``gradients`` is the number of batches over which the gradients of the losses are averaged before the passes, for those that
    choose by them; ``cache`` is a folder for the outputs of the teachers, which then run once for each sample.
    """

    name: str
    student: Source
    passes: str = ""
    gradients: int = Field(default=0, ge=0)
    quantizers: Quantizers = Quantizers()
    pruning: Pruning | None = None
    pqk: Pqk | None = None
    teachers: list[Teacher] = []
    ensemble: Literal["mean", "learned"] = "mean"
    cache: str | None = None
    losses: list[LossSpec] = []
    taps: Taps = Taps()
    optimizer: Optimizer = Optimizer()
    steps: int = Field(default=0, ge=0)
    freeze_batchnorm_after: float = Field(default=1.0, ge=0, le=1)
    patience: int | None = Field(default=None, ge=1)
    control: bool = False


class DataSpec(Part):
    """A factory of data, its arguments and the batch size."""

    source: str
    args: dict[str, Any] = {}
    batch: int = Field(default=64, ge=1)
    calibration: int = Field(default=8, ge=1)


class Recipe(Part):
    """A list of stages over one set of data; ``compare`` lists pairs of stages whose difference the report shows."""

    name: str
    about: str = ""
    seed: int = 0
    data: DataSpec
    metric: Literal["accuracy", "cosine", "sentence-cosine", "loss"] = "accuracy"
    evaluate_every: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=200, ge=1)
    stages: list[Stage] = Field(min_length=1)
    compare: list[tuple[str, str]] = []

    @model_validator(mode="after")
    def known_stages(self) -> Recipe:
        seen: list[str] = []
        for stage in self.stages:
            if stage.name in seen:
                raise ValueError(f"two stages are called {stage.name!r}")
            for source in (stage.student, *stage.teachers):
                if source.stage is not None and source.stage not in seen:
                    raise ValueError(f"stage {stage.name!r} reads stage {source.stage!r}, which does not come before it")
            if stage.steps and not stage.losses:
                raise ValueError(f"stage {stage.name!r} trains and has no losses")
            seen.append(stage.name)
        for pair in self.compare:
            for name in pair:
                if name not in seen and name.removesuffix("-control") not in seen:
                    raise ValueError(f"compare names {name!r}, which is no stage")
        return self


def load(source: str | Path, settings: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by file, or by the name of a shipped one.

    Args:
        settings: changes of the form ``stages.0.steps=100``; a stage may be given by its name.

    Raises:
        QGraphError: the file or a key is not right; the message says which and what is allowed.
    """
    path = Path(source)
    if not path.is_file():
        path = SHIPPED / f"{source}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in SHIPPED.glob("*.yaml"))
        raise QGraphError(
            f"there is no recipe {str(source)!r}{suggest(str(source), names)}; shipped: {', '.join(names)}, or give a file"
        )
    try:
        data = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QGraphError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise QGraphError(f"recipe {path} is no mapping; it needs name, data and stages")
    for setting in settings:
        _set(data, setting)
    try:
        return Recipe(**data)
    except ValidationError as error:
        raise QGraphError(f"recipe {path}: {_sentence(error)}") from error


def _set(data: Any, setting: str) -> None:
    where, mark, text = setting.partition("=")
    if not mark:
        raise QGraphError(f"--set {setting!r} is not of the form a.b=c")
    *path, last = where.split(".")
    for part in path:
        data = _step(data, part, where)
    if isinstance(data, list):
        data[_index(data, last, where)] = yaml.safe_load(text)
    elif isinstance(data, dict):
        data[last] = yaml.safe_load(text)
    else:
        raise QGraphError(f"--set {where}: {last!r} lies inside a plain value")


def _index(data: list[Any], part: str, where: str) -> int:
    names = [d.get("name", d.get("kind", "")) if isinstance(d, dict) else "" for d in data]
    if part in names:
        return names.index(part)
    if not part.isdigit() or int(part) >= len(data):
        raise QGraphError(f"--set {where}: there is no {part!r} in a list of {len(data)}{suggest(part, [n for n in names if n])}")
    return int(part)


def _step(data: Any, part: str, where: str) -> Any:
    if isinstance(data, list):
        return data[_index(data, part, where)]
    if not isinstance(data, dict):
        raise QGraphError(f"--set {where}: {part!r} lies inside a plain value")
    return data.setdefault(part, {})


def _sentence(error: ValidationError) -> str:
    """The first problem in words, with the keys that are allowed."""
    first = error.errors()[0]
    place = ".".join(str(p) for p in first["loc"]) or "the recipe"
    if first["type"] == "extra_forbidden":
        word, known = str(first["loc"][-1]), sorted(_keys_at(first["loc"][:-1]))
        return f"{place} is not a key{suggest(word, known)}; keys here: {', '.join(known)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"


def _keys_at(place: tuple[Any, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "data": DataSpec,
        "stages": Stage,
        "student": Source,
        "teachers": Teacher,
        "quantizers": Quantizers,
        "pruning": Pruning,
        "pqk": Pqk,
        "taps": Taps,
        "optimizer": Optimizer,
        "losses": LossSpec,
    }
    named = [p for p in place if isinstance(p, str) and p in models]
    return list((models[named[-1]] if named else Recipe).model_fields)
