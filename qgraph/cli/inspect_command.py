"""``qgraph inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import onnx_ir as ir


@click.command("inspect")
@click.argument("model")
@click.option("--layers", "every", is_flag=True, help="List every weight, not only the largest.")
@click.option("--groups", is_flag=True, help="List the channels that can be pruned together, and why others cannot.")
@click.option("--tree", is_flag=True, help="Draw the module hierarchy with bits, bytes and zeros.")
@click.option("--against", help="With --tree: the float model that SQNR is measured against; needs --data.")
@click.option("--data", help="With --tree: an .npz, a folder of them, or MODULE:FACTORY (the first batch).")
@click.option("--fix", multiple=True, help="NAME=VALUE: give an input a value, a dim a size, or an input its dims (x=1,576).")
def command(
    model: str, every: bool, groups: bool, tree: bool, against: str | None, data: str | None, fix: tuple[str, ...]
) -> None:
    """Summarise MODEL (.onnx or .qgp): dialect, inputs, ops, bits, bytes, MACs."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from qgraph.ir import io

    if tree:
        show_tree(model, against, data)
        return
    if io.is_program(model):
        from qgraph.deploy.session import Session

        program = Session(model, threads=1)
        click.echo(f"{model}: integer program, {Path(model).stat().st_size / 1e6:.3f} MB, isa {program.isa}")
        for name, (dtype, shape) in program.inputs.items():
            click.echo(f"  input {name}: {dtype} {shape}")
        click.echo(f"  outputs: {', '.join(program.outputs)}")
        return
    from qgraph.analyze import cost
    from qgraph.ir.dialects import dialect_of
    from qgraph.ir.faults import blamed_on

    file, graph = brought_in(model, fix)
    click.echo(f"{model}: {dialect_of(graph)} dialect, {file}")
    for value in graph.graph.inputs:
        click.echo(f"  input {value.name}: {value.dtype} {value.shape}")
    click.echo("  ops: " + ", ".join(f"{n} {op}" for op, n in cost.ops(graph).items()))
    with blamed_on(f"cannot inspect {model}", lambda: io.load(model)):
        macs, layers = cost.macs(graph), sorted(cost.layers(graph), key=lambda layer: -layer.bytes)
    if macs:
        click.echo(f"  MACs at free dims of 1: {macs / 1e6:.2f} M")
    total = sum(layer.bytes for layer in layers)
    click.echo(f"  weights: {total / 1e6:.3f} MB in {len(layers)} tensors")
    if groups:
        show_groups(graph)
        return
    table = Table("weight", "op", "bits", "elements", "kB", "share")
    for layer in layers if every else layers[:12]:
        table.add_row(
            layer.name,
            layer.op,
            f"{layer.bits:g}",
            str(layer.elements),
            f"{layer.bytes / 1e3:.1f}",
            f"{layer.bytes / max(1, total):.1%}",
        )
    Console().print(table)


def brought_in(path: str, fix: tuple[str, ...]) -> tuple[str, ir.Model]:
    """What the file at ``path`` is, and its graph as every other command reads it; as it stands where they refuse it."""
    from qgraph.capture import read
    from qgraph.capture.fix import parse_fixed
    from qgraph.errors import QGraphError
    from qgraph.ir import io
    from qgraph.ir.dialects import opset

    raw = io.load(path)
    what = f"opset {opset(raw)}, {len(raw.graph)} nodes"
    try:
        return what, read(path, fix=parse_fixed(fix))
    except QGraphError as error:
        if fix:
            raise
        return f"{what}\n  other commands refuse it: {error}", raw


def show_groups(model: ir.Model) -> None:
    """Print the groups of coupled axes."""
    from rich.console import Console
    from rich.table import Table

    from qgraph.errors import QGraphError
    from qgraph.ir.axes import AxisGraph
    from qgraph.passes.prune.remove import untie_vectors
    from qgraph.passes.prune.shape_values import ShapeValues
    from qgraph.passes.prune.trial import Trial
    from qgraph.pipeline import PassContext, Pipeline

    Pipeline("canonicalize").run(model)
    untie_vectors(model)
    table = Table("group", "units", "free", "weights", "why the rest stays")
    try:  # as pruning does: lengths that the file leaves open are known from a run
        shapes = Trial.of(model, PassContext(), "inspect").shapes
    except QGraphError:
        shapes = {}
    for group in AxisGraph(model, shapes, ShapeValues(model, shapes).fixed() if shapes else None).groups():
        names = sorted({f"{value.name}[{axis}]" for value, axis in group.weights()})
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        table.add_row("heads" if group.heads else "channels", str(group.units), str(int(group.free.sum())), shown, group.why)
    Console().print(table)


def show_tree(path: str, against: str | None, data: str | None) -> None:
    """Print the modules of a file."""
    import itertools

    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from qgraph.analyze.inputs import input_names
    from qgraph.analyze.metrics import AnalyzedModel
    from qgraph.data import Batches, Data
    from qgraph.errors import QGraphError

    if (against is None) != (data is None):
        raise QGraphError("SQNR needs both --against FLOAT.onnx and --data")
    analyzed = AnalyzedModel(path)
    if against is not None and data is not None:
        analyzed.against(against, itertools.islice(Batches(Data(data), input_names(path)), 1))
    sums = analyzed.modules()
    branches: dict[str, Tree] = {}

    def line(name: str, scope: str) -> Text:
        total = sums[scope]
        parts = [f"{total.bits:g} bits, {total.bytes / 1e3:.1f} kB" if total.bits is not None else ""]
        parts.append(f"{total.sparsity:.0%} zeros" if total.sparsity and total.sparsity >= 0.05 else "")
        parts.append(f"{total.sqnr:.1f} dB" if total.sqnr is not None else "")
        return Text.assemble((name, "bold"), "  ", ", ".join(p for p in parts if p))

    branches[""] = Tree(line(analyzed.path.name, ""))
    for scope in sorted(sums, key=natural):
        if scope:
            parent, _, name = scope.rpartition(".")
            branches[scope] = branches[parent].add(line(name, scope))
    Console().print(branches[""])


def natural(scope: str) -> list[tuple[int, str]]:
    """Sorts layer.2 in front of layer.10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in scope.split(".")]
