"""``qgraph bench``."""

from __future__ import annotations

import click


@click.command("bench")
@click.argument("model")
@click.option(
    "--against",
    multiple=True,
    help="Other files or engines: an .onnx, a .qgp, openvino:FILE.onnx, or 'onnxruntime' for the model given by --float.",
)
@click.option("--float", "reference", help="The float ONNX file that 'onnxruntime' runs.")
@click.option("--data", help="Inputs: an .npz or MODULE:FACTORY (the first batch); random without it.")
@click.option("--shape", "shapes", multiple=True, help="NAME=1,128: shape of an input when no data is given.")
@click.option("--threads", default=1, show_default=True, help="Threads of every engine.")
@click.option("--rounds", default=7, show_default=True, help="Processes an engine; they alternate.")
@click.option("--isa", default="", help="Instruction set of .qgp programs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--ops", "per_op", is_flag=True, help="Show where the time goes, op by op (.qgp).")
def command(
    model: str,
    against: tuple[str, ...],
    reference: str | None,
    data: str | None,
    shapes: tuple[str, ...],
    threads: int,
    rounds: int,
    isa: str,
    as_json: bool,
    per_op: bool,
) -> None:
    """Time MODEL; with --against each engine runs in processes of its own, alternating, and ratios are printed."""
    import json

    from qgraph.errors import QGraphError
    from qgraph.tools.bench.engines import Job, measure, profile

    jobs = [Job(model, data, shapes, threads, isa)]
    for other in against:
        if other == "onnxruntime":
            if reference is None:
                raise QGraphError("--against onnxruntime needs the float model: --float MODEL.onnx")
            other = reference
        jobs.append(Job(other, data, shapes, threads, isa))
    results = measure(jobs, rounds)
    if as_json:
        click.echo(json.dumps([r.row() for r in results], indent=1))
    else:
        base = results[0]
        click.echo(
            f"{base.name}: median {base.median * 1e3:.3f} ms ({base.low * 1e3:.3f} to {base.high * 1e3:.3f}), {threads} threads"
        )
        for other_result in results[1:]:
            ratios = sorted(b / a for a, b in zip(base.times, other_result.times, strict=True))
            middle = ratios[len(ratios) // 2]
            click.echo(
                f"{other_result.name}: median {other_result.median * 1e3:.3f} ms; {base.name} is {middle:.2f} x as fast "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    if per_op:
        for op, name, seconds in profile(jobs[0])[:40]:
            click.echo(f"  {seconds * 1e3:8.3f} ms  {op:16s} {name}")
