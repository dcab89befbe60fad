"""``python -m qgraph.tools.corpus``: all models, or those that globs name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from qgraph.tools.bench.table import machine
from qgraph.tools.corpus import peers
from qgraph.tools.corpus.models import Entry, select
from qgraph.tools.corpus.page import page
from qgraph.tools.corpus.walk import RESULT

from qgraph.errors import QGraphError

SECONDS = 1800
"""Longest walk of a model."""


def walk(entry: Entry, out: Path, seconds: int) -> dict[str, Any]:
    """Walk one model in a process of its own; its result also when the process was stopped or died."""
    command = [sys.executable, "-m", "qgraph.tools.corpus.walk", entry.name, str(out)]
    ended = ""
    try:
        done = subprocess.run(command, timeout=seconds, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if done.returncode:
            ended = f"the process ended with code {done.returncode}"
    except subprocess.TimeoutExpired:
        ended = f"stopped after {seconds} s"
    result = finished(entry, out) or {"name": entry.name, "steps": {}, "bytes": {}, "quality": {}, "running": "start"}
    if ended:
        result["steps"][result["running"]] = {"fault": ended}
        keep(result, out)
    return result


def keep(result: dict[str, Any], out: Path) -> None:
    """Write ``result`` where ``finished`` finds it."""
    folder = out / result["name"]
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "result.part"
    part.write_text(json.dumps(result, indent=1))
    part.replace(folder / RESULT)


def clock(result: dict[str, Any], out: Path) -> None:
    """Time the forms of a model and add the times to its result."""
    try:
        files = {form: Path(file) for form, file in result["files"].items()}
        result["times"] = peers.times(files, out / result["name"] / "eval" / "0.npz")
    except QGraphError as problem:
        result["steps"]["times"] = {"fault": str(problem)}
    keep(result, out)


def finished(entry: Entry, out: Path) -> dict[str, Any] | None:
    """The result that an earlier run left."""
    file = out / entry.name / RESULT
    return json.loads(file.read_text()) if file.exists() else None


@click.command()
@click.argument("names", nargs=-1)
@click.option("--out", default="build/corpus", show_default=True, help="Folder of the results; it keeps finished models.")
@click.option("--fresh", is_flag=True, help="Walk finished models again.")
@click.option("--table", help="Write the table of all results in the folder to this Markdown file.")
@click.option("--seconds", default=SECONDS, show_default=True, help="Longest walk of a model.")
@click.option("--times/--no-times", default=True, help="Time all forms after the walks, in processes that alternate.")
@click.option("--list", "listed", is_flag=True, help="Name the models and stop.")
def main(names: tuple[str, ...], out: str, fresh: bool, table: str | None, seconds: int, times: bool, listed: bool) -> None:
    """Take the models that NAMES (globs) name through every command; all without NAMES."""
    chosen = select(names)
    if listed:
        for entry in chosen:
            print(f"{entry.name:14} {entry.registry:5} {entry.package} {entry.version}: {entry.about}")
        return
    folder = Path(out).absolute()
    for number, entry in enumerate(chosen, 1):
        if not fresh and (finished(entry, folder) or {}).get("done"):
            print(f"[{number}/{len(chosen)}] {entry.name}: done before", flush=True)
            continue
        print(f"[{number}/{len(chosen)}] {entry.name}: {entry.about}", flush=True)
        start = time.perf_counter()
        wrong = [step for step, row in walk(entry, folder, seconds)["steps"].items() if "ok" not in row]
        print(f"  {time.perf_counter() - start:.0f} s; {', '.join(wrong) or 'no step'} failed or refused", flush=True)
    for entry in chosen if times else ():
        result = finished(entry, folder)
        if result and "files" in result and "times" not in result:
            clock(result, folder)
            shown = ", ".join(f"{form} {row['ms']:.2f} ms" for form, row in result.get("times", {}).items())
            print(f"  {entry.name:12} {shown or result['steps']['times']['fault']}", flush=True)
    if table:
        results = {entry.name: result for entry in chosen if (result := finished(entry, folder))}
        Path(table).write_text(page(chosen, results, machine()))


if __name__ == "__main__":
    main()
