"""``qgraph ops``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from qgraph.ir.integer_ops import AttributeSpec, InputSpec, OpSpec, OutputSpec


@click.command("ops")
@click.argument("words", nargs=-1)
def command(words: tuple[str, ...]) -> None:
    """List the ops that a program can hold; 'qgraph ops show NAME' describes one with its attributes and its equation."""
    from qgraph.errors import QGraphError, suggest
    from qgraph.ir.integer_ops import KINDS, NOTATION

    if not words:
        for kind, spec in KINDS.items():
            click.echo(f"{kind:26s} {spec.family:10s} {_signature(spec)}")
        return
    if words[0] != "show" or len(words) != 2:
        raise QGraphError("write 'qgraph ops' or 'qgraph ops show NAME'")
    name = words[1]
    if name not in KINDS:
        raise QGraphError(f"no program can hold an op {name!r}{suggest(name, KINDS)}; 'qgraph ops' lists them all")
    click.echo("\n".join(_description(KINDS[name])))
    click.echo(f"\n{NOTATION}")


def _signature(spec: OpSpec) -> str:
    def shown(row: InputSpec | OutputSpec) -> str:
        name = f"{row.name}..." if row.variadic else row.name
        return f"[{name}]" if getattr(row, "optional", False) else name

    return f"{', '.join(map(shown, spec.inputs))} -> {', '.join(map(shown, spec.outputs))}"


def _description(spec: OpSpec) -> Iterator[str]:
    yield f"{spec.op_type}: {_signature(spec)}"
    yield f"family {spec.family}, {f'domain {spec.domain}' if spec.domain else 'standard domain'}"
    for title, rows in (("Inputs", spec.inputs), ("Outputs", spec.outputs)):
        yield f"\n{title}:"
        yield from (_value(row) for row in rows)
    yield "\nAttributes:" if spec.attributes else "\nNo attributes."
    yield from (_attribute(row) for row in spec.attributes)
    yield "\nEquation:"
    yield from (f"  {line}" for line in spec.equation.splitlines())


def _value(row: InputSpec | OutputSpec) -> str:
    facts = [word for word in ("optional", "constant", "known", "variadic") if getattr(row, word, False)]
    if row.same_as and row.same_as != row.name:
        facts.append(f"type of {row.same_as}")
    types = " ".join(t.name.lower().replace("float", "float32") for t in row.types)
    return "; ".join([f"  {row.name}: {types}", *facts, *([row.meaning] if row.meaning else [])])


def _attribute(row: AttributeSpec) -> str:
    start = f"  {row.name}: {row.kind}; {row.range}"
    facts = [f"a code of {row.codes_of}"] if row.codes_of else []
    facts += [f"with {row.condition.lower()}"] if row.when else []
    facts.append("required" if row.required else "optional" if row.default is None else f"default {row.default}")
    return "; ".join([start, *facts, *([row.meaning] if row.meaning else [])])
