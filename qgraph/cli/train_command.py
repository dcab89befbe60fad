"""``qgraph train``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from qgraph.train.report import TrainingReport


@click.command("train")
@click.argument("recipe")
@click.option("--out", required=True, help="Folder for models, checkpoints and the report; a stopped run goes on from it.")
@click.option("--set", "settings", multiple=True, metavar="A.B=C", help="Change a key, such as stages.student.steps=500.")
@click.option("--seeds", default=1, show_default=True, help="Run so many seeds; the report pairs them.")
@click.option("--device", default="", help="cpu or cuda; the GPU where there is one, without it.")
def command(recipe: str, out: str, settings: tuple[str, ...], seeds: int, device: str) -> None:
    """Train by RECIPE: a YAML file, or the name of a shipped one."""
    from pathlib import Path

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from qgraph.errors import QGraphError
    from qgraph.train.recipe import load
    from qgraph.train.run import train

    chosen = load(recipe, settings)
    if seeds < 1:
        raise QGraphError("--seeds must be at least 1")
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(name: str, step: int, steps: int, losses: dict[str, float]) -> None:
            if step == 1 or name not in tasks:
                tasks[name] = bars.add_task(name, total=steps, loss="")
            bars.update(tasks[name], completed=step, loss=" ".join(f"{k} {v:.4g}" for k, v in losses.items()))

        report = train(chosen, Path(out), seeds=seeds, progress=show, device=device)
    if report is not None:
        print_report(report, out)


def print_report(report: TrainingReport, out: str) -> None:
    """The tables that end a run."""
    from rich.console import Console
    from rich.table import Table

    from qgraph.train.report import percent

    metric, console = report.recipe.metric, Console()
    table = Table("stage", metric, "95 %", "shipped program", "kB", "steps", "s")
    for r in report.rows():
        cells = [percent(metric, r["score"]), percent(metric, r["interval"]), percent(metric, r["program"])]
        table.add_row(r["stage"], *cells, f"{r['bytes'] / 1e3:.1f}", str(r["steps"]), f"{r['seconds']:.1f}")
    console.print(table)
    if gaps := report.differences():
        table = Table("pair", "difference", "95 %", "in words")
        for d in gaps:
            table.add_row(
                f"{d['first']} - {d['second']}", percent(metric, d["difference"]), percent(metric, d["interval"]), d["says"]
            )
        console.print(table)
    for r in report.rows():
        if r["note"]:
            click.echo(f"{r['stage']}: {r['note']}")
    click.echo(f"wrote {out}/report.html, report.json and a model for every stage")
