"""The README's console blocks, run from an installed wheel that has nothing beside it but what the package asks for."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qgraph import _runtime

ROOT = Path(__file__).resolve().parents[1]


def run(*words: str | Path, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path + os.environ["PATH"], "PYTHONPATH": ""}
    return subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def needed(names: set[str]) -> set[str]:
    """Distributions that are installed with ``names``."""
    found, todo = set[str](), {canonicalize_name(name) for name in names}
    while todo - found:
        name = (todo - found).pop()
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.add(canonicalize_name(requirement.name))
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and links to the packages that its metadata asks for.

    The wheel is made without compiling the runtime once more; the extension of this environment, built from the same sources, is
    put in its place.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    made = run(*pip, "wheel", ROOT, "--no-deps", "-w", folder, "-C", "wheel.cmake=false", cwd=folder)
    assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("*.whl")
    home = folder / "environment"
    assert run(sys.executable, "-m", "venv", "--without-pip", home, cwd=folder).returncode == 0
    done = run(*pip, "--python", home / "bin" / "python", "install", "--no-deps", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    shutil.copy(_runtime.__file__, site / "qgraph")
    own = importlib.metadata.PathDistribution(next(site.glob("qgraph-*.dist-info")))
    asked = [Requirement(text) for text in own.requires or []]
    for name in needed({r.name for r in asked if r.marker is None}):
        package = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(package.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    return home / "bin"


def test_nothing_but_what_the_wheel_asks_for_can_be_imported(installed: Path, tmp_path: Path) -> None:
    code = (
        "import qgraph, importlib.util as u; print(qgraph.__file__, *[u.find_spec(n) for n in ('sklearn', 'pytest', 'selenium')])"
    )
    done = run(installed / "python", "-c", code, cwd=tmp_path)
    assert done.stdout.split()[0].startswith(str(installed.parent)) and done.stdout.split()[1:] == ["None"] * 3, done.stderr


def test_the_console_blocks_run_after_an_installation_alone(installed: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 20
    for line in lines:
        done = run("bash", "-c", line, cwd=tmp_path, path=f"{installed}:")
        assert done.returncode == 0, (line, done.stderr)
        assert "warning" not in done.stderr.lower(), (line, done.stderr)
