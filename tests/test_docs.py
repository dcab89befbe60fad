"""What the documents speak of is there: files, names in them, commands, headings. The example graphs are what passes make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.cli import COMMANDS
from qgraph.pipeline import PassContext, Pipeline
from tests.passes.graphs import model_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
FOLDERS = ("docs", "passes", "qgraph", "runtime", "tests", "tools")
PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)})/[\w./<>*-]+)(?:::?([\w]+))?")
SPAN = re.compile(r"`([^`]+)`")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)


def code(text: str) -> Iterator[str]:
    """Code spans and blocks."""
    yield from (body for _, body in BLOCK.findall(text))
    yield from SPAN.findall(BLOCK.sub("", text))


def paths(text: str) -> set[tuple[str, str]]:
    """Paths from the root, and the name that follows one after a colon (or empty); spans with a slash are paths."""
    found = {(path.rstrip("."), name) for part in code(text) for path, name in PATH.findall(part)}
    for span in SPAN.findall(BLOCK.sub("", text)):
        if re.fullmatch(r"[\w.<>*-]+(/[\w.<>*-]*)+", span):
            found.add((span, ""))
    return found


def missing(path: str, name: str) -> str | None:
    """What of a path (``<word>`` and ``*`` stand for anything) or of a name in that file is not there."""
    files = list(ROOT.glob(re.sub(r"<\w+>", "*", path)))
    if not files:
        return path
    if name and not any(re.search(rf"\b{name}\b", file.read_text()) for file in files):
        return f"{path}:{name}"
    return None


@EVERY_PAGE
def test_files_and_names_exist(page: Path) -> None:
    found = paths(page.read_text())
    assert page.name in ("README.md", "corpus.md", "ops.md") or len(found) > 30
    assert [gone for path, name in sorted(found) if (gone := missing(path, name))] == []


def test_what_is_not_there_is_found() -> None:
    spans = "`qgraph/ir/scopes.py:where`, `qgraph/ir/scopes.py:nowhere`, `passes/<family>/nothing.py`, `no/such`"
    gone = {"qgraph/ir/scopes.py:nowhere", "passes/<family>/nothing.py", "no/such", "runtime/x.cpp"}
    found = paths(f"{spans}\n```\nruntime/x.cpp\n```")
    assert {m for path, name in found if (m := missing(path, name))} == gone


@EVERY_PAGE
def test_commands_and_modules_exist(page: Path) -> None:
    for part in code(page.read_text()):
        for command in re.findall(r"(?:^|\n *)qgraph ([a-z]+)", part):
            assert command in COMMANDS, command
        for module in re.findall(r"python -m qgraph\.([\w.]+)", part):
            file = ROOT / module.replace(".", "/") if module.startswith("tools.") else ROOT / "qgraph" / module.replace(".", "/")
            assert file.with_suffix(".py").is_file() or (file / "__init__.py").is_file(), module


def headings(page: Path) -> set[str]:
    """The anchors of a page."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@EVERY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            other = page.parent / file if file else page
            assert other.exists() and (not anchor or anchor in headings(other)), target


Node = tuple[list[str], str, set[str], list[str]]
"""Outputs, op, names of attributes, inputs."""


def written(dialect: str) -> list[Node]:
    """The nodes in the block of a dialect: ``outputs = Op<attributes>(inputs)``."""
    block = dict(BLOCK.findall((ROOT / "docs" / "architecture.md").read_text()))[dialect]
    lines = re.findall(r"^(.+?) = (\w+)(?:<(.+?)>)?\((.*)\)$", block, re.M)
    assert len(lines) == len(block.splitlines())
    return [(o.split(", "), op, set(filter(None, a.split(", "))), i.split(", ")) for o, op, a, i in lines]


def made(model: ir.Model) -> list[Node]:
    return [([v.name for v in n.outputs], n.op_type, set(n.attributes), [v.name for v in n.inputs if v]) for n in model.graph]  # type: ignore[misc]


def test_the_example_graphs_are_what_passes_make() -> None:
    rng = np.random.default_rng(0)
    body = "; ".join(f"{o[0]} = {op}({', '.join(i)})" for o, op, _, i in written("float")).replace(";", "")
    model = model_of(f"g (float[n,4] x, float[4,8] w1, float[8] b1, float[8,2] w2) => (float[n,2] y) {{ {body} }}")
    for name in ("w1", "b1", "w2"):
        value = next(v for v in model.graph.inputs if v.name == name)
        model.graph.inputs.remove(value)
        value.const_value = ir.Tensor(rng.standard_normal(value.shape.numpy()).astype(np.float32), name=name)  # type: ignore[union-attr]
        model.graph.initializers[name] = value
    assert made(model) == written("float")
    data = [{"x": rng.standard_normal((16, 4)).astype(np.float32)}]
    Pipeline("canonicalize,calibrate,quantize").run(model, PassContext(data=data))
    assert made(model) == written("quantized")
    Pipeline("lower").run(model)
    assert made(model) == written("integer")
