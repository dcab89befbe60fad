"""Writes what C++ needs of the integer dialect: ``python -m qgraph.tools.generate_dialect``; ``--check`` only compares.

Enums, the kinds of ops and the ranges of integer attributes, from ``qgraph.ir.integer_ops`` to
``runtime/ops/dialect_generated.h``.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import ENUMS, INTEGER_OPS
from qgraph.ir.io import atomic_path

HEADER = Path(__file__).resolve().parents[1] / "runtime" / "ops" / "dialect_generated.h"


def text() -> str:
    """The header."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "// The integer dialect. Generated from qgraph/ir/integer_ops by qgraph.tools.generate_dialect; not to be edited."
    yield "#pragma once"
    yield ""
    yield "#include <cstdint>"
    yield ""
    yield "namespace qgraph::dialect {"
    for kind in ENUMS:
        yield ""
        yield f"/// {_plain(inspect.getdoc(kind) or '')}"
        members = ", ".join(f"{_pascal(m)} = {int(m)}" for m in kind)
        yield f"enum class {kind.__name__} : int {{ {members} }};"
    yield ""
    yield "/// An op that a program can hold."
    yield "struct OpKind {"
    yield "  const char* name;"
    yield "  const char* family;"
    yield "};"
    yield "inline constexpr OpKind kOps[] = {"
    for spec in INTEGER_OPS.values():
        yield f'    {{"{spec.op_type}", "{spec.family}"}},'
    yield "};"
    yield ""
    yield "/// An attribute and its lowest and highest value, of each element where it is a list."
    yield "enum class AttributeKind { Int, Ints, Float };"
    yield "struct AttributeRange {"
    yield "  const char* op;"
    yield "  const char* attribute;"
    yield "  AttributeKind kind;"
    yield "  double low, high;"
    yield "};"
    yield "inline constexpr AttributeRange kAttributeRanges[] = {"
    for spec in INTEGER_OPS.values():
        for row in spec.attributes:
            low, high = (f"{limit!r}" if row.kind == "float" else f"{int(limit)}" for limit in (row.low, row.high))
            name = f"AttributeKind::{row.kind.capitalize()}"
            yield f'    {{"{spec.op_type}", "{row.name}", {name}, {low}, {high}}},'
    yield "};"
    yield ""
    yield "}  // namespace qgraph::dialect"


def _pascal(member: enum.IntEnum) -> str:
    return "".join(word.capitalize() for word in member.name.split("_"))


def _plain(doc: str) -> str:
    return " ".join(doc.replace("``", "").split())


@click.command()
@click.option("--check", is_flag=True, help="Fail where the header is not what would be written.")
def main(check: bool) -> None:
    """Write runtime/ops/dialect_generated.h."""
    if not check:
        HEADER.parent.mkdir(exist_ok=True)
        with atomic_path(HEADER) as temporary:
            temporary.write_text(text())
    elif not HEADER.exists() or HEADER.read_text() != text():
        raise QGraphError(f"{HEADER} does not follow the dialect; run 'python -m qgraph.tools.generate_dialect'")


if __name__ == "__main__":
    main()
