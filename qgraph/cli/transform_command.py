"""``qgraph transform``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from qgraph.workflow import TransformReport


@click.command("transform")
@click.argument("model")
@click.option("-o", "--output", required=True, help="ONNX file to write.")
@click.option("--passes", help="Pipeline, such as 'canonicalize,quantize{weights=int4}'.")
@click.option("--preset", help="int8, int8-dynamic or w4a8.")
@click.option("--data", help="Calibration data: an .npz or .npy, a folder of them, or MODULE:FACTORY yielding batches.")
@click.option("--report", help="Write all details as JSON to this file.")
@click.option("--min-sqnr", default=10.0, show_default=True, help="Least SQNR (dB) of the outputs; needs --data.")
@click.option("--force", is_flag=True, help="Write the model even below --min-sqnr.")
@click.option("--seed", default=0, show_default=True, help="Seed of every random choice.")
@click.option("--fix", multiple=True, help="NAME=VALUE: give an input a value, a dim a size, or an input its dims (x=1,576).")
def command(
    model: str,
    output: str,
    passes: str | None,
    preset: str | None,
    data: str | None,
    report: str | None,
    min_sqnr: float,
    force: bool,
    seed: int,
    fix: tuple[str, ...],
) -> None:
    """Run passes on MODEL (an ONNX file) and write the result."""
    import json

    from rich.console import Console

    from qgraph.capture.fix import parse_fixed
    from qgraph.capture.onnx_file import REMARK, read
    from qgraph.data import Data
    from qgraph.ir import io
    from qgraph.workflow import pipeline_of, transform

    pipeline = pipeline_of(passes, preset)
    source = Data(data) if data is not None else None
    graph = read(model, fix=parse_fixed(fix))
    if remark := graph.metadata_props.get(REMARK):
        click.echo(remark)
    console = Console(stderr=True)
    with console.status("starting") as status:
        result = transform(
            graph,
            pipeline,
            data=source,
            min_sqnr=min_sqnr,
            force=force,
            seed=seed,
            record=report is not None,
            progress=lambda text, done, total: status.update(f"{text} ({done}/{total})" if total else text),
        )
    io.save(graph, output)
    if report is not None:
        with io.atomic_path(report) as temporary:
            temporary.write_text(json.dumps(result.json(), indent=1, default=str))
    show(result, output)


def show(result: TransformReport, output: str) -> None:
    """Print the report that ends a transform."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for one in result.passes:
        click.echo(f"  {one}")
        for kind in ("layers", "sparsity"):
            rows = list(one.details.get(kind, {}).items())
            for name, text in rows[:6]:
                click.echo(f"    {name}: {text}")
            if len(rows) > 6:
                click.echo(f"    and {len(rows) - 6} more (see --report)")
    bits: dict[str, list[float]] = {}
    for layer in result.layers:
        total = bits.setdefault(f"{layer.bits:g} bits", [0, 0])
        total[0] += 1
        total[1] += layer.bytes
    table = Table("weights", "tensors", "MB", title=None)
    for width, (count, size) in sorted(bits.items()):
        table.add_row(width, f"{count:g}", f"{size / 1e6:.3f}")
    console.print(table)
    before, after = result.bytes_before, result.bytes_after
    click.echo(f"size: {before / 1e6:.3f} MB -> {after / 1e6:.3f} MB ({after / max(1, before):.3f} x)")
    if result.kept_float:
        shown = list(result.kept_float.items())[:8]
        click.echo(f"stayed float: {len(result.kept_float)} nodes")
        for name, why in shown:
            click.echo(f"  {name}: {why}")
        if len(result.kept_float) > len(shown):
            click.echo(f"  and {len(result.kept_float) - len(shown)} more (see --report)")
    if result.output_sqnr:
        click.echo("output SQNR: " + ", ".join(f"{name} {db:.1f} dB" for name, db in result.output_sqnr.items()))
        click.echo("worst values: " + ", ".join(f"{name} {db:.1f} dB" for name, db in result.worst))
    else:
        click.echo("output SQNR: not measured (give --data)")
    click.echo(f"wrote {output}")
