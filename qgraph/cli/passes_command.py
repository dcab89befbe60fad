"""``qgraph passes``."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing

import click


@click.command("passes")
@click.argument("words", nargs=-1)
def command(words: tuple[str, ...]) -> None:
    """List all passes; 'qgraph passes show NAME' describes one with its options."""
    from qgraph.errors import QGraphError
    from qgraph.pipeline import get_pass, passes, print_value

    if not words:
        for name, cls in passes().items():
            click.echo(f"{name:22s} {inspect.getdoc(cls)}".splitlines()[0])
        return
    if words[0] != "show" or len(words) != 2:
        raise QGraphError("write 'qgraph passes' or 'qgraph passes show NAME'")
    cls = get_pass(words[1])
    click.echo(f"{cls.name}: {inspect.getdoc(cls)}\n")
    click.echo((inspect.getdoc(inspect.getmodule(cls)) or "") + "\n")
    fields = dataclasses.fields(cls.Options)
    if not fields:
        click.echo("This pass has no options.")
        return
    hints = typing.get_type_hints(cls.Options)
    text = inspect.getdoc(cls.Options) or ""
    click.echo("Options:")
    for field in fields:
        kind = hints[field.name]
        choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
        shown = "|".join(map(str, choices)) or getattr(kind, "__name__", str(kind))
        found = re.search(rf"^\s*{field.name}: (.*(?:\n\s{{5,}}.*)*)", text, re.M)
        meaning = " ".join(found[1].split()) if found else ""
        default = cls.Options.__dataclass_fields__[field.name].default
        click.echo(f"  {field.name.replace('_', '-')}={print_value(default)}  ({shown})  {meaning}")
