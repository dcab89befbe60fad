"""Reports: what they say is what was measured; small, quick, without outside parts."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from click.testing import CliRunner
from qgraph.tools.viewer.report import Candidate, activation, make, weight_levels

from qgraph.analyze.compare import compare
from qgraph.analyze.metrics import AnalyzedModel
from qgraph.capture import from_factory, from_torch
from qgraph.cli import cli
from qgraph.deploy.program import compile
from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import session
from qgraph.ir import io
from qgraph.ir.patterns import nodes
from qgraph.workflow import transform
from qgraph.zoo.digits import split

BATCH = {"input": np.random.default_rng(0).random((8, 1, 8, 8)).astype(np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    model = from_factory("qgraph.zoo:digits_cnn")
    io.save(model, path / "float.onnx")
    transform(model, preset="int8", data=[BATCH])
    io.save(model, path / "int8.onnx")
    compile(model, path / "int8.qgp")
    return path


class Page(HTMLParser):
    """Texts of cells, headings, anchors, and everything that would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.outside: list[str] = []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a":
            self.links.add((found.get("href") or "").lstrip("#"))
        if tag in ("script", "link", "img", "iframe", "object") or str(found.get("src", "")).startswith("http"):
            self.outside.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open == "td":
            self.cells.append(data)


def test_numbers_are_those_of_the_commands(folder: Path) -> None:
    files = [str(folder / name) for name in ("float.onnx", "int8.onnx", "int8.qgp")]
    text = make(files, [BATCH], shapes=("input=8,1,8,8",), rounds=1)
    page = Page(text)
    assert page.outside == [] and page.links <= page.ids and {"summary", "candidates", "layers-1", "worst"} <= page.ids
    for name in files:
        assert f"{Path(name).stat().st_size / 1e6:.3f}" in page.cells
    for name in files[1:]:
        found = compare(files[0], name, [BATCH])
        assert f"{min(d.sqnr for d in found.outputs):.1f} dB" in page.cells
    assert text.count("<svg") >= 7 and text.count('role="img"') == text.count("<svg")
    assert "@media print" in text and len(text) < 3_000_000


def test_accuracy_where_there_are_labels(folder: Path) -> None:
    _, _, images, labels = split()
    batch = {"input": images[:200], "label": labels[:200]}
    files = [str(folder / name) for name in ("float.onnx", "int8.onnx", "int8.qgp")]
    page = Page(make(files, [batch], rounds=0))
    scores = session(io.load(files[0])).run(None, {"input": batch["input"]})[0]
    assert f"{(scores.argmax(1) == batch['label']).mean():.1%}" in page.cells


def test_rounds_of_zero_time_nothing_and_a_candidate_measures_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a benchmark ran")

    monkeypatch.setattr(AnalyzedModel, "time", refuse)
    monkeypatch.setattr("qgraph.tools.bench.engines.measure", refuse)
    files = [str(folder / name) for name in ("float.onnx", "int8.onnx", "int8.qgp")]
    page = Page(make(files, [BATCH], rounds=0))
    assert {"summary", "layers-2"} <= page.ids and "time-2" not in page.ids
    with pytest.raises(AssertionError, match="a benchmark ran"):
        make(files, [BATCH], rounds=1)
    monkeypatch.setattr("qgraph.deploy.session.Session", refuse)
    assert Candidate(AnalyzedModel(folder / "int8.qgp"), 0).seconds is None


def test_a_program_is_counted_as_it_is_when_it_is_timed(folder: Path) -> None:
    program, model = AnalyzedModel(folder / "int8.qgp"), AnalyzedModel(folder / "int8.onnx")
    counted = program.count_macs()
    assert all(metrics.seconds is None for metrics in program.metrics.values())
    program.time()
    assert counted == sum(metrics.macs or 0 for metrics in program.metrics.values()) == model.count_macs() > 10_000


def test_two_hundred_layers_in_half_a_minute(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(200) for part in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
    x = torch.randn(16, 64)
    model = from_torch(torch.nn.Sequential(*layers), (x,))
    for value in model.graph.initializers.values():  # keep the signal alive through the depth
        if value.const_value is not None and value.name and value.name.endswith("weight"):
            value.const_value = ir.tensor(value.const_value.numpy() * 2.4, name=value.name)
    io.save(model, tmp_path / "float.onnx")
    batch = {model.graph.inputs[0].name or "": x.numpy()}
    transform(model, preset="int8", data=[batch], force=True)
    io.save(model, tmp_path / "int8.onnx")
    compile(model, tmp_path / "int8.qgp")
    start = time.monotonic()
    text = make([str(tmp_path / n) for n in ("float.onnx", "int8.onnx", "int8.qgp")], [batch], rounds=1)
    assert time.monotonic() - start < 30
    assert text.count("<h3>") == 10


def test_grids_are_the_quantizers(folder: Path) -> None:
    model = io.load(folder / "int8.onnx")
    analyzed = AnalyzedModel(folder / "int8.onnx")
    conv = nodes(model, "Conv")[1]
    levels = weight_levels(conv)
    assert levels is not None and len(levels) == 256 and levels[128] == 0
    source, grid, kind = activation(conv)
    assert kind == "uint8" and grid is not None and len(grid) == 256 and 0.0 in grid
    shown = analyzed.snapshot.values[next(iter(source.uses())).node.outputs[0].name or ""]
    assert np.diff(grid)[0] == pytest.approx(float(shown.scale), rel=1e-4)


def test_values_of_a_program_have_the_shapes_of_its_run(folder: Path) -> None:
    analyzed = AnalyzedModel(folder / "int8.qgp")
    assert analyzed.time(BATCH) > 0
    assert analyzed.snapshot.values[analyzed.snapshot.outputs[0]].shape == "[8, 10]"
    assert all(analyzed.snapshot.values[name].shape for node in analyzed.snapshot.nodes for name in node.outputs)


def test_training_folders_and_mistakes(folder: Path, tmp_path: Path) -> None:
    run = CliRunner()
    done = run.invoke(cli, ["report", str(tmp_path), "-o", str(tmp_path / "r.html")])
    assert isinstance(done.exception, QGraphError) and "report.json" in str(done.exception)
    result = {"name": "qat", "curves": {"loss": [[0, 2.0], [1, 1.0]]}}
    row = {"stage": "qat", "score": 0.9, "interval": float("nan"), "onnxruntime": 0.9, "program": 0.9, "bytes": 5000.0}
    row |= {"huffman": float("nan"), "loss_before": 2.0, "loss_after": 1.0, "steps": 2, "seconds": 1.0, "note": ""}
    recipe = {"name": "qat", "about": "a <test>"}
    found = {"recipe": recipe, "metric": "accuracy", "rows": [row], "differences": [], "runs": [[result]]}
    (tmp_path / "report.json").write_text(json.dumps(found))
    done = run.invoke(cli, ["report", str(tmp_path), "-o", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "r.html").read_text()
    assert "a &lt;test&gt;" in text and "90.0%" in Page(text).cells and "2.000 → 1.000" in text and "<svg" in text
    other = folder / "other.onnx"
    io.save(from_factory("qgraph.zoo:digits_mlp"), other)
    done = run.invoke(cli, ["report", str(folder / "float.onnx"), str(folder / "none.qgp"), "-o", str(tmp_path / "x.html")])
    assert isinstance(done.exception, QGraphError) and not (tmp_path / "x.html").exists()


def test_tree_sums_the_modules(folder: Path) -> None:
    analyzed = AnalyzedModel(folder / "int8.qgp")
    whole = analyzed.modules()[""]
    assert whole.bits == 8 and whole.bytes == sum(f.bytes for f in analyzed.metrics.values())
    assert {analyzed.metrics[n.id].value_bits for n in analyzed.snapshot.nodes} >= {8.0, 32.0}
    quantized = AnalyzedModel(folder / "int8.onnx")
    assert {quantized.metrics[n.id].value_bits for n in quantized.snapshot.nodes if n.op == "Conv"} <= {8.0, 16.0, 32.0}
    done = CliRunner().invoke(cli, ["inspect", str(folder / "int8.onnx"), "--tree"])
    assert done.exit_code == 0 and re.search(r"int8.onnx +8 bits, [\d.]+ kB", done.output), done.output
    done = CliRunner().invoke(cli, ["inspect", str(folder / "int8.onnx"), "--tree", "--against", "x.onnx"])
    assert isinstance(done.exception, QGraphError) and "--data" in str(done.exception)
