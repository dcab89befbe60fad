"""Folders of the runtime include only what stands below them, so that none of them includes itself in a circle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
INCLUDE = re.compile(r'^\s*#include "([^"]+)"', re.MULTILINE)

# What each folder may include besides itself, include/qgraph and the code that the schema's compiler generates.
LAYERS = {
    "include/qgraph": set(),
    "support": set(),
    "program": set(),
    "ops": {"program"},
    "backend": {"ops", "program"},
    "session": {"backend", "ops", "program", "support"},
    "backend/cpu/isa": {"ops", "support"},
    "backend/cpu/isa/reference": {"backend/cpu/isa"},
    "backend/cpu/isa/portable": {"backend/cpu/isa"},
    "backend/cpu/isa/avx2": {"backend/cpu/isa"},
    "backend/cpu/isa/avx_vnni": {"backend/cpu/isa"},
    "backend/cpu/isa/avx512_vnni": {"backend/cpu/isa"},
    "backend/cpu/isa/amx_int8": {"backend/cpu/isa", "backend/cpu/isa/avx512_vnni"},
    "backend/cpu/ops": {"backend", "backend/cpu/isa", "ops", "program", "support"},
    "backend/cpu": {"backend", "backend/cpu/isa", "backend/cpu/ops", "ops", "program", "support"},
    "api": {"backend/cpu", "backend/cpu/isa", "session"},
    "tooling": {"backend/cpu/isa", "program", "support"},
}
PROGRAMS = {"fuzz", "python", "tests", "tools"}  # nothing includes them; they may include everything

FILES = sorted(p for p in RUNTIME.rglob("*") if p.suffix in {".h", ".cpp", ".inc"})


def folder_of(path: Path) -> str:
    return path.parent.relative_to(RUNTIME).as_posix()


def included(path: Path) -> list[str]:
    """The folders that a file includes, without its own."""
    folders = []
    for name in INCLUDE.findall(path.read_text()):
        if name.startswith("qgraph/") or name.endswith("program_generated.h"):
            continue
        target = next((root / name for root in (RUNTIME, path.parent) if (root / name).is_file()), None)
        assert target is not None, f"{path.relative_to(RUNTIME)} includes {name}, which is not there"
        if folder_of(target) != folder_of(path):
            folders.append(folder_of(target))
    return folders


@pytest.mark.parametrize("folder", sorted({folder_of(p) for p in FILES} - PROGRAMS))
def test_includes_follow_the_layers(folder: str) -> None:
    assert folder in LAYERS, f"runtime/{folder} is new: say in LAYERS what it may include"
    for path in FILES:
        if folder_of(path) != folder:
            continue
        wrong = set(included(path)) - LAYERS[folder]
        assert not wrong, f"{path.relative_to(RUNTIME)} includes {sorted(wrong)}, which stand above it"


def test_there_are_no_circles() -> None:
    above: dict[str, set[str]] = {}
    for path in FILES:
        above.setdefault(folder_of(path), set()).update(included(path))
    done: set[str] = set()

    def visit(folder: str, way: tuple[str, ...]) -> None:
        assert folder not in way, "a circle: " + " -> ".join((*way, folder))
        if folder not in done:
            for other in sorted(above.get(folder, ())):
                visit(other, (*way, folder))
            done.add(folder)

    for folder in sorted(above):
        visit(folder, ())
