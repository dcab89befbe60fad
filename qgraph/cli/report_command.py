"""``qgraph report``."""

from __future__ import annotations

import click


@click.command("report")
@click.argument("paths", nargs=-1, required=True)
@click.option("-o", "--output", required=True, help="HTML file to write.")
@click.option(
    "--data",
    help="Compare with the first file on this (as --data of compare), else random inputs; accuracy where it has 'label'.",
)
@click.option("--batches", type=click.IntRange(1), default=2, show_default=True, help="Batches of the data that are compared.")
@click.option("--shape", "shapes", multiple=True, help="NAME=1,128: shape of an input for timing when no data is given.")
@click.option("--threads", default=1, show_default=True, help="Threads of every engine that is timed.")
@click.option(
    "--rounds", type=click.IntRange(0), default=3, show_default=True, help="Processes an engine for timing; 0: time nothing."
)
def command(
    paths: tuple[str, ...], output: str, data: str | None, batches: int, shapes: tuple[str, ...], threads: int, rounds: int
) -> None:
    """Write one HTML file about models (.onnx, .qgp; the first is the reference) and folders of 'qgraph train'."""
    from pathlib import Path

    from rich.console import Console

    from qgraph.analyze.inputs import batches_for
    from qgraph.ir.io import atomic_path
    from qgraph.tools.viewer.report import make

    given = batches_for(paths, data, batches)
    with Console(stderr=True).status("reading") as status:
        text = make(paths, given, source=data, shapes=shapes, threads=threads, rounds=rounds, progress=status.update)
    with atomic_path(output) as temporary:
        temporary.write_text(text)
    click.echo(f"wrote {output}: {Path(output).stat().st_size / 1e6:.2f} MB")
