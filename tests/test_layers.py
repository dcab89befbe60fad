"""Who may import whom: every import, those inside functions included, goes to a layer below, and none makes a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"errors", "factories", "data", "_runtime"},
    {"numerics"},
    {"ir"},
    {"pipeline"},  # knows passes by name alone
    {"capture", "execute", "deploy", "analyze", "zoo"},
    {"passes"},
    {"workflow", "train", "search"},
    {"cli", "tools", "__main__"},
]
LEVEL = {package: number for number, layer in enumerate(LAYERS) for package in layer}
Import = tuple[str, str, str]
"""Package that imports, package that is imported, and the file and line."""


def files() -> Iterator[tuple[str, Path]]:
    """Every file with the name of its module; passes/ and tools/ are installed in the package."""
    for folder, prefix in ((ROOT / "qgraph", ""), (ROOT / "passes", "passes."), (ROOT / "tools", "tools.")):
        for file in sorted(folder.rglob("*.py")):
            inside = file.relative_to(folder)
            if not prefix and inside.parts[0] in ("passes", "tools"):
                continue
            yield prefix + ".".join(inside.with_suffix("").parts).removesuffix("__init__").rstrip("."), file


def imported(tree: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    """Full names of what a file imports, and the lines; also through ``import_module`` where the name is written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: write the whole name of what is imported"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            name = node.args[0]
            first = name.values[0] if isinstance(name, ast.JoinedStr) else name
            if isinstance(first, ast.Constant):
                yield str(first.value), node.lineno


def package(name: str) -> str:
    """The package under ``qgraph`` that a full name lies in; empty for the package itself and for other projects.

    The parts of ``tools`` are packages of their own: commands use some of them, and others use the commands.
    """
    parts = name.split(".")
    if parts[0] != "qgraph" or len(parts) < 2 or parts[1] not in LEVEL:
        return ""
    return ".".join(parts[1:3] if parts[1] == "tools" else parts[1:2])


def level(package: str) -> int:
    return LEVEL[package.split(".")[0]]


def imports(sources: Iterator[tuple[str, str, str]]) -> list[Import]:
    """The imports from one package to another in sources of (module, text, place)."""
    found = []
    for module, text, place in sources:
        own = package(f"qgraph.{module}")
        for name, line in imported(ast.parse(text), module):
            other = package(name)
            if own and other and own != other:
                found.append((own, other, f"{place}:{line}"))
    return found


def upward(found: list[Import]) -> list[Import]:
    return [item for item in found if level(item[1]) > level(item[0])]


def circles(found: list[Import]) -> list[list[str]]:
    return [
        sorted(part) for part in networkx.strongly_connected_components(networkx.DiGraph([f[:2] for f in found])) if len(part) > 1
    ]


def project() -> list[Import]:
    return imports((module, file.read_text(), str(file.relative_to(ROOT))) for module, file in files())


def test_every_module_has_a_layer() -> None:
    assert {module.split(".")[0] for module, _ in files()} - {""} <= set(LEVEL)


def test_no_import_goes_up_and_none_in_a_circle() -> None:
    found = project()
    assert len(found) > 200
    assert not upward(found)
    assert not circles(found)


def test_the_test_sees_what_it_is_to_see() -> None:
    lazy = "def f():\n    from qgraph.passes.quantize import plan\n"
    named = "import importlib\nimportlib.import_module('qgraph.train.run')\n"
    assert upward(imports(iter([("ir.patterns", lazy, "a"), ("deploy.session", named, "b")]))) == [
        ("ir", "passes", "a:2"),
        ("deploy", "train", "b:2"),
    ]
    there, back = "from qgraph import deploy\n", "import qgraph.analyze.cost\n"
    assert circles(imports(iter([("analyze.a", there, "a"), ("deploy.b", back, "b")]))) == [["analyze", "deploy"]]


@pytest.mark.parametrize(
    "module",
    ["qgraph.execute", "qgraph.execute.convert", "qgraph.execute.onnxruntime", "qgraph.deploy.program", "qgraph.pipeline"],
)
def test_library_code_loads_no_pass(module: str) -> None:
    code = f"import sys, {module}; print([m for m in sys.modules if m.startswith('qgraph.passes')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"
