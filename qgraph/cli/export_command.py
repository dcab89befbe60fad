"""``qgraph export``."""

from __future__ import annotations

import click


@click.command("export")
@click.argument("model")
@click.option("-o", "--output", required=True, help="ONNX file to write.")
def command(model: str, output: str) -> None:
    """Write MODEL in the form that ONNX Runtime executes fastest; it is checked and loaded once."""
    from qgraph.deploy.onnxruntime import export
    from qgraph.ir import io

    result = export(io.load(model), output)
    click.echo(f"wrote {output}: {len(result.graph)} nodes, {io.size_of(result) / 1e6:.3f} MB of tensors, loads in ONNX Runtime")
