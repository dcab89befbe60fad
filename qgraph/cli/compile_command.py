"""``qgraph compile``."""

from __future__ import annotations

import click


@click.command("compile")
@click.argument("model")
@click.option("-o", "--output", required=True, help="Program file (.qgp) to write.")
def command(model: str, output: str) -> None:
    """Compile MODEL (quantized, .onnx) to an integer program for the qgraph runtime."""
    from pathlib import Path

    from qgraph.analyze.cost import ops
    from qgraph.deploy.program import compile

    lowered = compile(model, output)
    counts = ", ".join(f"{n} {op.removeprefix('qgraph.integer.')}" for op, n in ops(lowered).items())
    click.echo(f"wrote {output}: {Path(output).stat().st_size / 1e6:.3f} MB, {counts}")
