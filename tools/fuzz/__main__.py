"""``python -m qgraph.tools.fuzz --count 10000 --seed 0``: mutated files through qgraph, faults grouped by what they share."""

from __future__ import annotations

import collections
from pathlib import Path

import click
import torch
from qgraph.tools.fuzz.pool import Fault, fuzz
from qgraph.tools.fuzz.seeds import node_tests, onnx_tests, quantized, texts


def corpus(whole: bool) -> tuple[list[bytes], list[bytes]]:
    """ONNX files and programs to mutate."""
    models = {**texts(), **onnx_tests()} if whole else texts()
    made = list(quantized(models))
    if whole:
        models |= node_tests()
    return [*models.values(), *(model for _, model, _ in made)], [program for _, _, program in made]


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Files.")
@click.option("--seed", default=0, show_default=True, help="Of all mutations.")
@click.option("--first", default=0, show_default=True, help="Number of the first file.")
@click.option("--jobs", default=2, show_default=True, help="Processes.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds for a file.")
@click.option("--out", default="fuzz", show_default=True, help="Folder for the smallest file of each fault.")
@click.option("--quick", is_flag=True, help="Mutate a few models only: what the tests run.")
@click.option("--refusals", is_flag=True, help="List the refusals too.")
def main(count: int, seed: int, first: int, jobs: int, timeout: float, out: str, quick: bool, refusals: bool) -> None:
    """Mutate small models and programs, take each through inspect, transform, export, compile and run."""
    told = collections.Counter[str]()
    faults: dict[str, Fault] = {}
    said: dict[str, tuple[int, str]] = {}
    torch.set_num_threads(1)  # its threads would not be there in forked processes
    models, programs = corpus(whole=not quick)
    click.echo(f"{len(models)} models and {len(programs)} programs to mutate")
    for number, (outcome, data) in enumerate(fuzz(models, programs, range(first, first + count), seed, jobs, timeout), 1):
        told[f"{outcome.kind} at {outcome.step}"] += 1
        if outcome.fault:
            fault = faults.setdefault(outcome.signature, Fault(outcome))
            if fault.add(data):
                fault.keep(Path(out))
            if fault.count == 1:
                click.echo(f"{number}: {outcome.kind}: {outcome.signature}: {outcome.message[:200]}")
        elif outcome.kind == "refused":
            said[outcome.signature] = said.get(outcome.signature, (0, ""))[0] + 1, outcome.message
        if number % 500 == 0:
            click.echo(f"{number} files, {sum(f.count for f in faults.values())} faults of {len(faults)} kinds")
    for kind, times in told.most_common():
        click.echo(f"{times:6d} {kind}")
    for sentence, (times, example) in sorted(said.items(), key=lambda item: -item[1][0]) if refusals else []:
        click.echo(f"{times:6d} {sentence.split()[0]}: {example}")
    for fault in sorted(faults.values(), key=lambda f: -f.count):
        click.echo(f"{fault.count} x {fault.outcome.kind}: {fault.outcome.signature}: {fault.outcome.message} ({fault.file})")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
