"""Make what ``same_outputs`` compares, with the checkout that ``import qgraph`` finds: ``PYTHON -P tools/artifacts.py FOLDER``.

Reads names of jobs line by line from its input and answers each with ``done NAME`` or ``failed NAME: why``. A job's files lie in
``FOLDER/NAME``: ONNX files, programs, and the outputs of both on fixed inputs. The file runs by its path under the Python of
older checkouts too, so it uses the command line, ``qgraph.zoo`` and packages from outside, and nothing inside of qgraph.

Seeds are fixed and every engine has one thread, so that two runs on one machine give the same bytes. Programs are compiled with
``--dense``: which products of sparse int8 weights run without their zeros depends on times measured on the spot, and so do the
targets ``latency`` of the pruning passes. Neither is compared.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PRESETS = {name: ["--preset", name] for name in ("int8", "int8-dynamic", "w4a8")}
INT8 = {"int8": PRESETS["int8"]}
CLEAN = "canonicalize,fold-batchnorm,fuse-bias"
DIGITS = {
    "int2": f"{CLEAN},calibrate{{method=mse}},quantize{{weights=int2}}",
    "codebook": f"{CLEAN},calibrate{{method=percentile}},quantize{{weights=codebook points=16}}",
    "two-of-four": "canonicalize,fold-batchnorm,prune-nm,calibrate{method=entropy},quantize{latent=true},bake",
    "blocks": f"{CLEAN},prune-block{{sparsity=0.5 outputs=4}},calibrate,quantize{{latent=true}},bake",
    "masks": "canonicalize,prune-magnitude{sparsity=0.9},finalize-pruning",
    "channels": f"canonicalize,prune-channels{{ratio=0.5 target=macs}},{CLEAN},calibrate,quantize,bias-correction",
}
MINILM = {
    "pruned": "canonicalize,prune-layers{keep=[1,4]},prune-heads{ratio=0.5},prune-ffn{ratio=0.5},calibrate,smooth-quant,quantize"
}


def _passes(pipelines: dict[str, str]) -> dict[str, list[str]]:
    return {name: ["--passes", text] for name, text in pipelines.items()}


ZOO: dict[str, tuple[str, int, int, dict[str, list[str]]]] = {
    "bert_base": ("calibration", 1, 2, INT8),
    "resnet50": ("noise_images", 1, 1, INT8),
    "minilm": ("calibration", 2, 4, {**PRESETS, **_passes(MINILM)}),
    "mobilenet_v2": ("noise_images", 1, 1, INT8),
    "digits_cnn": ("digits_data", 2, 64, {**PRESETS, **_passes(DIGITS)}),
    "digits_mlp": ("digits_data", 2, 64, INT8),
}
"""Model of the zoo -> data of the zoo, batches, samples a batch, and the arguments of ``transform`` by name."""
LIGHT, RECIPE = "light-", "recipe-"
LIGHTS = ("inception_v1", "shufflenet", "squeezenet")
"""Models of the onnx package: real topologies, constant weights."""
STEPS, SLOW_STEPS = 25, 2
SLOW_DATA = {"batch": 4, "calibration": 1, "args": {"test": 8}}
"""Data of recipes on sentences, whose student is MiniLM."""


def shipped() -> Path:
    """The folder of the recipes that this checkout ships."""
    import qgraph

    return Path(qgraph.__file__).parent / "recipes"


def jobs() -> list[str]:
    """Names of all jobs: models of the zoo, light models and shipped recipes; long ones come first."""
    recipes = sorted(file.stem for file in shipped().glob("*.yaml"))
    return [*ZOO, *(LIGHT + name for name in LIGHTS), *(RECIPE + name for name in recipes)]


def command(*arguments: str | Path) -> None:
    """Run a command of the command line in this process, with fixed seeds."""
    import torch

    from qgraph.cli import cli

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    cli.main([str(a) for a in arguments], standalone_mode=False)


def without_places(file: Path) -> None:
    """Take folders out of the stack traces in an ONNX file, and line numbers of this checkout's own files."""
    import onnx

    import qgraph

    root = re.escape(str(Path(qgraph.__file__).parents[1]))
    model = onnx.load(file)
    for node in model.graph.node:
        for entry in node.metadata_props:
            if 'File "' in entry.value:
                text = re.sub(r'File "[^"]*/site-packages/', 'File "', entry.value)
                entry.value = re.sub(rf'File "{root}/([^"]+)", line \d+', r'File "\1", line 0', text)
    onnx.save(model, file)


def deploy(model: Path, inputs: Path) -> None:
    """Export and compile ``model`` (``X.onnx``) and run both: ``X.deploy.onnx``, ``X.deploy.npz``, ``X.qgp``, ``X.qgp.npz``.

    A model that cannot be compiled leaves ``X.refused`` in place of its program.
    """
    from qgraph import QGraphError

    exported, program = model.with_suffix(".deploy.onnx"), model.with_suffix(".qgp")
    command("export", model, "-o", exported)
    command("run", exported, "--inputs", inputs, "-o", model.with_suffix(".deploy.npz"), "--threads", "1")
    try:
        command("compile", model, "-o", program, "--dense")
    except QGraphError:
        model.with_suffix(".refused").write_text("compile refuses this model\n")
        return
    command("run", program, "--inputs", inputs, "-o", model.with_suffix(".qgp.npz"), "--threads", "1")


def zoo(name: str, folder: Path) -> None:
    """Capture a model of the zoo and take it through every preset and pipeline."""
    import qgraph.zoo

    source, count, rows, forms = ZOO[name]
    data = folder / "data"
    data.mkdir()
    for number, batch in zip(range(count), getattr(qgraph.zoo, source)(), strict=False):
        kept: dict[str, Any] = {key: array[:rows] for key, array in batch.items()}
        if name == "digits_mlp":
            kept = {key: array.reshape(rows, -1) for key, array in kept.items()}
        np.savez(data / f"{number}.npz", **kept)
    start = folder / "float.onnx"
    command("capture", f"qgraph.zoo:{name}", "-o", start)
    without_places(start)
    for form, arguments in forms.items():
        model = folder / f"{form}.onnx"
        command("transform", start, "-o", model, "--data", data, "--force", *arguments)
        deploy(model, data / "0.npz")


def light(name: str, folder: Path) -> None:
    """Read a light model of the onnx package and take it through the preset int8."""
    import onnx

    start, data, model = folder / "float.onnx", folder / "0.npz", folder / "int8.onnx"
    command("capture", Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx", "-o", start)
    np.savez(data, **dict(_noise(onnx.load(start))))
    command("transform", start, "-o", model, "--data", data, "--force", *PRESETS["int8"])
    deploy(model, data)


def short(recipe: dict[str, Any]) -> dict[str, Any]:
    """``recipe`` with few steps; of one that trains MiniLM the stages up to the first that trains."""
    slow = recipe["data"]["source"] == "sentences"
    stages = recipe["stages"]
    if slow:
        recipe["data"] |= SLOW_DATA
        stages = stages[: 1 + next(i for i, stage in enumerate(stages) if stage.get("steps"))]
    steps = SLOW_STEPS if slow else STEPS
    short_stages = [{**stage, "steps": min(stage.get("steps", 0), steps)} for stage in stages]
    return {**recipe, "stages": short_stages, "compare": []}


def recipe(name: str, folder: Path) -> None:
    """Train the stages of a shipped recipe for a few steps, and deploy each of their models."""
    import onnx
    import yaml

    file, out = folder / "recipe.yaml", folder / "run"
    file.write_text(yaml.safe_dump(short(yaml.safe_load((shipped() / f"{name}.yaml").read_text()))))
    command("train", file, "--out", out, "--device", "cpu")
    for trained in sorted(out.glob("*/model.onnx")):
        model = folder / f"{trained.parent.name}.onnx"
        trained.rename(model)
        without_places(model)
        inputs = folder / "inputs.npz"
        if not inputs.exists():
            np.savez(inputs, **dict(_noise(onnx.load(model))))
        deploy(model, inputs)
    shutil.rmtree(out)


def _noise(model: Any) -> Iterator[tuple[str, Any]]:
    """Arrays for the inputs of an ONNX model; free dims are 4. Of tokens the second half is masked in the first row."""
    rng = np.random.default_rng(0)
    for value in model.graph.input:
        shape = [d.dim_value or 4 for d in value.type.tensor_type.shape.dim]
        if value.name.endswith("mask"):
            array = np.ones(shape, np.int64)
            array[0, shape[1] // 2 :] = 0
            yield value.name, array
        elif value.name.endswith("ids"):
            yield value.name, rng.integers(5, 1000, shape)
        else:
            yield value.name, rng.standard_normal(shape, np.float32)


KINDS: dict[str, Callable[[str, Path], None]] = {LIGHT: light, RECIPE: recipe, "": zoo}
"""Start of a job's name -> what does the job."""


def make(name: str, folder: Path) -> str:
    """Do one job; returns the answer to print."""
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with (place / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            kind, rest = next((p, name.removeprefix(p)) for p in KINDS if name.startswith(p))
            KINDS[kind](rest, place)
        except Exception as error:
            traceback.print_exc()
            return f"failed {name}: {type(error).__name__}: {' '.join(str(error).split())}"
    return f"done {name}"


def one_thread() -> None:
    """Give torch and ONNX Runtime one thread, also where a command does not let one choose."""
    import onnxruntime
    import torch

    class OneThread(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: Any, options: Any = None, **others: Any) -> None:
            options = options or onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            super().__init__(model, options, **others)

    onnxruntime.InferenceSession = OneThread
    torch.set_num_threads(1)


def main(folder: Path) -> None:
    """Answer the jobs of the standard input."""
    one_thread()
    os.chdir(folder)  # where a factory is called, the working directory is importable
    for line in sys.stdin:
        print(make(line.strip(), folder), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
