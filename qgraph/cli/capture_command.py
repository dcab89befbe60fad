"""``qgraph capture``."""

from __future__ import annotations

import click


@click.command("capture")
@click.argument("source")
@click.option("-o", "--output", required=True, help="ONNX file to write.")
@click.option("--fix", multiple=True, help="NAME=VALUE: give an input a value, a dim a size, or an input its dims (x=1,576).")
def command(source: str, output: str, fix: tuple[str, ...]) -> None:
    """Capture SOURCE in the float dialect.

    SOURCE is PACKAGE.MODULE:FACTORY, a function that returns (module, example inputs[, dynamic shapes]), inputs as a
    tuple or as a dict of keyword inputs, or an ONNX file, which is checked and upgraded; an If whose condition is known,
    perhaps by --fix, becomes the branch that it takes.
    """
    from qgraph import capture
    from qgraph.capture.fix import parse_fixed
    from qgraph.capture.onnx_file import REMARK
    from qgraph.errors import QGraphError
    from qgraph.ir import io

    if fix and not source.endswith(".onnx"):
        raise QGraphError("--fix is for ONNX files; let the factory return the module and the shapes that you want")
    model = capture.from_onnx(source, fix=parse_fixed(fix)) if source.endswith(".onnx") else capture.from_factory(source)
    io.save(model, output)
    inputs = ", ".join(f"{v.name} {v.dtype} {v.shape}" for v in model.graph.inputs)
    if remark := model.metadata_props.get(REMARK):
        click.echo(remark)
    click.echo(f"{output}: {len(model.graph)} nodes, {io.size_of(model) / 1e6:.2f} MB of weights, inputs {inputs}")
