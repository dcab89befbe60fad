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
@click.option("--data", help="Inputs: .npz, .npy, a folder of them, MODULE:FACTORY (the first batch); random without it.")
@click.option("--shape", "shapes", multiple=True, help="NAME=1,128: shape of an input when no data is given.")
@click.option("--threads", default=1, show_default=True, help="Threads of every engine.")
@click.option("--rounds", default=7, show_default=True, help="Processes an engine; they alternate.")
@click.option("--isa", default="", help="Instruction set of .qgp programs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--ops", "per_op", is_flag=True, help="Show where the time goes, op by op, beside what the machine can do (.qgp).")
@click.option("--cold", is_flag=True, help="Push the weights out of the caches in front of every call.")
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
    cold: bool,
) -> None:
    """Time MODEL; with --against each engine runs in processes of its own, alternating, and ratios are printed."""
    import dataclasses
    import json

    from qgraph import _runtime
    from qgraph.analyze.inputs import told
    from qgraph.errors import QGraphError
    from qgraph.tools.bench.engines import Job, inputs_of, measure, profile

    jobs = [Job(model, data, shapes, threads, isa, cold)]
    for other in against:
        if other == "onnxruntime":
            if reference is None:
                raise QGraphError("--against onnxruntime needs the float model: --float MODEL.onnx")
            other = reference
        jobs.append(Job(other, data, shapes, threads, isa, cold))
    if data is None:
        click.echo(told(inputs_of(jobs[0])), err=True)
    results = measure(jobs, rounds)
    ops = profile(jobs[0]) if per_op else []
    peak = _runtime.measure_peak(threads, isa) if per_op else (1.0, 1.0)
    if as_json:
        made: dict[str, object] = {"engines": [r.row() for r in results]}
        if per_op:
            made["peak"] = {"macs_per_second": peak[0], "bytes_per_second": peak[1]}
            made["ops"] = [dataclasses.asdict(row) | {"roofline": row.roofline(*peak)} for row in ops]
        click.echo(json.dumps(made, indent=1))
        return
    base = results[0]
    click.echo(
        f"{base.name}: median {base.median * 1e3:.3f} ms ({base.low * 1e3:.3f} to {base.high * 1e3:.3f}), {threads} threads"
    )
    for other_result in results[1:]:
        middle, low, high = base.speedup(other_result)
        click.echo(
            f"{other_result.name}: median {other_result.median * 1e3:.3f} ms; {base.name} is {middle:.2f} x as fast "
            f"({low:.2f} to {high:.2f})"
        )
    if per_op:
        click.echo(f"machine: {peak[0] / 1e9:.0f} GMAC/s in cache, {peak[1] / 1e9:.1f} GB/s from memory, {threads} threads")
        click.echo("        ms  share   GMAC/s    GB/s  roofline  op")
        total = sum(row.seconds for row in ops)
        for row in ops[:40]:
            click.echo(
                f"  {row.seconds * 1e3:8.3f} {row.seconds / total:6.1%} {row.macs / row.seconds / 1e9:8.1f} "
                f"{row.bytes / row.seconds / 1e9:7.1f} {row.roofline(*peak):9.0%}  {row.op:16s} {row.name}"
            )
