"""Writes what C++ needs of the integer dialect: ``python -m qgraph.tools.generate_dialect``; ``--check`` only compares.

Enums, the kinds of ops and the ranges of their attributes, from ``qgraph.ir.integer_ops`` to
``runtime/ops/dialect_generated.h`` (what kernels include) and ``runtime/ops/dialect_table_generated.h`` (what checks a file).
"""

from __future__ import annotations

import enum
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import ENUMS, KINDS
from qgraph.ir.io import atomic_path

WIDTH = 130
"""Of a line, as in runtime/.clang-format."""
FOLDER = Path(__file__).resolve().parents[1] / "runtime" / "ops"


def headers() -> dict[Path, str]:
    """The text of each header."""
    made = {"dialect_generated.h": _enums(), "dialect_table_generated.h": _tables()}
    return {FOLDER / name: "\n".join((*START, *lines, *END)) + "\n" for name, lines in made.items()}


START = (
    "// The integer dialect. Generated from qgraph/ir/integer_ops by qgraph.tools.generate_dialect; not to be edited.",
    "#pragma once",
    "",
    "#include <cstdint>",
    "",
    "namespace qgraph::dialect {",
)
END = ("", "}  // namespace qgraph::dialect")


def _enums() -> Iterator[str]:
    for kind in ENUMS:
        yield ""
        yield from textwrap.wrap(_plain(inspect.getdoc(kind) or ""), WIDTH, initial_indent="/// ", subsequent_indent="/// ")
        members = [f"{_pascal(m)} = {int(m)}" for m in kind]
        line = f"enum class {kind.__name__} : int {{ {', '.join(members)} }};"
        if len(line) <= WIDTH:
            yield line
        else:
            yield f"enum class {kind.__name__} : int {{"
            yield from (f"  {member}," for member in members[:-1])
            yield f"  {members[-1]}"
            yield "};"


def _tables() -> Iterator[str]:
    yield ""
    yield "/// An op that a program can hold."
    yield "struct OpKind {"
    yield "  const char* name;"
    yield "  const char* family;"
    yield "};"
    yield "inline constexpr OpKind kOps[] = {"
    for kind, spec in KINDS.items():
        yield f'    {{"{kind}", "{spec.family}"}},'
    yield "};"
    yield ""
    yield "/// An attribute and its lowest and highest value, of each element where it is a list."
    yield "enum class AttributeKind { Int, Ints, Float, Floats };"
    yield "struct AttributeRange {"
    yield "  const char* op;"
    yield "  const char* attribute;"
    yield "  AttributeKind kind;"
    yield "  double low, high;"
    yield "};"
    yield "inline constexpr AttributeRange kAttributeRanges[] = {"
    for kind, spec in KINDS.items():
        for row in spec.attributes:
            low, high = (f"{limit!r}" if row.kind.startswith("float") else f"{int(limit)}" for limit in (row.low, row.high))
            name = f"AttributeKind::{row.kind.capitalize()}"
            yield f'    {{"{kind}", "{row.name}", {name}, {low}, {high}}},'
    yield "};"
    yield ""
    yield "/// An input that must be known when shapes are inferred."
    yield "struct KnownInput {"
    yield "  const char* op;"
    yield "  int input;"
    yield "};"
    yield "// clang-format off"
    yield "inline constexpr KnownInput kKnownInputs[] = {"
    for kind, spec in KINDS.items():
        yield from (f'    {{"{kind}", {i}}},' for i, row in enumerate(spec.inputs) if row.known)
    yield "};"
    yield "// clang-format on"


def _pascal(member: enum.IntEnum) -> str:
    return "".join(word.capitalize() for word in member.name.split("_"))


def _plain(doc: str) -> str:
    return " ".join(doc.replace("``", "").split())


@click.command()
@click.option("--check", is_flag=True, help="Fail where the header is not what would be written.")
def main(check: bool) -> None:
    """Write the headers of runtime/ops."""
    for path, text in headers().items():
        if not check:
            with atomic_path(path) as temporary:
                temporary.write_text(text)
        elif not path.exists() or path.read_text() != text:
            raise QGraphError(f"{path} does not follow the dialect; run 'python -m qgraph.tools.generate_dialect'")


if __name__ == "__main__":
    main()
