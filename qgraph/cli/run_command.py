"""``qgraph run``."""

from __future__ import annotations

import click


@click.command("run")
@click.argument("model")
@click.option(
    "--inputs",
    "--data",
    help="What to run on: .npz, .npy, a folder of them, MODULE:FACTORY (the first batch); random without it.",
)
@click.option("--shape", "shapes", multiple=True, help="NAME=1,128: shape of an input that is made.")
@click.option("-o", "--output", required=True, help="An .npz to write, one array an output.")
@click.option("--threads", default=0, help="Threads; 0 takes all cores.")
@click.option(
    "--isa", default="", help="Instruction set of a .qgp run: reference, portable, avx2, avx_vnni, avx512_vnni, amx_int8."
)
def command(model: str, inputs: str | None, shapes: tuple[str, ...], output: str, threads: int, isa: str) -> None:
    """Run MODEL (.onnx in ONNX Runtime, .qgp in the qgraph runtime) on one batch."""
    import numpy as np

    from qgraph.analyze.inputs import input_names, made_inputs, told
    from qgraph.data import Data, first_batch, input_shapes
    from qgraph.ir import io

    if inputs is not None:
        batch = first_batch(Data(inputs), input_names(model))
    else:
        batch = made_inputs(model, input_shapes(shapes))
        click.echo(told(batch))
    if io.is_program(model):
        from qgraph.deploy.session import Session

        results = Session(model, threads=threads, isa=isa).run(batch)
    else:
        from qgraph.execute.onnxruntime import check_batch, session

        graph = io.load(model)
        names = [v.name or "" for v in graph.graph.outputs]
        feed = check_batch(graph, batch, 1)
        results = dict(zip(names, session(graph, threads=threads).run(names, feed), strict=True))
    with io.atomic_path(output) as temporary, temporary.open("wb") as file:
        np.savez(file, **results)  # type: ignore[arg-type]
    for name, array in results.items():
        click.echo(f"{name}: {array.dtype} {list(array.shape)}")
