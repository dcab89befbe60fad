"""``qgraph compile``."""

from __future__ import annotations

import click


@click.command("compile")
@click.argument("model")
@click.option("-o", "--output", required=True, help="Program file (.qgp) to write.")
@click.option(
    "--shape", "shapes", multiple=True, help="NAME=1,128: shape of an input for which sparse products are timed; free dims are 1."
)
@click.option("--threads", default=0, help="Threads with which sparse products are timed; 0: all cores.")
@click.option("--dense", is_flag=True, help="Time nothing and run all products dense.")
@click.option("--verbose", is_flag=True, help="Show the times of every sparse product.")
def command(model: str, output: str, shapes: tuple[str, ...], threads: int, dense: bool, verbose: bool) -> None:
    """Compile MODEL (quantized, .onnx) to an integer program for the qgraph runtime.

    Products of pruned weights are timed on this machine with and without their zeros, and run the quicker way.
    """
    from pathlib import Path

    from qgraph.analyze.cost import ops
    from qgraph.capture import read
    from qgraph.data import input_shapes
    from qgraph.deploy.program import compile
    from qgraph.deploy.sparse import Choice, summary

    loaded = read(model)
    chosen: list[Choice] = []
    lowered = compile(loaded, output, sparse=not dense, shapes=input_shapes(shapes), threads=threads, chosen=chosen)
    counts = ", ".join(f"{n} {op.removeprefix('qgraph.integer.')}" for op, n in ops(lowered).items())
    click.echo(f"wrote {output}: {Path(output).stat().st_size / 1e6:.3f} MB, {counts}")
    if chosen:
        click.echo(summary(chosen))
    for choice in chosen if verbose else []:
        click.echo(f"  {choice}")
