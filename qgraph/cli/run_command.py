"""``qgraph run``."""

from __future__ import annotations

import click


@click.command("run")
@click.argument("model")
@click.option("--inputs", required=True, help="An .npz with one array an input.")
@click.option("-o", "--output", required=True, help="An .npz to write, one array an output.")
@click.option("--threads", default=0, help="Threads; 0 takes all cores.")
@click.option(
    "--isa", default="", help="Instruction set of a .qgp run: reference, portable, avx2, avx_vnni, avx512_vnni, amx_int8."
)
def command(model: str, inputs: str, output: str, threads: int, isa: str) -> None:
    """Run MODEL (.onnx in ONNX Runtime, .qgp in the qgraph runtime) on one batch."""
    from pathlib import Path

    import numpy as np

    from qgraph.data import Data, load_npz
    from qgraph.ir import io

    Data(inputs)
    batch = load_npz(Path(inputs))
    if model.endswith(".qgp"):
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
