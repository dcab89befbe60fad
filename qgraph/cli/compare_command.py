"""``qgraph compare``."""

from __future__ import annotations

import click


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--data", help="An .npz or .npy, a folder of them, or MODULE:FACTORY yielding batches; random without it.")
@click.option("--threshold", default=20.0, show_default=True, help="SQNR (dB) below which a value has diverged.")
@click.option("--outputs-only", is_flag=True, help="Do not look at the values inside.")
@click.option("--all", "everything", is_flag=True, help="Show every value, not only the worst.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(a: str, b: str, data: str | None, threshold: float, outputs_only: bool, everything: bool, as_json: bool) -> None:
    """Show how B differs from A (.onnx and .qgp files in any pair) on the user's data."""
    import json
    from typing import Any

    from rich.console import Console
    from rich.table import Table

    from qgraph.analyze.compare import compare
    from qgraph.analyze.inputs import made_for, told
    from qgraph.data import Data

    given: Any = Data(data) if data is not None else [made_for([a, b])]
    if data is None:
        click.echo(told(given[0]), err=True)
    result = compare(a, b, given, layers=not outputs_only, threshold=threshold)
    first = result.first_divergence
    if as_json:
        rows = {
            "outputs": [d.row() for d in result.outputs],
            "groups": [d.row() for d in result.groups],
            "values": [d.row() for d in result.values],
            "first_divergence": first.name if first else None,
        }
        click.echo(json.dumps(rows, indent=1))
        return
    console = Console()

    def table(title: str, rows: list) -> None:  # type: ignore[type-arg]
        drawn = Table("value", "SQNR dB", "cosine", "max error", "unequal", title=title, title_justify="left")
        for d in rows:
            share = f"{d.unequal}/{d.count}"
            drawn.add_row(d.name, f"{d.sqnr:.2f}", f"{d.cosine:.6f}", f"{d.max_error:.4g}", share)
        console.print(drawn)

    table("outputs", [*result.outputs, *result.groups])
    if result.values:
        table("values in order" if everything else "worst values", result.values if everything else result.worst(10))
        click.echo(f"first value below {threshold:g} dB: {f'{first.name} ({first.sqnr:.1f} dB)' if first else 'none'}")
