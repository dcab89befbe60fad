"""Writes docs/ops.md, what is known of every ONNX op: ``python -m qgraph.tools.ops_table``; ``--check`` only compares."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import onnx
import qgraph.passes  # noqa: F401  fills the registry of the lowering
from qgraph.passes.lower.registry import NESTED_FORMS, RULES
from qgraph.tools.node_tests import PASSED, Outcome, outcomes

from qgraph.errors import QGraphError
from qgraph.execute.torch_ops import TORCH_OPS
from qgraph.ir.axes import AXIS_RULES
from qgraph.ir.dialects import OPSET
from qgraph.ir.integer_ops import INTEGER, INTEGER_OPS, OpSpec
from qgraph.ir.io import atomic_path
from qgraph.ir.op_traits import FOLDED, SMALL, TRAITS, OpTraits, Trait

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ops.md"
START = f"""# Ops

Every op of the ONNX standard (default domain) and what there is of it. `python -m qgraph.tools.ops_table` writes this page from
the rows of `qgraph/ir/op_traits.py` and `qgraph/ir/integer_ops` and from a run of ONNX's own node tests
(`tools/node_tests.py`); models are brought to opset {OPSET} first, whatever opset they have.

- **opsets**: the versions of its definition.
- **integer**: how a program computes it where it is quantized. *kernel*: by integer kernels; *table*: by a table of 256 entries
  or a curve of 32 polynomials, where one input is not constant; *as it stands*: on shapes, indices and masks.
- **float**: the types with which a program runs it unquantized, with the same bytes on every instruction set.
- **GPU**: no program runs on a GPU yet.
- **pruning**, **training**: whether channels can be removed through it, and whether `to_torch` has it, with its gradient.
- **node tests**: those of ONNX that pass in a program, of those on types that a program holds.

A number stands for a reason, below the table.
"""
SHORT = {"float": "float32", "bool": "bool"}


class Reasons:
    """Numbers of reasons in the order in which they come up."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def cell(self, reason: str, otherwise: str) -> str:
        """``otherwise`` where there is no reason against it, else the number of the reason."""
        return f"({self.numbers.setdefault(reason, len(self.numbers) + 1)})" if reason else otherwise


def page(tests: Iterable[Outcome]) -> str:
    """The text of docs/ops.md for the outcomes of node tests."""
    passed: collections.Counter[str] = collections.Counter()
    taken: collections.Counter[str] = collections.Counter()
    left: collections.Counter[str] = collections.Counter()
    for test in tests:
        refused = test.reason.startswith("refused")
        if test.reason == PASSED or test.failed or refused:
            taken[test.op] += 1
            passed[test.op] += test.reason == PASSED
        if test.reason != PASSED:
            left["refused" if refused else test.reason] += 1
    reasons = Reasons()
    rows = [_row(row, reasons, passed, taken) for row in sorted(_standard(), key=lambda row: row.op_type.lower())]
    return "\n".join(
        [
            START,
            f"{passed.total()} of {taken.total()} node tests pass in a program; not run: "
            + ", ".join(f"{count} ({reason})" for reason, count in sorted(left.items()))
            + ".\n",
            "| op | opsets | integer | float | GPU | pruning | training | node tests |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            *(f"{number}. {reason}" for reason, number in reasons.numbers.items()),
            "",
        ]
    )


def _standard() -> Iterator[OpTraits]:
    names = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain and not schema.deprecated}
    yield from (row for (domain, op), row in TRAITS.items() if not domain and op in names)


def _versions(op: str) -> str:
    versions = (s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op and not s.domain)
    return ", ".join(map(str, sorted(set(versions))))


def _row(row: OpTraits, reasons: Reasons, passed: collections.Counter[str], taken: collections.Counter[str]) -> str:
    op = row.op_type
    how = "kernel" if op in RULES else "table" if Trait.TABLE in row.traits else ""
    integer = "as it stands" if row.no_integer == SMALL else reasons.cell(row.no_integer, how)
    spec = INTEGER_OPS.get((INTEGER if op in NESTED_FORMS else "", op))
    kinds = _types(spec) if spec else ""
    without = "" if kinds else FOLDED if row.no_integer == FOLDED else row.no_integer or "it runs quantized only"
    cells = [
        f"[{op}](https://onnx.ai/onnx/operators/onnx__{op}.html)",
        _versions(op),
        integer,
        reasons.cell(without, kinds),
        "no",
        reasons.cell(row.no_axes, "yes" if op in AXIS_RULES else "none needed"),
        reasons.cell(row.no_torch, "yes" if ("", op) in TORCH_OPS else "none needed"),
        f"{passed[op]} of {taken[op]}" if taken[op] else "",
    ]
    return f"| {' | '.join(cells)} |"


def _types(spec: OpSpec) -> str:
    """The types of the input that the output's type follows, else of the first."""
    main = next((row for row in spec.inputs if row.name == spec.outputs[0].same_as), spec.inputs[-1 if spec.graphs else 0])
    return " ".join(SHORT.get(t.name.lower(), t.name.lower()) for t in main.types)


@click.command()
@click.option("--check", is_flag=True, help="Fail where the page is not what would be written.")
def main(check: bool) -> None:
    """Write docs/ops.md."""
    text = page(outcomes())
    if not check:
        with atomic_path(PAGE) as temporary:
            temporary.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        raise QGraphError(f"{PAGE} is not up to date; run 'python -m qgraph.tools.ops_table'")


if __name__ == "__main__":
    main()
