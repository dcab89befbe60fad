"""``qgraph capture``."""

from __future__ import annotations

import click


@click.command("capture")
@click.argument("source")
@click.option("-o", "--output", required=True, help="ONNX file to write.")
def command(source: str, output: str) -> None:
    """Capture SOURCE in the float dialect.

    SOURCE is PACKAGE.MODULE:FACTORY, a function that returns (module, example inputs[, dynamic shapes]), or an ONNX
    file, which is checked and upgraded.
    """
    from qgraph import capture
    from qgraph.capture.onnx_file import REMARK
    from qgraph.ir import io

    model = capture.from_onnx(source) if source.endswith(".onnx") else capture.from_factory(source)
    io.save(model, output)
    inputs = ", ".join(f"{v.name} {v.dtype} {v.shape}" for v in model.graph.inputs)
    if remark := model.metadata_props.get(REMARK):
        click.echo(remark)
    click.echo(f"{output}: {len(model.graph)} nodes, {io.size_of(model) / 1e6:.2f} MB of weights, inputs {inputs}")
