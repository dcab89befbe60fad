"""What the result of a stage depends on, to tell whether a result on disk is still that of the recipe."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from qgraph.factories import import_factory
from qgraph.train.recipe import Origin, Recipe, Stage

PACKAGE = __name__.partition(".")[0]
Parts = dict[str, Any]
"""What it is -> a value that differs when it does."""


def identity(recipe: Recipe, stage: Stage, seed: int) -> Parts:
    """The parts of a stage's identity: recipe, metric, data, files, code, and the same of the stages that it reads."""
    stages = {s.name: s for s in recipe.stages}
    sources: list[Origin] = [stage.student, *stage.teachers]
    specs = [recipe.data.source, *(s.capture for s in sources if s.capture is not None)]
    if ":" not in specs[0]:
        specs[0] = f"qgraph.train.data:{specs[0]}"
    arguments = [recipe.data.args, *(s.args for s in sources)]
    files = [s.file for s in sources if s.file is not None] + [f for a in arguments for f in _files_in(a)]
    return {
        "recipe": stage.model_dump(mode="json", exclude_defaults=True),
        "data": recipe.data.model_dump(mode="json", exclude_defaults=True),
        "seed": seed,
        "metric": [recipe.metric, recipe.evaluate_every if stage.patience is not None else 0],
        "contents of files": {file: file_hash(file) for file in files},
        "code of factories": {spec: code_hash(spec) for spec in specs},
        "earlier stages": {s.stage: identity(recipe, stages[s.stage], seed) for s in sources if s.stage is not None},
    }


def differences(old: str, new: Parts) -> list[str]:
    """The parts in which an identity that was written (as JSON) differs."""
    before = json.loads(old) if old.startswith("{") else {}
    now = json.loads(json.dumps(new))
    return [part for part in now if before.get(part) != now[part]]


def file_hash(file: str) -> str:
    """A hash of a file's bytes and, for an ONNX model, of the files that hold its weights; empty where there is no file."""
    if not os.path.isfile(file):
        return ""
    status = os.stat(file)
    return _file_hash(os.path.abspath(file), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)
def _file_hash(file: str, changed: int, size: int) -> str:
    digest = hashlib.sha256()
    for part in [Path(file), *_weight_files(Path(file))]:
        with part.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _weight_files(file: Path) -> list[Path]:
    if file.suffix != ".onnx":
        return []
    try:
        model = onnx.load(str(file), load_external_data=False)
    except (DecodeError, ValueError):
        return []  # loading the model says what is wrong with it
    tensors = (t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL)
    names = {entry.value for t in tensors for entry in t.external_data if entry.key == "location"}
    return [path for name in sorted(names) if (path := file.parent / name).is_file()]


def _files_in(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments of a factory that name files."""
    return [value for value in arguments.values() if isinstance(value, str) and os.path.isfile(value)]


def code_hash(spec: str) -> str:
    """A hash of the source of a factory's module and the modules beside it that it imports; of a factory of qgraph, its own."""
    factory = import_factory(spec)
    module = sys.modules[spec.partition(":")[0]]
    if module.__name__.partition(".")[0] == PACKAGE:
        return _hash([_source(inspect.unwrap(factory))])
    return _hash([_source(m) for m in _beside(module)])


def _hash(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _source(item: Any) -> str:
    try:
        return inspect.getsource(item)
    except (OSError, TypeError):
        return ""  # made at run time: there is nothing to read


def _beside(module: types.ModuleType) -> list[types.ModuleType]:
    """``module`` and the modules of its folder or package that it imports, directly or not, by name."""
    found = {module.__name__: module}
    waiting = [module]
    while waiting:
        for other in _imported(waiting.pop()):
            if other.__name__ not in found and _is_beside(other, module):
                found[other.__name__] = other
                waiting.append(other)
    return [found[name] for name in sorted(found)]


def _imported(module: types.ModuleType) -> Iterator[types.ModuleType]:
    for value in list(vars(module).values()):
        owner = value if isinstance(value, types.ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
        if owner is not None:
            yield owner


def _is_beside(other: types.ModuleType, module: types.ModuleType) -> bool:
    if other.__name__.partition(".")[0] == module.__name__.partition(".")[0]:
        return True
    folders = [os.path.dirname(getattr(m, "__file__", None) or "") for m in (other, module)]
    return bool(folders[0]) and folders[0] == folders[1] and "site-packages" not in folders[0]
