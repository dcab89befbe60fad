"""Show that two checkouts make the same: ``python -m qgraph.tools.same_outputs OLD NEW``.

Both sides do the jobs of ``artifacts`` and every file is compared: programs byte for byte, ONNX files by their protobuf content
whatever the order of their weights, outputs of ONNX Runtime and of the runtime bit for bit. What is not compared is said in
``artifacts``.
"""

from __future__ import annotations

import fnmatch
import operator
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from google.protobuf.message import Message
from qgraph.tools import artifacts
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from qgraph.ir.io import drop_known_types

RENAMED: dict[str, str | None] = {"qgraph.range": None, "qgraph.minmax": None, "qgraph.smooth": None}
"""Keys of metadata in ONNX files: old name -> new name, None where it is gone. They make no difference."""
UNORDERED = {"metadata_props": "key", "initializer": "name", "value_info": "name"}
"""Fields of ONNX files whose order means nothing and may change from run to run, and what they are sorted by."""
PARTS = ("tensors", "ops", "inputs", "outputs", "metadata")
"""What ``read_program`` gives, in order."""
SHOWN = 160
"""Characters of a difference that are shown."""


def difference_of_programs(old: Path, new: Path) -> str:
    """Which parts of two programs of other bytes differ, and the first difference; says so where only the layout does."""
    from qgraph import _runtime

    try:
        sides = [dict(zip(PARTS, _runtime.read_program(str(file)), strict=True)) for file in (old, new)]
    except _runtime.RuntimeFailure as error:
        return f"other bytes, and cannot be read: {error}"
    for side in sides:
        side["attributes"] = [(op[1], *op[4:]) for op in side["ops"]]
        side["ops"] = [(op[1], op[0], *op[2:4]) for op in side["ops"]]
    first, second = sides
    kinds = [kind for kind in first if repr(first[kind]) != repr(second[kind])]
    if not kinds:
        return "other bytes, the same content"
    return f"{', '.join(kinds)}: first {_first_of(kinds[0], first[kinds[0]], second[kinds[0]])}"


def _first_of(kind: str, old: Sequence[Any], new: Sequence[Any]) -> str:
    if len(old) != len(new):
        return f"{len(old)} {kind} and {len(new)}"
    number, a, b = next((i, a, b) for i, (a, b) in enumerate(zip(old, new, strict=True)) if repr(a) != repr(b))
    if not isinstance(a, tuple):
        return f"{kind}[{number}]: {a!r}, {b!r}"
    x, y = next((x, y) for x, y in zip(a, b, strict=True) if repr(x) != repr(y))
    return f"{kind}[{number}] {a[0]!r}: {_short(x, y)}"


def _short(a: Any, b: Any) -> str:
    """Two values that differ; of long ones the place where they do."""
    if isinstance(a, bytes) and isinstance(b, bytes):
        if len(a) != len(b):
            return f"{len(a)} bytes, {len(b)} bytes"
        places = np.flatnonzero(np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8))
        return f"{len(places)} of {len(a)} bytes, first {places[0]}"
    x, y = repr(a), repr(b)
    same = next((i for i, (p, q) in enumerate(zip(x, y, strict=False)) if p != q), 0)
    start = max(0, same - 20) if max(len(x), len(y)) > SHOWN // 2 else 0
    return f"{x[start : start + SHOWN // 2]}, {y[start : start + SHOWN // 2]}"


def difference_of_models(old: Path, new: Path) -> str | None:
    """The first difference between two ONNX files, or None where only UNORDERED and RENAMED things are others."""
    first, second = (drop_known_types(onnx.load(file, load_external_data=False)) for file in (old, new))
    _put_in_order(first)
    _put_in_order(second)
    return _difference(first, second, "model")


def _put_in_order(message: Message) -> None:
    """Give the metadata inside of ``message`` its new keys, and sort by name what has no order: metadata, weights, types."""
    for field, value in message.ListFields():
        if field.name == "metadata_props":
            for entry in [e for e in value if e.key in RENAMED]:
                if (key := RENAMED[entry.key]) is None:
                    value.remove(entry)
                else:
                    entry.key = key
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                _put_in_order(part)
        if field.name in UNORDERED:
            value.sort(key=operator.attrgetter(UNORDERED[field.name]))


def _difference(old: Any, new: Any, place: str) -> str | None:
    """The first field in which two protobuf messages differ, by its path."""
    if not isinstance(old, Message):
        return None if repr(old) == repr(new) else f"{place}: {_short(old, new)}"
    if old.SerializeToString(deterministic=True) == new.SerializeToString(deterministic=True):
        return None
    for field in old.DESCRIPTOR.fields:
        a, b = getattr(old, field.name), getattr(new, field.name)
        if not field.is_repeated:
            found = _difference(a, b, f"{place}.{field.name}")
        elif len(a) != len(b):
            found = f"{place}: {len(a)} {field.name} and {len(b)}"
        else:
            parts = (_difference(x, y, f"{place}.{field.name}[{_name(x, i)}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
            found = next((part for part in parts if part), None)
        if found:
            return found
    return f"{place}: a field is set on one side only"


def _name(item: Any, number: int) -> str:
    return str(getattr(item, "name", "") or getattr(item, "key", "") or number)


def difference_of_arrays(old: Path, new: Path) -> str | None:
    """The first array of two ``.npz`` files that differs in type, shape or bytes."""
    with np.load(old) as first, np.load(new) as second:
        if first.files != second.files:
            return f"arrays {first.files}, {second.files}"
        for name in first.files:
            a, b = first[name], second[name]
            if (a.dtype, a.shape) != (b.dtype, b.shape):
                return f"{name}: {a.dtype} {list(a.shape)}, {b.dtype} {list(b.shape)}"
            raw = [np.ascontiguousarray(x).reshape(-1).view(np.uint8).reshape(a.size, -1) for x in (a, b)]
            other = np.flatnonzero((raw[0] != raw[1]).any(1))
            if len(other):
                place = [int(i) for i in np.unravel_index(other[0], a.shape)]
                return f"{name}: {len(other)} of {a.size} values, first {place}: {a[*place]!s}, {b[*place]!s}"
    return None


DIFFERENCES: dict[str, Callable[[Path, Path], str | None]] = {
    ".qgp": difference_of_programs,
    ".onnx": difference_of_models,
    ".npz": difference_of_arrays,
}


def difference(old: Path, new: Path) -> str | None:
    """How two artifacts differ, or None where they are the same."""
    for file, side in ((old, "old"), (new, "new")):
        if not file.is_file():
            return f"the {side} side has none"
    if old.read_bytes() == new.read_bytes():
        return None
    found = DIFFERENCES.get(old.suffix)
    return found(old, new) if found is not None else "other bytes"


def files(folder: Path, names: Sequence[str]) -> set[str]:
    """Paths in ``folder`` of the artifacts of the jobs ``names``."""
    found = (file for name in names for file in (folder / name).rglob("*") if file.is_file() and file.suffix != ".txt")
    return {file.relative_to(folder).as_posix() for file in found}


def compare(old: Path, new: Path, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every artifact of the jobs ``names``, and how it differs; a job without artifacts is a difference."""
    for name in names:
        paths = sorted(files(old, [name]) | files(new, [name]))
        if not paths:
            yield name, "neither side has an artifact"
        for path in paths:
            yield path, difference(old / path, new / path)


def make(pythons: dict[Path, str], names: Sequence[str], progress: Progress) -> list[str]:
    """Do the jobs ``names`` in every folder with its Python, as many at a time as there are cores; returns what failed."""
    work: queue.Queue[tuple[Path, str]] = queue.Queue()
    for name in names:
        for folder in pythons:
            work.put((folder, name))
    task = progress.add_task("make", total=work.qsize())
    failed: list[str] = []

    def serve() -> None:
        workers: dict[Path, subprocess.Popen[str]] = {}
        while True:
            try:
                folder, name = work.get_nowait()
            except queue.Empty:
                break
            if folder not in workers:
                workers[folder] = start(pythons[folder], folder)
            answer = ask(workers[folder], name)
            if not answer.startswith("done"):
                failed.append(f"{folder.name}: {answer}")
                if workers[folder].poll() is not None:
                    del workers[folder]
            progress.update(task, advance=1, description=f"{folder.name} {name}")
        for worker in workers.values():
            worker.communicate()

    threads = [threading.Thread(target=serve) for _ in range(min(os.cpu_count() or 1, work.qsize()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def start(python: str, folder: Path) -> subprocess.Popen[str]:
    """A process of the interpreter ``python`` that does jobs in ``folder``; what it complains of goes to ``stderr.txt`` there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stderr.txt").open("a") as complaints:
        return subprocess.Popen(
            [python, "-P", artifacts.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "QGRAPH_THREADS": "1"},
        )


def ask(worker: subprocess.Popen[str], name: str) -> str:
    """Have a job done; returns the answer."""
    assert worker.stdin is not None and worker.stdout is not None
    try:
        print(name, file=worker.stdin, flush=True)
        answer = worker.stdout.readline().strip()
    except BrokenPipeError:
        answer = ""
    return answer or f"failed {name}: the process ended with {worker.wait()}"


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--only", multiple=True, metavar="NAME", help="Do the jobs whose name matches a glob, such as 'recipe-*'.")
@click.option("--out", help="Folder that keeps what both sides made, under old and new.")
def main(old: str, new: str, only: tuple[str, ...], out: str | None) -> None:
    """Compare what two checkouts make. OLD and NEW: a checkout's Python, or a folder that --out kept of one side."""
    every = artifacts.jobs()
    if useless := [glob for glob in only if not fnmatch.filter(every, glob)]:
        raise click.UsageError(f"--only {useless[0]} matches none of: {', '.join(every)}")
    names = [name for name in every if not only or any(fnmatch.fnmatchcase(name, glob) for glob in only)]
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(out or temporary).absolute()
        pythons = {base / side: python for side, python in (("old", old), ("new", new)) if not Path(python).is_dir()}
        first, second = (Path(given) if Path(given).is_dir() else base / side for side, given in (("old", old), ("new", new)))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            failed = make(pythons, names, progress) if pythons else []
            rows = list(progress.track(compare(first, second, names), total=None, description="compare"))
    sys.exit(show(rows, failed))


def show(rows: Sequence[tuple[str, str | None]], failed: Sequence[str]) -> int:
    """Print the table; returns the exit code, 1 where something differs or failed."""
    console, table = Console(), Table()
    for heading in ("artifact", "", "first difference"):
        table.add_column(heading, overflow="fold")
    for path, found in rows:
        table.add_row(path, "same" if found is None else "differs", Text(found or ""))
    console.print(table)
    for line in failed:
        click.echo(line)
    different = sum(found is not None for _, found in rows)
    click.echo(f"{len(rows)} artifacts, {different} differ, {len(failed)} jobs failed")
    return 1 if different or failed else 0


if __name__ == "__main__":
    main()
